"""What a study may say, and that all of its problems are told at once."""

import copy
from pathlib import Path

import pytest
import yaml

from fedray.config import ConfigError, GateConfig, validate
from fedray.studies import Study, find_study, load_study
from tests.support.studies import SMALL, small_study

STUDIES = Path(__file__).parents[2] / "studies"


def changed(**changes):
    return {**copy.deepcopy(SMALL), **changes}


def told(values):
    with pytest.raises(ConfigError) as error:
        validate(Study, values, "test")
    return str(error.value)


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_come_with_it_are_whole(path):
    study = load_study(path)
    assert study.name.replace("-", "_") == path.stem and {"small", "paper"} <= study.budgets.keys()
    for budget in study.budgets:
        effort = study.model_copy(update={"budget": budget})
        assert len(effort.all_seeds) >= 3
        for name in study.experiments:
            assert effort.config(name, 5, Path("made") if study.store_of(name) else None).seed == 5


def test_an_experiment_has_what_it_is_like_and_the_budget_comes_on_top():
    values = changed(
        experiments={
            "first": {"set": {"task": "classification", "classification": {"lr": 0.1, "channels": 8}}},
            "second": {"like": "first", "set": {"classification.lr": 0.2}},
            "third": {"like": "second", "synthetic": "made", "set": {"classification": {"dropout": 0.5}}},
            "maker": {"set": {"gan.n_critic": 3}},
        },
        stores={"made": {"made_by": "maker", "per_label": 6, "gate": {}}},
        common={"federation.num_rounds": 2, "classification.batch_size": 16, "gan.batch_size": 4},
        tables=[{"name": "t", "scores": ["auroc"], "rows": [{"name": "third", "experiment": "third"}]}],
        budgets={
            "small": {
                "set": {"federation.num_rounds": 7},
                "experiments": {"first": {"classification.channels": 16}},
                "stores": {"made": 3},
                "gates": {"made": {"distance": 2}},
            },
            "paper": {"seeds": [4, 5, 6], "stand_ins": {"classification.network": {"cnn": "resnet18"}}},
        },
    )
    study = validate(Study, values, "test")
    third = study.config("third", 1, Path("/made"))
    assert (third.classification.lr, third.classification.channels, third.classification.dropout) == (0.2, 16, 0.5)
    assert (third.federation.num_rounds, third.classification.batch_size, third.seed) == (7, 16, 1)
    assert (third.classification.tiles, third.classification.synthetic) == ("both", "/made")
    assert study.config("maker", 0).gan.batch_size == 4 and study.config("first", 0).classification.tiles == "real"
    assert (
        study.gate("made") == GateConfig(distance=2)
        and study.per_label("made") == 3
        and list(study.all_seeds) == [0, 1]
    )

    paper = study.model_copy(update={"budget": "paper"})
    assert (paper.per_label("made"), list(paper.all_seeds)) == (6, [4, 5, 6]) and paper.gate("made") == GateConfig()
    assert paper.config("first", 0).federation.num_rounds == 2
    explicit = validate(
        Study,
        {
            **values,
            "experiments": {
                **values["experiments"],
                "first": {"set": {"task": "classification", "classification.network": "cnn"}},
            },
        },
        "test",
    ).model_copy(update={"budget": "paper"})
    assert explicit.stand_ins("first") == {"classification.network": ("resnet18", "cnn")}
    assert explicit.config("first", 0).classification.network == "resnet18" and paper.stand_ins("maker") == {}


def test_it_survives_yaml_other_tiles_and_other_seeds(small_store):
    study = small_study(small_store, budgets={"small": {"seeds": [7, 8, 9], "set": {"data.tile_size": 16}}})
    assert validate(Study, yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json"))), "test") == study
    other = study.on_store("elsewhere")
    assert other.config("real", 0).data.store == "elsewhere" and other.config("real", 0).data.tile_size is None
    held_out = small_study(small_store, experiments={**SMALL["experiments"], "real": {
        "set": {"task": "classification", "data.held_out_domain": "a", "partition.absent_cells": "dark@a"}
    }}).on_store("elsewhere").config("real", 0)  # fmt: skip
    assert held_out.data.held_out_domain is None and held_out.partition.absent_cells == "", "it has other domains"
    assert list(study.all_seeds) == [7, 8, 9] and list(study.with_seeds([3]).all_seeds) == [3]
    with pytest.raises(ConfigError, match="different numbers"):
        study.with_seeds([1, 1])


def test_every_problem_is_told_at_once_with_the_nearest_name():
    message = told(
        changed(
            seeds=[0, 0],
            common={"federation.num_round": 2, "seed": 1},
            experiments={
                **SMALL["experiments"],
                "both": {"like": "reel", "synthetic": "mode"},
                "circle": {"like": "circle"},
            },
            stores={"made": {"made_by": "makre", "per_label": 6}},
            budgets={"small": {"experiments": {"rael": {}}, "stores": {"maed": 3}, "gates": {"made": {}}}},
            tables=[
                {
                    "name": "t",
                    "scores": ["auroc"],
                    "baseline": "rael",
                    "rows": [
                        {"name": "one", "experiment": "rel"},
                        {"name": "one", "experiment": "real", "trivial": "real"},
                        {"name": "two", "experiment": "real", "against": "on", "published": {"auroch": 1.0}},
                    ],
                }
            ],
        )
    )
    for part in (
        "seeds must be different numbers >= 0, at least one, but got [0, 0]",
        "common: federation.num_round is no config path; did you mean 'federation.num_rounds'?",
        "common: seed is the study's own to fill in",
        "experiments.both.like: there is no 'reel'; did you mean 'real'?",
        "experiments.both.synthetic: there is no 'mode'; did you mean 'made'?",
        "experiments.circle is like itself: circle -> circle",
        "stores.made.made_by: there is no 'makre'; did you mean 'maker'?",
        "budgets.small.experiments: there is no 'rael'",
        "budgets.small.stores: there is no 'maed'",
        "budgets.small.gates: there is no 'made' (there is none)",
        "table 't' has the row 'one' twice",
        "table 't', baseline: there is no 'rael'",
        "table 't', row 'one': there is no 'rel'",
        "table 't', row 'one' needs one of experiment, trivial and judged",
        "table 't', row 'two', against: there is no 'on'",
        "table 't', row 'two', published: there is no 'auroch'; did you mean 'auroc'?",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tabels": []}, "tabels: there is no such key; did you mean 'tables'?"),
        ({"name": "a name"}, "name: string should match pattern"),
        ({"stores": {"made": {"made_by": "maker", "per_label": 0}}}, "stores.made.per_label"),
        ({"budgets": {"large": {}}}, "'small' or 'paper'"),
        ({"stores": {"made": {"made_by": "maker"}}}, "a store has made_by and per_label"),
        (
            {"stores": {"made": {"like": "made", "control": "noise", "gate": {}}}},
            "or like and control, and nothing else",
        ),
        ({"stores": {**SMALL["stores"], "x": {"like": "x", "control": "noise"}}}, "stores.x.like: there is no 'x'"),
        ({"stores": {**SMALL["stores"], "x": {"like": "made", "control": "nose"}}}, "'noise', 'shuffled-labels'"),
    ],
)
def test_unknown_keys_and_values_out_of_range_are_refused(changes, expected):
    assert expected in told(changed(**changes))


def test_a_study_is_found_by_name_or_path():
    assert find_study(Path("augmentation"), STUDIES) == STUDIES / "augmentation.yaml"
    assert find_study(Path("my/own.yaml"), STUDIES) == Path("my/own.yaml")
    with pytest.raises(ConfigError, match="did you mean 'augmentation'"):
        find_study(Path("augmentaton"), STUDIES)
