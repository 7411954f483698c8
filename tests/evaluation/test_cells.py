"""Scores of domains and cells against scikit-learn, one domain's tiles after another's."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from fedray.evaluation import mode_of, range_of, whole_of
from fedray.evaluation.cells import MIN_CELL_TILES, Cells, cell_of
from fedray.evaluation.classification import Told, classification_names, told_by

LABELS, DOMAINS = ["gland", "stroma", "fat"], ["a", "b/2", "c"]
COUNTS = {(0, 0): 40, (0, 1): 30, (1, 0): 25, (1, 1): MIN_CELL_TILES, (1, 2): MIN_CELL_TILES - 1, (2, 2): 12}
"""Tiles of each (domain, label): one cell is too small to be the worst, and one domain has a single label."""


def cells_and_told(counts=COUNTS, seed=0, skill=1.0, domain_names=DOMAINS) -> tuple[Cells, Told]:
    random = np.random.default_rng(seed)
    domains, labels = (np.repeat([cell[place] for cell in counts], [*counts.values()]) for place in range(2))
    order = random.permutation(len(labels))
    domains, labels = domains[order], labels[order]
    logits = random.normal(0, 1, (len(labels), 3)) + skill * np.eye(3)[labels]
    return Cells(labels, domains, LABELS, domain_names, "test"), told_by(logits.astype(np.float32), labels)


def bare(scores):
    return {name: value for name, value in scores.items() if mode_of(name) is not None}


def by_hand(cells: Cells, answers) -> dict[str, float]:
    """Loop over the tiles of each domain and cell, and ask scikit-learn."""
    n, expected, worst = len(cells.labels), {}, []
    for domain, name in enumerate(cells.domain_names):
        own = cells.domains == domain
        labels, said = cells.labels[own], answers[own]
        present = np.unique(labels)
        if len(present) > 1:
            f1 = f1_score(labels, said, labels=present, average="macro", zero_division=0.0)
            recalls = recall_score(labels, said, labels=present, average="macro", zero_division=0.0)
            expected[f"balanced-accuracy/test/{n}/domain/{name}"] = recalls
            expected[f"macro-f1/test/{n}/domain/{name}"] = f1
        for label in present:
            found = [said[i] == label for i in range(len(labels)) if labels[i] == label]
            share = sum(found) / len(found)
            expected[f"recall/test/{n}/label/{LABELS[label]}/domain/{name}"] = share
            worst += [share] if len(found) >= MIN_CELL_TILES else []
    return expected | ({f"worst-cell-recall/test/{n}": min(worst)} if worst else {})


@pytest.mark.parametrize(("seed", "skill"), [(0, 1.0), (1, 0.0), (2, 0.0), (3, 4.0)])
def test_scores_are_scikit_learns_of_each_domain(seed, skill):
    cells, told = cells_and_told(seed=seed, skill=skill)
    assert bare(cells.scores(told)) == pytest.approx(by_hand(cells, told.answers))


def test_balanced_accuracy_is_scikit_learns_where_a_domain_has_all_labels():
    cells, told = cells_and_told()
    own = cells.domains == 1
    expected = balanced_accuracy_score(cells.labels[own], told.answers[own])
    assert cells.scores(told)["balanced-accuracy/test/126/domain/b/2"] == pytest.approx(expected)


def test_a_cell_with_few_tiles_is_scored_and_is_never_the_worst():
    """The network gets all of the small cell wrong, and all else right."""
    cells, _ = cells_and_told()
    small = (cells.domains == 1) & (cells.labels == 2)
    told = Told(cells.labels, np.eye(3)[np.where(small, 0, cells.labels)])
    scores = bare(cells.scores(told))
    assert scores["recall/test/126/label/fat/domain/b/2"] == 0 and scores["worst-cell-recall/test/126"] == 1
    assert cells.too_few() == ["fat@b/2 (9)"]
    tiny, said = cells_and_told({(0, 0): 3, (1, 1): 4})
    assert not any(name.startswith("worst") for name in tiny.scores(said))
    assert bare(tiny.scores(said)) == pytest.approx(by_hand(tiny, said.answers))


def test_tiles_of_one_domain_have_none():
    cells, told = cells_and_told({(0, 0): 20, (0, 1): 20})
    assert cells.scores(told) == {} and cells.names() == [] and cells.too_few() == []
    assert cells.majority_scores(0) == {}


def test_names_and_values_are_in_one_order_and_know_their_protocol():
    cells, told = cells_and_told()
    names = cells.names()
    assert list(cells.scores(told)) == names and len(set(names)) == len(names)
    assert names[:3] == [f"worst-cell-recall{end}/test/126" for end in ("", "-low", "-high")]
    assert all(mode_of(name) == (None if "-low/" in name or "-high/" in name else "max") for name in names)
    assert all(range_of(name) == (0.0, 1.0) for name in names)
    of_all = {*classification_names(cells.labels, LABELS, "test"), *names}
    assert all(whole_of(name) in of_all for name in names[::3] if cell_of(name) is None)
    assert cell_of("recall/test/126/label/fat/domain/b/2") == ("fat", "b/2")
    assert cell_of("recall/test/126/label/fat") is None and cell_of("macro-f1/test/126/domain/a") is None
    assert cell_of("kid/x/126/label/a/domain/b") is None


def test_the_trivial_row_is_who_always_answers_one_label():
    cells, told = cells_and_told()
    row = cells.majority_scores(1)
    assert row == pytest.approx(by_hand(cells, np.ones(len(cells.labels), int)))
    assert list(row) == list(bare(cells.scores(told)))


def test_intervals_are_those_of_a_plain_bootstrap_within_cells():
    """Draws of tiles, cell by cell; domain 0 has two labels, all of whose tiles and answers are drawn."""
    cells, told = cells_and_told()
    scores, random, drawn = cells.scores(told), np.random.default_rng(1), []
    owns = {cell: told.answers[(cells.domains == cell[0]) & (cells.labels == cell[1])] for cell in COUNTS}
    for _ in range(2000):
        said = {cell: random.choice(own, len(own)) for cell, own in owns.items()}
        recalls = {cell: (answers == cell[1]).mean() for cell, answers in said.items()}
        f1 = []
        for label in (0, 1):
            taken = sum((said[0, other] == label).sum() for other in (0, 1))
            right = (said[0, label] == label).sum()
            f1.append(2 * right / (taken + COUNTS[0, label]))
        worst = min(share for cell, share in recalls.items() if COUNTS[cell] >= MIN_CELL_TILES)
        drawn.append((np.mean([recalls[0, 0], recalls[0, 1]]), np.mean(f1), recalls[1, 0], worst))
    names = ("balanced-accuracy{}/test/126/domain/a", "macro-f1{}/test/126/domain/a",
             "recall{}/test/126/label/gland/domain/b/2", "worst-cell-recall{}/test/126")  # fmt: skip
    for name, column, tolerance in zip(names, np.array(drawn).T, (0.02, 0.02, 1.01 / 25, 1.01 / 10), strict=True):
        ends = [scores[name.format(end)] for end in ("-low", "-high")]
        np.testing.assert_allclose(ends, np.percentile(column, [2.5, 97.5]), atol=tolerance, err_msg=name)


def test_several_classifiers_are_given_the_same_draws_of_tiles():
    """Two that are right on different tiles: their mean recall is a half on every draw."""
    cells, _ = cells_and_told({(0, 0): 24, (0, 1): 24, (1, 0): 24, (1, 1): 24})
    right = np.arange(len(cells.labels)) % 3 > 0
    answers = [np.where(which, cells.labels, 1 - cells.labels) for which in (right, ~right)]
    several = [told_by(np.eye(3, dtype=np.float32)[each], cells.labels) for each in answers]
    found = cells.scores(*several)
    for end in ("", "-low", "-high"):
        assert found[f"recall{end}/test/96/label/gland/domain/a"] == pytest.approx(0.5)
    assert cells.scores(several[0], several[0]) == pytest.approx(cells.scores(several[0]))
