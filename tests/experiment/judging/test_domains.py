"""How classifiers are judged by domain, by cell and on a domain that nobody trains on: without Ray."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from fedray.cli.report import print_scores
from fedray.data import Tile, client_partition, local_store, partitioned_store, write_store
from fedray.evaluation import EvaluationError, mode_of
from fedray.experiment.engines import ExperimentRun
from fedray.experiment.judging.labels import evaluate, heading, notes, score_names, trivial_row
from fedray.experiment.run import check_config
from fedray.experiment.settled import settled
from fedray.federation import client_app, shared_arrays
from fedray.federation.messages import from_record
from fedray.tasks.classification import Classifier
from fedray.terminal import plain_console
from fedray.testing import LocalGrid
from tests.support.classifiers import experiment
from tests.support.federation import first_state

NAMES = ("zeiss", "leica", "old")


def store_of(path, test):
    """Tiles of 16 px of two labels: 6 to train in each cell, and ``test[domain, label]`` to test."""
    random = np.random.default_rng(0)
    train = {(domain, label): 6 for domain in range(3) for label in range(2)}
    tiles = [
        Tile(
            random.integers(0, 256, (16, 16, 3), dtype=np.uint8), label, domain, f"{split}{domain}{label}{i}", split, ""
        )
        for split, counts in (("train", train), ("test", test))
        for (domain, label), count in counts.items()
        for i in range(count)
    ]
    return write_store(path, tiles, label_names=["tumour", "stroma"], domain_names=NAMES)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """As above, with 12 test tiles in most cells, 3 in one, none in another."""
    test = {(0, 0): 12, (0, 1): 12, (1, 0): 12, (1, 1): 3, (2, 0): 12, (2, 1): 14}
    return store_of(tmp_path_factory.mktemp("stores") / "scanned", test)


def answers_of(config, store, rows):
    one = Classifier(config.classification, partitioned_store(config).shape(), config.seed)
    return one.logits(store.tiles(rows)).argmax(1)


@pytest.mark.parametrize("scheme", ["iid", "imbalance"])
def test_a_domain_that_is_held_out_is_scored_beside_the_others(scanned, scheme):
    config = experiment(scanned, data__held_out_domain="old", partition__scheme=scheme)
    found = evaluate(config, 1, shared_arrays(first_state(config)))
    assert list(found.scores) == score_names(config, local_store(config.data))
    for name, rows in (
        ("test/39", (scanned.domains != 2) & (scanned.splits == "test")),
        ("external/26", (scanned.domains == 2) & (scanned.splits == "test")),
        ("test/39/domain/leica", (scanned.domains == 1) & (scanned.splits == "test")),
    ):
        rows = np.flatnonzero(rows)
        labels, said = scanned.labels[rows], answers_of(config, scanned, rows)
        assert found.scores[f"balanced-accuracy/{name}"] == pytest.approx(balanced_accuracy_score(labels, said))
        assert found.scores[f"macro-f1/{name}"] == pytest.approx(f1_score(labels, said, average="macro"))
    assert found.scores["worst-cell-recall/test/39"] == min(
        value for name, value in found.scores.items()
        if name.startswith("recall/test/39/label/") and "/domain/" in name and not name.endswith("stroma/domain/leica")
    )  # fmt: skip
    assert not any("old" in name or name.startswith("worst-cell-recall/external") for name in found.scores)
    assert found.preview.sum() == 39, "the picture is of the other domains"


def test_clients_own_networks_are_judged_on_it_and_by_domain_too(scanned):
    config = experiment(scanned, data__held_out_domain="old", federation__strategy="local-only")
    run = ExperimentRun(config, LocalGrid(client_app, 2))
    run.step()
    found, start = run.evaluate().scores, shared_arrays(first_state(config))
    each = [
        evaluate(config, 1, start | from_record(context.state.array_records["own"])).scores
        for context in run.grid.contexts.values()
    ]
    assert list(found) == score_names(config, local_store(config.data)) and each[0] != each[1]
    for name in found:
        if mode_of(name) is not None:
            assert found[name] == pytest.approx(np.mean([scores[name] for scores in each]))


def test_nobody_trains_or_validates_on_it(scanned):
    config = experiment(scanned, data__held_out_domain="old", classification__patience=1)
    kept = np.concatenate(client_partition(config).clients)
    tiles = {tile.tobytes() for tile in scanned.tiles(np.flatnonzero(scanned.domains == 2))}
    source = partitioned_store(config)
    assert len(kept) == 24 and local_store(config.data).domain_names == ("zeiss", "leica")
    assert not any(tile.tobytes() in tiles for client in range(2) for tile in source.tiles(client).tiles)


def test_without_one_there_is_no_external_test(scanned):
    config = experiment(scanned)
    names = score_names(config, scanned)
    assert not any("external" in name for name in names)
    assert {"balanced-accuracy/test/65/domain/old", "recall/test/65/label/tumour/domain/old"} <= set(names)


def test_the_trivial_row_has_the_same_scores(scanned):
    config = experiment(scanned, data__held_out_domain="zeiss")
    row = trivial_row(config)
    assert list(row.floor) == [name for name in score_names(config, local_store(config.data)) if mode_of(name)]
    assert row.floor["balanced-accuracy/external/24"] == 0.5 and row.floor["worst-cell-recall/test/41"] == 0
    assert row.floor["recall/test/41/label/tumour/domain/old"] == (row.label == "tumour")


def test_what_is_held_out_and_what_is_too_small_is_told_before_the_start(scanned):
    config = experiment(scanned, data__held_out_domain="old")
    few, external = notes(config, local_store(config.data))
    assert "fewer than 10 tiles of the test split have no say in worst-cell-recall: stroma@leica (3)" in few
    assert "none of its 38 tiles is trained on, and its 26 of the test split are the external test" in external
    other = experiment(scanned, data__held_out_domain="old", evaluation__split="train")
    assert "its 12 of the train split are the external-train test" in notes(other, local_store(other.data))[-1]


@pytest.mark.parametrize(
    ("test", "what"),
    [
        ({(0, 0): 2, (0, 1): 2, (2, 0): 3}, "those of its test split are all 'tumour'"),
        ({(0, 0): 2, (0, 1): 2}, "those of its test split are none"),
    ],
)
def test_a_domain_on_which_nothing_can_be_told_apart_is_refused(tmp_path, test, what):
    store = store_of(tmp_path / "s", test)
    config = settled(experiment(store, data__held_out_domain="old"))
    with pytest.raises(EvaluationError, match=rf"'old' is no external test, .*: {what}; hold out another domain"):
        check_config(config, local_store(config.data))


def test_the_final_table_has_domains_below_all_and_cells_as_a_table_of_their_own(scanned, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    config = experiment(scanned, data__held_out_domain="old")
    scores = evaluate(config, 1, shared_arrays(first_state(config))).scores
    print_scores(plain_console(), scores, trivial_row(config).floor, heading(config))
    output = capsys.readouterr().out
    lines = [line.split() for line in output.splitlines()]
    assert max(map(len, output.splitlines())) <= 80
    of_all = lines.index(next(line for line in lines if line[:1] == ["balanced-accuracy/test/39"]))
    assert [line[0] for line in lines[of_all + 1 : of_all + 3]] == [".../domain/zeiss", ".../domain/leica"]
    assert any(line[:1] == ["balanced-accuracy/external/26"] for line in lines)
    (head,) = (place for place, line in enumerate(lines) if line[:1] == ["recall/test/39"])
    assert lines[head] == ["recall/test/39", "in", "zeiss", "leica"]
    cells = [scores[f"recall/test/39/label/stroma/domain/{domain}"] for domain in ("zeiss", "leica")]
    assert ["stroma", *(f"{cell:.3f}" for cell in cells)] in lines[head:]
    assert "label/stroma/domain" not in output
