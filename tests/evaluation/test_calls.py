"""What tiles are called: recalls against folds by scikit-learn one by one, groups apart, and cells of equal weight."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from fedray.evaluation.calls import Caller


def features(codes: np.ndarray, apart: float, seed: int = 0, width: int = 6) -> np.ndarray:
    """Gaussian features, whose first ones say the code."""
    found = np.random.default_rng(seed).normal(size=(len(codes), width))
    found[np.arange(len(codes)), codes] += apart
    return found.astype(np.float32)


def test_recalls_are_those_of_folds_one_by_one():
    codes, groups = np.arange(120) % 3, np.arange(120) // 6
    tiles = features(codes, 2.0)
    called = np.empty(120, np.int64)
    for learned, held in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(tiles, codes, groups):
        scaler = StandardScaler().fit(tiles[learned])
        model = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(tiles[learned]), codes[learned])
        called[held] = model.predict(scaler.transform(tiles[held]))
    caller = Caller.learned(tiles, codes, codes, groups)
    assert [caller.recalls[code].share for code in range(3)] == pytest.approx(recall_score(codes, called, average=None))
    assert caller.chance == pytest.approx(1 / 3) and all(recall.num == 40 for recall in caller.recalls.values())
    assert all(recall.low < recall.share for recall in caller.recalls.values())
    other = features(codes, 2.0, seed=1)
    assert caller.share_called(other[codes == 1], 1) > 0.6 > 0.3 > caller.share_called(other[codes == 1], 2)


def test_no_group_is_learned_from_and_held_back_at_once():
    """Features name the group and not the code: with the group's twins in view every tile would be told."""
    groups = np.arange(100) // 10
    codes = groups % 2
    tiles = np.eye(10, dtype=np.float32)[groups] * 10
    told = Caller.learned(tiles, codes, codes, groups).recalls[0].share
    assert told < 0.8 and Caller.learned(tiles, codes, codes, np.arange(100)).recalls[0].share == 1


def test_of_a_pair_that_nobody_has_the_recall_is_that_of_cells_held_back():
    """The code shows in two features, one for each half of the other code: a pair not seen is not told."""
    codes, others = np.arange(240) % 2, np.arange(240) // 2 % 3
    alike = features(codes, 5.0)
    cells = codes * 3 + others
    assert Caller.learned(alike, codes, cells, np.arange(240)).unseen[0].share > 0.95
    apart = np.eye(6, dtype=np.float32)[cells] * 5 + features(codes, 0.0) * 0.1
    caller = Caller.learned(apart, codes, cells, np.arange(240))
    assert caller.recalls[0].share == 1 and caller.unseen[0].share < 0.75
    assert caller.tells(0, cell=0) and not caller.tells(0, cell=77)
    assert Caller.learned(alike, codes, codes, np.arange(240)).unseen == {}, "each code in one cell"


def test_a_rare_pair_weighs_as_much_as_a_common_one():
    """Code and domain come together nearly always, and the domain shows more: unweighted, it would be what is told."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 0, 1], [190, 190, 10, 10])
    domains = np.repeat([0, 1, 1, 0], [190, 190, 10, 10])
    tiles = rng.normal(size=(400, 2)).astype(np.float32) + np.stack([codes * 2.0, domains * 4.0], 1).astype(np.float32)
    weighted = Caller.learned(tiles, codes, codes * 2 + domains, np.arange(400))
    unweighted = Caller.learned(tiles, codes, codes, np.arange(400))
    rare = rng.normal(size=(500, 2)).astype(np.float32) + np.array([0.0, 4.0], np.float32)  # code 0 in domain 1
    assert weighted.share_called(rare, 0) > unweighted.share_called(rare, 0) + 0.2


def test_a_code_is_told_if_real_tiles_are_more_than_half_the_way_from_chance():
    codes = np.arange(200) % 2
    for apart, tells in ((5.0, True), (0.0, False), (0.7, False)):
        caller = Caller.learned(features(codes, apart), codes, codes, np.arange(200))
        assert caller.tells(0, cell=0) is tells, (apart, caller.recalls)
    assert 0.5 < caller.recalls[0].share < 0.75
    assert not caller.tells(7, cell=7) and caller.recall(7, cell=7) is None


def test_few_tiles_of_a_code_are_left_out_and_few_of_a_cell_have_the_recall_of_the_code():
    codes = np.repeat([0, 1, 2], [40, 40, 4])
    cells = np.where(np.arange(84) < 30, 9, codes)  # of code 0, ten tiles in a cell of their own
    caller = Caller.learned(features(codes, 4.0), codes, cells, np.arange(84))
    assert caller.recalls.keys() == {0, 1} and caller.chance == 0.5
    assert caller.recall(0, cell=9).num == 30 and caller.recall(0, cell=0).num == 40
    assert Caller.learned(features(codes[:40], 4.0), codes[:40], codes[:40], np.arange(40)) is None
