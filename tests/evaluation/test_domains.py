"""Scores of single domains: whose tiles they are of, and what other real tiles of the same domain score."""

from pathlib import Path

import numpy as np
import pytest

from fedray.config import DataConfig, EvaluationConfig, ExperimentConfig
from fedray.data import Tile, TileStore, write_store
from fedray.evaluation import EvaluationError, Evaluator, compared_indices, is_of_all_tiles, score_names, whole_of
from fedray.evaluation.metrics import Sample, compare, metrics_of
from fedray.evaluation.reference import floor_draws, mean_scores
from fedray.experiment.judging.samples import evaluate_answers, wanted

CONFIG = EvaluationConfig(num_samples=80)
EXTRACTOR = "efficientnet-lite0"
SITES = ("north", "south")


def two_sites(store: TileStore, path: Path, south_in_train: int = 40) -> TileStore:
    """Tiles of the colon at 16 px, by label, site and split 20; those of the south are paler."""
    rng, tiles = np.random.default_rng(0), []
    for site in (0, 1):
        for split in ("train", "test"):
            pool = store.indices(split)
            for label in (0, 1):
                num = south_in_train // 2 if (site, split) == (1, "train") else 40 - 20 * (split == "test")
                for image in store.tiles(rng.choice(pool[store.labels[pool] == label], num, replace=False)):
                    paler = image[:16, :16] // 2 + 127 if site else image[:16, :16]
                    tiles.append(Tile(paler, label, site, f"{split}{len(tiles)}", split, "colon"))
    return write_store(path, tiles, label_names=["gland", "stroma"], domain_names=SITES)


@pytest.fixture(scope="module")
def sites(store: TileStore, tmp_path_factory: pytest.TempPathFactory) -> TileStore:
    return two_sites(store, tmp_path_factory.mktemp("sites") / "store")


@pytest.fixture(scope="module")
def judge(sites: TileStore) -> Evaluator:
    return Evaluator.prepare(sites, CONFIG)


@pytest.fixture(scope="module")
def made(sites: TileStore, judge: Evaluator) -> np.ndarray:
    """Other real tiles, of each label and site as many as are compared."""
    pools = {(label, site): list(np.flatnonzero((sites.labels == label) & (sites.domains == site)))
             for label in (0, 1) for site in (0, 1)}  # fmt: skip
    places = [pools[wish].pop(0) for wish in zip(judge.labels, judge.domains, strict=True)]
    assert not np.isin(places, sites.indices("test")).any()
    return sites.tiles(np.array(places))


def test_each_site_is_scored_beside_each_label(sites: TileStore, judge: Evaluator, made: np.ndarray) -> None:
    names = score_names(CONFIG, sites)
    of_sites = [name for name in names if "/domain/" in name]
    assert of_sites == [name.replace("/label/gland", f"/domain/{site}") for name in names if "/label/gland" in name
                        for site in SITES] and len(of_sites) >= 18  # fmt: skip
    assert {whole_of(name) for name in of_sites} <= {name for name in names if is_of_all_tiles(name)}
    found = judge.scores(made, judge.labels, judge.domains)
    assert judge.self_test is not None
    assert list(found) == list(judge.self_test.without_void(dict.fromkeys(names, 0.0)))
    assert set(judge.scores(made, judge.labels)) == set(found) - set(of_sites)
    assert {name: judge.scores(made, judge.labels)[name] for name in found if name not in of_sites} == {
        name: value for name, value in found.items() if name not in of_sites
    }


def test_what_one_site_lacks_shows_in_its_own_scores_alone(judge: Evaluator, made: np.ndarray) -> None:
    worse = made.copy()
    south = judge.domains == 1
    worse[south] = np.random.default_rng(0).integers(0, 256, worse[south].shape, dtype=np.uint8)
    before, after = (judge.scores(tiles, judge.labels, judge.domains) for tiles in (made, worse))
    for kind in (f"kid/{EXTRACTOR}", f"sliced/{EXTRACTOR}", "distance/texture"):
        assert after[f"{kind}/80/domain/north"] == pytest.approx(before[f"{kind}/80/domain/north"], rel=1e-6)
        assert after[f"{kind}/80/domain/south"] > 2 * before[f"{kind}/80/domain/south"]


def test_the_floor_of_a_site_is_of_its_own_other_tiles_and_that_of_all_as_before(
    sites: TileStore, judge: Evaluator
) -> None:
    assert set(judge.floor) == set(score_names(CONFIG, sites))
    real, compared = judge.reference.samples[EXTRACTOR], compared_indices(sites, CONFIG)

    def sample(chosen: np.ndarray) -> Sample:
        return Sample(judge.extractor.features(sites.tiles(chosen), judge.device), sites.labels[chosen])

    for code, site in enumerate(SITES):
        own, draws = real.take(np.flatnonzero(real.domains == code)), floor_draws(sites, CONFIG, domain=code)
        for chosen in draws:
            assert set(sites.domains[chosen]) == {code} and not np.isin(chosen, compared).any()
            assert np.array_equal(np.bincount(sites.labels[chosen]), np.bincount(own.labels))
        for metric in metrics_of(EXTRACTOR, sites.label_names):
            if metric.features == EXTRACTOR and metric.min_label_tiles is not None:
                values = np.mean([metric.measure(own, sample(chosen)) for chosen in draws], axis=0)
                for kind, value in zip(metric.kinds, values, strict=True):
                    assert judge.floor[f"{kind}/{EXTRACTOR}/80/domain/{site}"] == pytest.approx(value, rel=1e-5)
    others = [{name: sample(chosen) for name in judge.reference.samples} for chosen in floor_draws(sites, CONFIG)]
    both = {name: real for name in judge.reference.samples}
    for name, value in mean_scores([compare(EXTRACTOR, sites.label_names, both, other) for other in others]).items():
        if f"/{EXTRACTOR}/" in name:
            assert judge.floor[name] == pytest.approx(value, rel=1e-5)


def test_a_site_without_other_tiles_has_no_floor(store: TileStore, tmp_path: Path) -> None:
    few = two_sites(store, tmp_path / "few", south_in_train=10)
    floor = Evaluator.prepare(few, EvaluationConfig(num_samples=76)).floor
    assert any("/domain/north" in name for name in floor) and not any("/domain/south" in name for name in floor)


def test_other_shares_of_sites_are_refused_with_their_names(judge: Evaluator, made: np.ndarray) -> None:
    with pytest.raises(EvaluationError, match=r"each domain as often .* \{'north': 40, 'south': 40\}, but got"):
        judge.scores(made, judge.labels, np.zeros(80, np.int64))


def test_an_experiment_scores_the_sites_that_it_asks_its_generator_for(sites: TileStore, made: np.ndarray) -> None:
    config = ExperimentConfig(data=DataConfig(store=str(sites.path)), evaluation=CONFIG)
    assert np.array_equal(wanted(config)[1], sites.domains[compared_indices(sites, CONFIG)])
    found = evaluate_answers(config, made).scores
    assert {f"kid/{EXTRACTOR}/80/domain/{site}" for site in SITES} <= found.keys()
