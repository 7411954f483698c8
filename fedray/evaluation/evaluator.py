"""The evaluator: generated tiles in, scores out, against real tiles that were measured once for the store."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.cache import CacheFiles, install_files, with_used_files
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors import Extractor, ExtractorQuality, load_extractor
from fedray.evaluation.jackknife import intervals_of
from fedray.evaluation.metrics import Sample, Scores, compare, metrics_of
from fedray.evaluation.reference import Reference, load_reference
from fedray.evaluation.samples import sample_of
from fedray.evaluation.self_testing import SelfTest, load_self_test


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores generated tiles against the real ones of a store; it keeps no state, so threads may share it.

    Attributes:
        extractor: What maps tiles to features; ``extractor.quality`` says how far to trust a trained one.
        reference: The real tiles compared with.
        self_test: What destroyed real tiles score; None where the store has too few tiles for a floor.
        label_names: Names of the store's labels.
        domain_names: Names of the store's domains.
        tile_shape: (H, W, C) of a tile.
        device: Where features are computed.
    """

    extractor: Extractor
    reference: Reference
    self_test: SelfTest | None
    label_names: tuple[str, ...]
    domain_names: tuple[str, ...]
    tile_shape: tuple[int, int, int]
    device: torch.device

    @classmethod
    def prepare(
        cls, store: TileStore, config: EvaluationConfig, device: str | torch.device = "cpu", seed: int = 0
    ) -> "Evaluator":
        """Get the extractor and the real features: computed once per store, later calls load them.

        Args:
            store: The tile store.
            config: Extractor, split and number of tiles.
            device: Where features are computed; an extractor is trained on the CPU in any case.
            seed: Which real tiles are drawn where the split has more than are compared. Keep one seed for all runs
                that are to be compared, whatever their own seeds.

        Raises:
            EvaluationError: The extractor cannot work on this store or lacks its weights, or the split has too few
                tiles, or they are all alike.
        """
        on = torch.device(device)
        extractor = load_extractor(store, config)
        extractor.network.to(on)
        reference = load_reference(store, config, extractor, on, seed)
        return cls(
            extractor=extractor,
            reference=reference,
            self_test=load_self_test(store, config, extractor, reference, on, seed),
            label_names=store.label_names,
            domain_names=store.domain_names,
            tile_shape=(store.tile_size, store.tile_size, store.channels),
            device=on,
        )

    @classmethod
    def prepare_portable(cls, store: TileStore, config: EvaluationConfig) -> tuple["Evaluator", CacheFiles]:
        """Do as :meth:`prepare`. Returns the evaluator, and what :meth:`install` gives another machine of it.

        All machines of a cluster must compare in the features of one and the same extractor: trained anew, on another
        processor, it would be another one.
        """
        return with_used_files(lambda: cls.prepare(store, config))

    @staticmethod
    def install(files: CacheFiles) -> None:
        """Have later calls of :meth:`prepare` on this machine load what another one has computed."""
        install_files(files)

    @property
    def num_samples(self) -> int:
        """How many generated tiles :meth:`scores` takes: ``config.num_samples``, or the split's size if smaller."""
        return len(self.reference.labels)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels, int64 [num_samples], to generate tiles for: those of the real tiles compared with."""
        return self.reference.labels.copy()

    @property
    def domains(self) -> NDArray[np.int64]:
        """Domains, int64 [num_samples], to generate tiles for, in the order of :attr:`labels`."""
        return self.reference.domains.copy()

    @property
    def floor(self) -> Scores:
        """The real-against-real floor: the same score names, for as many other real tiles in place of generated ones.

        A perfect generator scores about this. Empty where the store has too few tiles of a label for it.
        """
        return dict(self.reference.floor)

    @property
    def quality(self) -> ExtractorQuality | None:
        """How well a trained extractor tells the store's labels apart; None for one that was not trained on it."""
        return self.extractor.quality

    def scores(
        self,
        generated: NDArray[np.uint8],
        labels: NDArray[np.int64],
        domains: NDArray[np.int64] | None = None,
    ) -> Scores:
        """Score generated tiles.

        Args:
            generated: uint8 [num_samples, H, W, C] in [0, 255].
            labels: int64 [num_samples], what each was generated for; in any order, each label as often as in
                :attr:`labels`.
            domains: int64 [num_samples], the domain that each was generated for, each as often as in :attr:`domains`;
                unset: no domain has scores of its own.

        Returns:
            Scores by name; the names are those of :func:`fedray.evaluation.score_names`, without those of labels that
            these features do not tell apart (:attr:`fedray.evaluation.self_testing.SelfTest.void`).

        Raises:
            EvaluationError: Number, shape or type of the tiles, their labels or domains, are not the ones compared
                with.
        """
        return self.without_void(self._compare(self._sample(generated, labels, domains)))

    def scores_with_intervals(
        self,
        generated: NDArray[np.uint8],
        labels: NDArray[np.int64],
        domains: NDArray[np.int64] | None = None,
    ) -> Scores:
        """Score generated tiles as :meth:`scores` does, each score with its interval over tiles.

        It takes as long as twenty evaluations but for the features: for the last judgement of a generator.

        Returns:
            The scores, and the ends of their intervals by the names of :func:`fedray.evaluation.interval_names`
            (:mod:`fedray.evaluation.jackknife` says of what).
        """
        fake = self._sample(generated, labels, domains)
        metrics = metrics_of(self.extractor.name, self.label_names, self.domain_names)
        return self.without_void(self._compare(fake) | intervals_of(metrics, self.reference.samples, fake))

    def without_void(self, scores: Scores) -> Scores:
        """Leave out the scores of labels that their features do not tell from others."""
        return scores if self.self_test is None else self.self_test.without_void(scores)

    def _compare(self, fake: Mapping[str, Sample]) -> Scores:
        return compare(self.extractor.name, self.label_names, self.reference.samples, fake, self.domain_names)

    def _sample(
        self, generated: NDArray[np.uint8], labels: NDArray[np.int64], domains: NDArray[np.int64] | None
    ) -> dict[str, Sample]:
        """Check tiles, and compute their features."""
        self._check(generated, labels)
        if domains is not None:
            self._check_codes("domain", domains, self.reference.domains, self.domain_names)
        return sample_of(generated, labels, self.extractor, self.device, domains)

    def _check(self, generated: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        n = self.num_samples
        if len(generated) != n or labels.shape != (n,):
            raise EvaluationError(
                f"scores compare equal numbers only: expected {n} generated tiles with {n} labels, but got "
                f"{len(generated)} tiles with labels of shape {labels.shape}"
            )
        if generated.dtype != np.uint8 or generated.shape[1:] != self.tile_shape:
            raise EvaluationError(
                f"generated tiles must be uint8 of shape {(n, *self.tile_shape)}, but are {generated.dtype} of shape "
                f"{generated.shape}"
            )
        self._check_codes("label", labels, self.reference.labels, self.label_names)

    def _check_codes(
        self, what: str, codes: NDArray[np.int64], expected: NDArray[np.int64], names: tuple[str, ...]
    ) -> None:
        if not np.array_equal(np.sort(codes), np.sort(expected)):
            raise EvaluationError(
                f"generated tiles must carry each {what} as often as the real ones they are compared with: expected "
                f"{_histogram(what, expected, names)}, but got {_histogram(what, codes, names)}"
            )


def _histogram(what: str, codes: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, int]:
    known = dict(enumerate(names))
    found = zip(*np.unique(codes, return_counts=True), strict=True)
    return {known.get(int(code), f"{what} {code}"): int(count) for code, count in found}


def cached_evaluator(
    store: TileStore, config: EvaluationConfig, device: str | torch.device = "cpu", seed: int = 0
) -> Evaluator:
    """Prepare an evaluator once per process for a store's content, a config, a device and a seed.

    Arguments and errors as of :meth:`Evaluator.prepare`.
    """
    config = config.model_copy(update={"every": 1})  # how often one evaluates does not change how
    return _prepare(_Key(store.fingerprint, config, str(torch.device(device)), seed, store))


@dataclass(frozen=True)
class _Key:
    fingerprint: str
    config: EvaluationConfig
    device: str
    seed: int
    store: TileStore = field(compare=False)


@functools.lru_cache(maxsize=4)
def _prepare(key: _Key) -> Evaluator:
    return Evaluator.prepare(key.store, key.config, key.device, key.seed)
