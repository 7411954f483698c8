"""A configuration that says what runs: what the tile store decides is filled in, what contradicts it is refused."""

from typing import Any

from fedray.config import ConfigError, ExperimentConfig
from fedray.data import TileStore, absolute_store, local_store, training_tiles
from fedray.evaluation import compared_indices


def settled(config: ExperimentConfig) -> ExperimentConfig:
    """Fill in all that is unset: as :func:`from_store`, and the recipe of the objective. Twice is the same as once."""
    return from_store(config).resolved()


def from_store(config: ExperimentConfig) -> ExperimentConfig:
    """Fill in what the store decides.

    The store's path becomes absolute, ``data.tile_size`` and ``data.num_domains`` are the store's,
    ``partition.keep_groups`` and ``evaluation.num_samples`` what they come to with it; ``evaluation.extractor``
    gets its name.

    Raises:
        StoreError: The store cannot be opened, or is not as the configuration says.
        EvaluationError: The split has too few tiles to compare with.
        ConfigError: More tiles are to be compared than the split has.
    """
    data = absolute_store(config.data)
    store = local_store(data)
    keep = config.partition.keep_groups
    keep = training_tiles(store, config.partition).keep_groups if keep is None else keep
    return config.model_copy(
        update={
            "data": data.model_copy(update={"tile_size": store.tile_size, "num_domains": len(store.domain_names)}),
            "partition": config.partition.model_copy(update={"keep_groups": keep}),
            "evaluation": config.evaluation.model_copy(update=_compared(config, store)),
        }
    )


def _compared(config: ExperimentConfig, store: TileStore) -> dict[str, Any]:
    """Say how generated tiles are compared; a classifier judges all tiles of the split as they are."""
    if config.task == "classification":
        return {}
    num_compared = len(compared_indices(store, config.evaluation))
    _check_samples(config, store, num_compared)
    return {"num_samples": num_compared, "extractor": _extractor(config)}


def _extractor(config: ExperimentConfig) -> str:
    """Features that a discriminator trains against flatter its generator, so others judge it."""
    if config.evaluation.extractor is None and config.gan.discriminator == "projected":
        return "domain-cnn"
    return config.evaluation.chosen_extractor


def _check_samples(config: ExperimentConfig, store: TileStore, num_compared: int) -> None:
    wanted, split = config.evaluation.num_samples, config.evaluation.split
    if wanted is not None and wanted > num_compared:
        raise ConfigError(
            f"evaluation.num_samples must be at most the number of {split} tiles, {num_compared} in {store.name!r}, "
            f"but got {wanted}; leave it out to compare all of them"
        )
