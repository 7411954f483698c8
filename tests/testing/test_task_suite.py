"""The suite of tasks finds what is wrong with that of classifiers, with one answer changed."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedray.tasks.classification import task as classification
from fedray.testing import (
    TaskSuite,
    small_experiment,
)

SMALL_CLASSIFIER = small_experiment({"task": "classification"})


def task(**changes):
    """Return the task with other functions in the place of its own; each is given its own one first."""
    own = vars(classification)
    return SimpleNamespace(**{**own, **{name: partial(change, own[name]) for name, change in changes.items()}})


def draw_first(own, *given, **options):
    torch.rand(1)
    return own(*given, **options)


def of_one_seed(own, config, *given, **options):
    return own(config.model_copy(update={"seed": 0}), *given, **options)


def used(own, *given, **options):
    return classification.holding(*given, arrays={})


def one_step_less(own, config, learner, optimizers, tiles, a_pass):
    return own(config, learner, optimizers, tiles, a_pass._replace(num_steps=a_pass.num_steps - 1))


def without_hooks(own, config, learner, optimizers, tiles, a_pass):
    return own(config, learner, optimizers, tiles, a_pass._replace(hooks=()))


def always_the_same(own, config, learner, optimizers, tiles, a_pass):
    return own(config, learner, optimizers, tiles, a_pass._replace(seed=0))


def forgetful(own, learner):
    optimizers = own(learner)
    optimizers.load = lambda arrays: None
    return optimizers


def hide(own, *given):
    report = own(*given)
    learner = given[1]
    learner.load({name: np.nan_to_num(value) for name, value in learner.arrays(list(learner.parts())).items()})
    return replace(report, losses=dict.fromkeys(report.losses, 0.0))


def backwards(own, *given, **options):
    learner = own(*given, **options)
    told = learner.logits
    learner.logits = lambda tiles: told(tiles)[:, ::-1]
    return learner


def zeros(own, config, shape, arrays):
    return own(config, shape, {name: np.nan_to_num(value) for name, value in arrays.items()})


TASK_FAULTS = [
    ("test_the_same_seed_gives_the_same_networks", task(make=draw_first), "make() must fork PyTorch's global random"),
    ("test_the_same_seed_gives_the_same_networks", task(make=of_one_seed), "networks of two seeds must differ"),
    ("test_shared_and_private_parts_are_all_there_is_and_have_nothing_in_common",
     task(private=lambda own, config: ("classifier",)), "['classifier'] cannot travel and stay"),
    ("test_fresh_is_what_is_made_however_it_was_used", task(fresh=used), "what fresh() and make() return must be the"),
    ("test_a_pass_reports_what_it_did", task(train=one_step_less), "a pass of 2 steps reports {'classifier': 1}"),
    ("test_a_pass_hangs_on_its_seed_alone", task(train=draw_first), "a pass must fork PyTorch's global random state"),
    ("test_a_pass_hangs_on_its_seed_alone", task(train=always_the_same), "passes of two seeds must differ"),
    ("test_a_pass_goes_on_from_arrays_alone", task(optimizers=forgetful), "and one from a checkpoint must be the same"),
    ("test_steps_are_whole_epochs_or_as_many_as_are_asked_for",
     task(steps=lambda own, config, num: num // 4), "3 epochs of 8 tiles in batches of 4 are 6 steps, but"),
    ("test_a_hook_is_shown_every_network_before_its_step", task(train=without_hooks), "hooks are shown [] of"),
    ("test_a_hooks_term_is_added_to_a_loss", task(train=without_hooks), "hooks must be asked for a term"),
    ("test_what_diverges_shows", task(train=hide), "must show in the losses or the arrays of a pass"),
    ("test_its_ability_is_that_of_its_learner",
     task(holding=lambda own, *given: own(*given[:3], {})), "does judged() name all that counts?"),
    ("test_labels_and_domains_can_stand_in_another_order", task(make=backwards), "logit must go where its entries go"),
    ("test_what_is_exported_computes_without_fedray", task(exported=zeros), "exported() must refuse a NaN in"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "faulty", "message"), TASK_FAULTS)
def test_a_faulty_task_is_told_what_it_breaks(name: str, faulty, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        getattr(TaskSuite(), name)(faulty, SMALL_CLASSIFIER)
    assert message in str(caught.value)
