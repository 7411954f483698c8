"""What every task must do for the rooms above it, whatever it trains."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedray.config import ExperimentConfig, override
from fedray.data import LabelledTiles
from fedray.learning import Arrays, Condition, Hook, Learner, PassReport
from fedray.tasks import Moments, Pass, Task
from fedray.tasks.codes import axes_of, reordered
from fedray.testing.small import SHAPE, noise_tiles
from fedray.testing.suite import Suite

ROUNDING = 1e-6
NUM_TILES = 9


class TaskSuite(Suite):
    """Tests of a module ``task.py``, given as ``task``, and of an experiment with its section, ``config``.

    The experiment is :func:`fedray.testing.small_experiment` with ``task`` set to its name.
    """

    given = ("task", "config")

    def test_what_it_says_of_itself_is_there(self, task: Task, config: ExperimentConfig) -> None:
        """Networks, parts and fields that are named exist; the section has a batch size."""
        learner, section = _made(task, config), getattr(config, config.task)
        assert section.batch_size >= 1, f"the section {config.task!r} must have a batch_size"
        networks, parts = set(learner.networks()), set(learner.parts())
        assert task.COUNTED in networks, f"COUNTED must be one of {sorted(networks)}, but is {task.COUNTED!r}"
        assert set(task.LOSSES.values()) <= networks, f"LOSSES must name networks of {sorted(networks)}: {task.LOSSES}"
        assert task.INITIALISED in parts, f"INITIALISED must be one of {sorted(parts)}, but is {task.INITIALISED!r}"
        missing = [name for name in task.STEP_FIELDS if name not in type(section).model_fields]
        assert not missing, f"STEP_FIELDS must be fields of the section {config.task!r}, but {missing} are not"
        assert task.weights_file(config) is None, "weights_file() must be None where weights begin at random"

    def test_shared_and_private_parts_are_all_there_is_and_have_nothing_in_common(
        self, task: Task, config: ExperimentConfig
    ) -> None:
        """Every array has one of these parts as the beginning of its name."""
        learner, shared, private = _made(task, config), set(task.shared(config)), set(task.private(config))
        assert not shared & private, f"{sorted(shared & private)} cannot travel and stay"
        assert shared | private == set(learner.parts()), (
            f"shared and private parts are {sorted(shared | private)}, but the learner has {sorted(learner.parts())}"
        )
        assert set(learner.networks()) == set(learner.rates()) <= set(learner.parts()), (
            "every network must have a learning rate, and be one of the parts"
        )
        begun = {name.partition(".")[0] for name in _all(learner)}
        assert begun == shared | private, f"arrays must be named by their part, but begin with {sorted(begun)}"
        trained = set(learner.trained(list(shared)))
        assert trained, "something that travels must be trained"
        assert trained <= set(learner.arrays(list(shared))), "what is trained must be among the arrays"

    def test_the_same_seed_gives_the_same_networks(self, task: Task, config: ExperimentConfig) -> None:
        """Another seed gives others, and nothing draws from PyTorch's global state."""
        state = torch.get_rng_state()
        first, again = (_all(_made(task, config)) for _ in range(2))
        other = _all(_made(task, config.model_copy(update={"seed": config.seed + 1})))
        assert torch.equal(state, torch.get_rng_state()), "make() must fork PyTorch's global random state"
        _check_same(again, first, "networks of one seed", rounding=0.0)
        assert not _same(other, first), "networks of two seeds must differ: draw them from the seed of the experiment"

    def test_fresh_is_what_is_made_however_it_was_used(self, task: Task, config: ExperimentConfig) -> None:
        """The process's one learner is put back, its training mode too."""
        made = _made(task, config)
        used = task.fresh(config, SHAPE, "cpu")
        _train(task, config, used)
        assert not _same(_all(used), _all(made)), "a pass of two steps must move something"
        fresh = task.fresh(config, SHAPE, "cpu")
        _check_same(_all(fresh), _all(made), "what fresh() and make() return", rounding=0.0)
        for learner in (fresh, made):
            _train(task, config, learner)
        _check_same(_all(fresh), _all(made), "a pass of what fresh() returns, and of what make() does")

    def test_any_subset_of_the_arrays_is_read_and_loaded_by_name(self, task: Task, config: ExperimentConfig) -> None:
        """The others stay; what is read is a copy."""
        one, other = (_made(task, config.model_copy(update={"seed": seed})) for seed in (0, 1))
        before, arrays = _all(one), _all(other)
        chosen = dict(list(arrays.items())[::3])
        _check_same(other.arrays(list(chosen)), chosen, "arrays that are asked for by their names", rounding=0.0)
        one.load(chosen)
        _check_same(_all(one), before | chosen, "a learner after some arrays were loaded", rounding=0.0)
        read = _all(one)
        for value in read.values():
            value[...] = 0
        _check_same(_all(one), before | chosen, "a learner whose arrays() were changed (return copies)", rounding=0.0)

    def test_arrays_that_do_not_fit_are_refused(self, task: Task, config: ExperimentConfig) -> None:
        """With a ValueError: a checkpoint of another configuration must not be half read."""
        learner = _made(task, config)
        name, value = next((name, value) for name, value in _all(learner).items() if value.ndim >= 1)
        wrong = {
            f"{name} with another shape": {name: np.zeros((*value.shape, 2), value.dtype)},
            "an unknown array of a part": {f"{name}.surprise": value},
            "an array of an unknown part": {f"surprise.{name}": value},
        }
        for what, arrays in wrong.items():
            try:
                learner.load(arrays)
            except ValueError:
                continue
            raise AssertionError(f"load() must refuse {what} with a ValueError")

    def test_a_pass_reports_what_it_did(self, task: Task, config: ExperimentConfig) -> None:
        """Tiles, losses and steps of every network; all finite."""
        learner = _made(task, config)
        report, _ = _train(task, config, learner, num_steps=2)
        networks = set(learner.networks())
        assert report.num_examples == NUM_TILES, f"of {NUM_TILES} tiles the report counts {report.num_examples}"
        assert set(report.steps) == networks, f"steps must be counted of {sorted(networks)}, but are of {report.steps}"
        assert max(report.steps.values()) == 2, f"a pass of 2 steps reports {report.steps}"
        told = {name.partition("/")[0] for name in report.losses}
        assert told == networks, f"losses must be named NETWORK/*, of {sorted(networks)}, but are {set(report.losses)}"
        broken = {name: value for name, value in report.losses.items() if not np.isfinite(value)}
        assert not broken, f"losses of a pass must be finite, but are {broken}"

    def test_a_pass_hangs_on_its_seed_alone(self, task: Task, config: ExperimentConfig) -> None:
        """Not on PyTorch's global state, which it leaves as it was; another seed gives another pass."""
        found = []
        for seed, noise in ((3, 1), (3, 2), (4, 1)):
            learner = _made(task, config)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(noise)
                state = torch.get_rng_state()
                _train(task, config, learner, seed=seed)
                assert torch.equal(state, torch.get_rng_state()), "a pass must fork PyTorch's global random state"
            found.append(_all(learner))
        _check_same(found[1], found[0], "two passes of one seed", rounding=0.0)
        assert not _same(found[2], found[0]), "passes of two seeds must differ: in the order of tiles at least"

    def test_a_pass_goes_on_from_arrays_alone(self, task: Task, config: ExperimentConfig) -> None:
        """Those of the networks and of their optimisers: what a checkpoint holds, and what travels."""
        whole, first, second = (_made(task, config) for _ in range(3))
        _, kept = _train(task, config, whole)
        _train(task, config, whole, kept, steps_before=2)
        _, moments = _train(task, config, first)
        second.load(_all(first))
        restored = task.optimizers(second)
        restored.load(moments.arrays())
        _train(task, config, second, restored, steps_before=2)
        _check_same(_all(second), _all(whole), "a pass that goes on, and one from a checkpoint")

    def test_steps_are_whole_epochs_or_as_many_as_are_asked_for(self, task: Task, config: ExperimentConfig) -> None:
        """However many tiles there are, at least one; more tiles never take fewer."""
        batch = getattr(config, config.task).batch_size
        epochs = override(config, {"federation.local_epochs": 3}, "test")
        found = task.steps(epochs, 2 * batch)
        assert found == 6, f"3 epochs of {2 * batch} tiles in batches of {batch} are 6 steps, but steps() says {found}"
        asked = task.steps(override(config, {"federation.local_steps": 5}, "test"), 2 * batch)
        assert asked == 5, f"federation.local_steps 5 is 5 steps, but steps() says {asked}"
        counts = [task.steps(epochs, num) for num in range(1, 4 * batch)]
        assert counts[0] >= 1 and counts == sorted(counts), f"of 1, 2, ... tiles steps() says {counts}"
        assert task.steps_between(config) >= 1, f"steps_between() must be >= 1, but is {task.steps_between(config)}"

    def test_more_steps_are_to_be_had_by_its_own_options(self, task: Task, config: ExperimentConfig) -> None:
        """Each value that :meth:`~fedray.tasks.Task.fewer` lists is one that the section takes."""
        for name, values in task.fewer(config).items():
            for value in (values[0], values[-1]) if len(values) else ():
                override(config, {f"{config.task}.{name}": value}, "test")

    def test_a_client_trains_on_its_own_tiles(self, task: Task, config: ExperimentConfig) -> None:
        """All, or some of them: the same in every round."""
        tiles = noise_tiles(20)
        first, again = (task.training(config, tiles, 1) for _ in range(2))
        same = all(np.array_equal(getattr(first, name), getattr(again, name)) for name in LabelledTiles._fields)
        assert same, "the choice must be the same in every round"
        assert 1 <= len(first.tiles) <= 20, f"of 20 tiles a client trains on {len(first.tiles)}"
        own = {tile.tobytes() for tile in tiles.tiles}
        assert all(tile.tobytes() in own for tile in first.tiles), "a client must train on tiles of its own"

    def test_a_hook_is_shown_every_network_before_its_step(self, task: Task, config: ExperimentConfig) -> None:
        """With its gradient; what the hook makes of that is what the step uses."""
        learner, plain, seen = _made(task, config), _made(task, config), set[str]()

        class Backwards(Hook):
            def gradient(self, name: str, network: nn.Module) -> None:
                assert network is learner.networks()[name], f"{name!r} is shown with a network that is not it"
                gradients = [value.grad for value in network.parameters() if value.grad is not None]
                assert gradients, f"the hook is shown {name!r} before there is a gradient"
                seen.add(name)
                for gradient in gradients:
                    gradient.neg_()

        _train(task, config, learner, hooks=[Backwards()], num_steps=1)
        _train(task, config, plain, num_steps=1)
        assert seen == set(learner.networks()), f"hooks are shown {sorted(seen)} of {sorted(learner.networks())}"
        for name in seen:
            assert not _same(learner.arrays([name]), plain.arrays([name])), (
                f"a hook turned the gradient of {name!r} round, but its step is the same"
            )

    def test_a_hooks_term_is_added_to_a_loss(self, task: Task, config: ExperimentConfig) -> None:
        """Of a network that reads real tiles, which the hook is shown with their condition."""
        plain, changed, shown = _made(task, config), _made(task, config), list[tuple[str, Any]]()

        class Decay(Hook):
            def loss(self, name: str, network: nn.Module, tiles: Tensor, condition: Condition) -> Tensor | None:
                shown.append((name, (tuple(tiles.shape[1:]), len(condition.labels) == len(tiles))))
                return sum((value.square().sum() for value in network.parameters()), start=torch.zeros(()))

        for learner, hooks in ((plain, []), (changed, [Decay()])):
            _train(task, config, learner, hooks=hooks)
        assert shown, "hooks must be asked for a term of each network that reads real tiles"
        wanted = ((SHAPE.channels, SHAPE.size, SHAPE.size), True)
        assert all(told == wanted for _, told in shown), (
            f"a hook's tiles must be {wanted[0]} with as many labels: {shown}"
        )
        name = shown[0][0]
        parts = [learner.arrays([name]) for learner in (plain, changed)]
        assert not _same(*parts), f"a hook's term must change the steps of {name!r}, but did not"

    def test_what_diverges_shows(self, task: Task, config: ExperimentConfig) -> None:
        """In a loss or in the arrays, at once: rounds refuse what is not finite, and nothing may hide it."""
        learner = _made(task, config)
        name = learner.trained(list(task.shared(config)))[0]
        learner.load({name: np.full_like(learner.arrays([name])[name], np.nan)})
        report, _ = _train(task, config, learner)
        values = [*report.losses.values(), *(float(np.sum(array)) for array in _all(learner).values())]
        assert not np.isfinite(values).all(), f"a NaN in {name} must show in the losses or the arrays of a pass"

    def test_its_ability_is_that_of_its_learner(self, task: Task, config: ExperimentConfig) -> None:
        """Tiles for labels, or labels for tiles: the same twice, and by the parts that are judged alone."""
        learner = _made(task, config)
        judged = list(task.judged(config))
        assert judged and set(judged) <= set(learner.parts()), f"judged() must name parts, but names {judged}"
        first = _able(task, learner)
        arrays = learner.arrays(judged)
        _train(task, config, learner)
        held = task.holding(config, SHAPE, "cpu", arrays)
        assert np.array_equal(_able(task, held), first), (
            "what holding() returns must be judged by the arrays that it was given: does judged() name all that counts?"
        )

    def test_labels_and_domains_can_stand_in_another_order(self, task: Task, config: ExperimentConfig) -> None:
        """Arrays that grow with the codes have an entry for each: the last of an axis, in the codes' order."""
        shape, order = SHAPE._replace(num_labels=3, num_domains=3), [2, 0, 1]
        first, moved = (task.make(config, shape, "cpu") for _ in range(2))
        random = np.random.default_rng(0)
        arrays = {  # positive, for variances; and other than at first, where some networks know no label yet
            name: value + np.abs(random.normal(0, 0.1, value.shape)).astype(value.dtype)
            for name, value in first.arrays(list(task.shared(config))).items()
        }
        first.load(arrays)
        for kind in ("num_labels", "num_domains"):
            arrays = reordered(arrays, axes_of(task, config, shape, kind), order)
        moved.load(arrays)
        now, tiles = np.argsort(order), noise_tiles(NUM_TILES, shape)
        if task.ABILITY == "labels":
            before, after = (learner.logits(tiles.tiles) for learner in (first, moved))
            assert np.allclose(after[:, now], before, atol=1e-5), "a label's logit must go where its entries go"
            assert not np.allclose(after, before, atol=1e-5), "logits of another order must stand in another order"
            return
        old_codes, new_codes = (tiles.labels, tiles.domains), (now[tiles.labels], now[tiles.domains])
        made = [
            learner.sample(labels, torch.Generator().manual_seed(0), domains)
            for learner, (labels, domains) in ((first, old_codes), (moved, new_codes), (moved, old_codes))
        ]
        assert np.array_equal(made[0], made[1]), "a label's and a domain's tiles must go where their entries go"
        assert not np.array_equal(made[0], made[2]), "another label's tiles must be other tiles"

    def test_what_is_exported_computes_without_fedray(self, task: Task, config: ExperimentConfig) -> None:
        """On batches of the inputs that are said, of any size, and as a graph; what is not finite is refused."""
        arrays = _made(task, config).arrays(list(task.judged(config)))
        exported = task.exported(config, SHAPE, arrays)
        module = exported.module
        assert not module.training, "the exported module must be in evaluation mode"
        assert all(len(value) == 2 for value in exported.inputs), "inputs must be one batch of two"
        with torch.no_grad():
            found = module(*exported.inputs)
        assert len(found) == 2 and torch.isfinite(found).all(), "the exported module must answer a batch of two"
        any_size = tuple({0: torch.export.Dim.DYNAMIC} for _ in exported.inputs)
        program = torch.export.export(module, exported.inputs, dynamic_shapes=any_size).module()
        three = tuple(torch.cat([value, value[:1]]) for value in exported.inputs)
        with torch.no_grad():
            assert torch.allclose(program(*three), module(*three), atol=1e-4), "a batch of three must be answered alike"
        name = next(name for name, value in arrays.items() if value.dtype.kind == "f")
        try:
            task.exported(config, SHAPE, arrays | {name: np.full_like(arrays[name], np.nan)})
        except RuntimeError as error:
            assert name in str(error), f"the refusal of a NaN must name the array {name}, but says: {error}"
        else:
            raise AssertionError(f"exported() must refuse a NaN in {name} with a DivergedError")

    def test_single_steps_are_timed_by_network(self, task: Task, config: ExperimentConfig) -> None:
        """And change the learner as a pass would, through its hooks too."""
        learner, seen = _made(task, config), set[str]()
        before = _all(learner)

        class Look(Hook):
            def gradient(self, name: str, network: nn.Module) -> None:
                seen.add(name)

        stepper = task.stepper(config, learner, [Look()])
        seconds = stepper.take(4)
        stepper.close()
        assert set(seconds) == seen == set(learner.networks()), f"steps of {set(seconds)} were timed, of {seen} taken"
        assert all(value > 0 for value in seconds.values()), f"seconds must be > 0, but are {seconds}"
        assert not _same(_all(learner), before), "a single step must move something"


def _made(task: Task, config: ExperimentConfig) -> Learner:
    learner: Learner = task.make(config, SHAPE, "cpu")
    return learner


def _all(learner: Learner) -> Arrays:
    return learner.arrays(list(learner.parts()))


def _tiles() -> LabelledTiles:
    return noise_tiles(NUM_TILES)


def _train(
    task: Task,
    config: ExperimentConfig,
    learner: Learner,
    optimizers: Moments | None = None,
    *,
    num_steps: int = 2,
    steps_before: int = 0,
    seed: int | None = None,
    hooks: Any = (),
) -> tuple[PassReport, Moments]:
    optimizers = optimizers or task.optimizers(learner)
    a_pass = Pass(num_steps, steps_before, steps_before if seed is None else seed, hooks)
    return task.train(config, learner, optimizers, _tiles(), a_pass), optimizers


def _able(task: Task, learner: Any) -> Any:
    if task.ABILITY == "labels":
        logits = learner.logits(_tiles().tiles)
        assert logits.shape == (NUM_TILES, SHAPE.num_labels) and logits.dtype == np.float32, (
            f"logits of {NUM_TILES} tiles must be float32 ({NUM_TILES}, {SHAPE.num_labels}), but are {logits.shape}"
        )
        return logits
    assert task.ABILITY == "samples", f"ABILITY must be 'samples' or 'labels', but is {task.ABILITY!r}"
    tiles = learner.sample(_tiles().labels, torch.Generator().manual_seed(0), _tiles().domains)
    wanted = (NUM_TILES, SHAPE.size, SHAPE.size, SHAPE.channels)
    assert tiles.shape == wanted and tiles.dtype == np.uint8, f"tiles must be uint8 {wanted}, but are {tiles.shape}"
    return tiles


def _same(first: Arrays, second: Arrays) -> bool:
    return all(np.array_equal(value, second[name]) for name, value in first.items())


def _check_same(found: Arrays, expected: Arrays, what: str, rounding: float = ROUNDING) -> None:
    assert found.keys() == expected.keys(), f"{what}: their names differ: {sorted(found.keys() ^ expected.keys())[:3]}"
    for name, value in expected.items():
        same = np.allclose(np.asarray(found[name], np.float64), np.asarray(value, np.float64), rtol=0, atol=rounding)
        assert same, f"{what} must be the same, but {name} differs"
