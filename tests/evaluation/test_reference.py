"""Real-image statistics and extractors are computed once per store, by one process, and never mixed up."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation import EvaluationError, Evaluator, score_names
from fedray.evaluation.destruction import destroy
from fedray.evaluation.reference import compared_indices, floor_draws, floor_indices
from fedray.randomness import stream

CONFIG = EvaluationConfig(num_samples=256)
MakeStore = Callable[..., TileStore]

SMALL = {"gland": (30, 20), "stroma": (30, 20)}
TWENTY = EvaluationConfig(num_samples=20)


def files(cache: Path, store: TileStore) -> dict[str, int]:
    """Cached files of a store and when they were written, in nanoseconds."""
    folder = cache / "evaluation" / store.fingerprint
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


def test_the_second_prepare_only_reads(cache: Path, store: TileStore, evaluator: Evaluator) -> None:
    before = files(cache, store)
    again = Evaluator.prepare(store, CONFIG)
    assert files(cache, store) == before
    assert sum(name.startswith("efficientnet-lite0") for name in before) == 1
    assert again.floor == evaluator.floor
    assert np.array_equal(
        again.reference.samples["efficientnet-lite0"].features,
        evaluator.reference.samples["efficientnet-lite0"].features,
    )


def test_another_number_or_split_shares_the_extractor(cache: Path, store: TileStore, evaluator: Evaluator) -> None:
    before = files(cache, store)
    other = Evaluator.prepare(store, EvaluationConfig(num_samples=40, split="train"))
    new = files(cache, store).keys() - before.keys()
    assert sorted(name[:4] for name in new) == ["refe", "self"]
    assert other.extractor.identity == evaluator.extractor.identity
    assert next(iter(other.floor)) == "fid/efficientnet-lite0/40"


def test_another_content_has_another_cache(cache: Path, make_store: MakeStore) -> None:
    first, second = make_store(SMALL, 16, seed=1), make_store(SMALL, 16, seed=2)
    one, two = Evaluator.prepare(first, TWENTY), Evaluator.prepare(second, TWENTY)
    assert one.extractor.identity != two.extractor.identity
    assert len(files(cache, first)) == len(files(cache, second)) == 3


def test_a_damaged_file_is_built_again(cache: Path, make_store: MakeStore) -> None:
    store = make_store(SMALL, 16, seed=1)
    before = Evaluator.prepare(store, TWENTY)
    for path in (cache / "evaluation" / store.fingerprint).glob("reference*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert Evaluator.prepare(store, TWENTY).floor == pytest.approx(before.floor)


def test_two_processes_build_once_and_agree(cache: Path, make_store: MakeStore) -> None:
    store = make_store(SMALL, 16, seed=3)
    script = textwrap.dedent(f"""
        import multiprocessing
        import fedray.evaluation.extractors.lite0 as lite0  # once for both, for it takes seconds
        from fedray.config import EvaluationConfig
        from fedray.data import TileStore
        from fedray.evaluation import Evaluator
        measure, measured = lite0.measure, []
        lite0.measure = lambda network, store: measured.append(1) or measure(network, store)
        def prepare():
            evaluator = Evaluator.prepare(TileStore.open({str(store.path)!r}), EvaluationConfig(num_samples=20))
            print(len(measured), evaluator.extractor.identity, evaluator.floor, flush=True)
        processes = [multiprocessing.get_context("fork").Process(target=prepare) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    """)
    command, environment = [sys.executable, "-c", script], os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, timeout=200, check=True)
    answers = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert sorted(answer[0] for answer in answers) == ["0", "1"]
    assert answers[0][1] == answers[1][1]
    assert len(files(cache, store)) == 3


def test_the_reference_of_a_split_is_drawn_once_and_from_it(store: TileStore) -> None:
    first, second = compared_indices(store, CONFIG), compared_indices(store, CONFIG)
    assert np.array_equal(first, second)
    assert len(np.unique(first)) == 256
    assert np.isin(first, store.indices("test")).all()
    assert not np.array_equal(first, compared_indices(store, CONFIG, seed=1))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"gland": (40, 20), "stroma": (40, 30)}, 50),
        ({"gland": (40, 20), "stroma": (24, 30)}, 40),  # 24 of stroma: the training tiles decide
        ({"gland": (40, 20), "stroma": (3, 30)}, 25),  # halves of the test tiles serve more
        ({"gland": (0, 20), "stroma": (0, 30)}, 25),
        ({"gland": (40, 20), "stroma": (1, 1)}, 21),
        ({"gland": (40, 20), "stroma": (0, 1)}, 21),  # a smaller number with a floor would leave stroma out
        ({"gland": (2, 9), "stroma": (2, 9)}, 18),  # below 16 it does not fall
        ({"gland": (200, 150), "stroma": (150, 200)}, 256),
        ({"gland": (200, 150), "stroma": (130, 200)}, 228),
    ],
)
def test_by_default_as_many_are_compared_as_leave_other_real_tiles_for_the_floor(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture, counts: dict[str, tuple[int, int]], expected: int
) -> None:
    store = make_store(counts, 16)
    most = min(256, sum(test for _, test in counts.values()))
    labels = [store.labels[compared_indices(store, EvaluationConfig())] for _ in range(2)]
    assert len(labels[0]) == expected
    assert score_names(EvaluationConfig(), store)[0] == f"fid/efficientnet-lite0/{expected}"
    assert len(np.unique(labels[0])) == 2
    with_floor = {
        num: floor_indices(store, EvaluationConfig(num_samples=num)) is not None for num in range(16, most + 1)
    }
    if with_floor[expected]:
        assert not any(with_floor[num] for num in range(expected + 1, most + 1))
    else:
        assert expected == most
    told = [text for text in caplog.messages if "too few other real tiles" in text]
    assert len(told) == (expected < most)
    assert all(f"{expected} of {most} test tiles are compared" in text and str(store.path) in text for text in told)
    caplog.clear()
    assert len(compared_indices(store, EvaluationConfig(num_samples=most))) == most  # one that is asked for stays
    assert not caplog.messages


@pytest.mark.parametrize(
    ("counts", "num", "expected"),
    [
        ({"gland": (300, 64), "stroma": (300, 64)}, 64, 5),
        ({"gland": (300, 200), "stroma": (300, 200)}, 256, 2),  # 512 tiles at the most
        ({"gland": (300, 200), "stroma": (300, 200)}, 260, 1),
        ({"gland": (300, 300), "stroma": (300, 300)}, 600, 1),  # one, of however many
        ({"gland": (100, 64), "stroma": (300, 64)}, 64, 3),  # the rarer label decides
        ({"gland": (31, 64), "stroma": (300, 64)}, 64, 1),  # the training tiles have none, the unused test tiles one
        ({"gland": (31, 40), "stroma": (300, 40)}, 64, 0),
    ],
)
def test_a_floor_is_the_mean_over_as_many_draws_as_there_are_tiles_for(
    make_store: MakeStore, counts: dict[str, tuple[int, int]], num: int, expected: int
) -> None:
    store, config = make_store(counts, 16), EvaluationConfig(num_samples=num)
    draws, compared = floor_draws(store, config), compared_indices(store, config)
    assert len(draws) == expected
    taken = np.concatenate([compared, *draws])
    assert len(np.unique(taken)) == len(taken)
    for draw in draws:
        assert np.array_equal(np.bincount(store.labels[draw]), np.bincount(store.labels[compared]))
    first = floor_indices(store, config)
    assert np.array_equal(first, draws[0]) if draws else first is None


def test_floor_and_self_test_are_what_the_draws_score_on_average(make_store: MakeStore) -> None:
    store = make_store(SMALL, 16, seed=7)
    evaluator, draws = Evaluator.prepare(store, TWENTY), floor_draws(store, TWENTY)
    assert len(draws) == 3 and evaluator.self_test is not None
    labels = [store.labels[draw].astype(np.int64) for draw in draws]
    each = [evaluator.scores(store.tiles(draw), of) for draw, of in zip(draws, labels, strict=True)]
    assert evaluator.floor == pytest.approx({name: np.mean([one[name] for one in each]) for name in each[0]}, rel=1e-4)
    rng = stream(0, "self-test", "noise")
    worse = [evaluator.scores(destroy("noise", store.tiles(draw), of, rng)[0], of)
             for draw, of in zip(draws, labels, strict=True)]  # fmt: skip
    test = evaluator.self_test
    for score, value in test.scores["noise"].items():
        assert value == pytest.approx(np.mean([one[score] for one in worse]), rel=1e-4)
        low, high = test.rises["noise"][score]
        assert low < value - test.floor[score] < high
        floor, draw = test.floor_intervals[score], test.intervals[score]
        assert draw[0] < floor[0] < test.floor[score] < floor[1] < draw[1]


def test_a_split_without_tiles_is_refused(make_store: MakeStore) -> None:
    store = make_store({"gland": (20, 0), "stroma": (20, 1)})
    with pytest.raises(EvaluationError, match=r"evaluation.split 'test' must have at least 2 tiles, but has 1"):
        score_names(CONFIG, store)


def test_too_few_tiles_for_the_features_are_warned_of_once(store: TileStore, caplog: pytest.LogCaptureFixture) -> None:
    config = EvaluationConfig(num_samples=48)
    Evaluator.prepare(store, config)
    Evaluator.prepare(store, config)
    assert sum("fid/efficientnet-lite0/48 compares 48 tiles by 248 features" in text for text in caplog.messages) == 1
