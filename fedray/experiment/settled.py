"""A configuration that says what runs: what the tile store decides is filled in, what contradicts it is refused."""

from fedray.config import DataConfig, ExperimentConfig
from fedray.data import absolute_store, local_store, training_tiles
from fedray.experiment.judging import judging_of
from fedray.results.start import absolute_start


def settled(config: ExperimentConfig) -> ExperimentConfig:
    """Fill in all that is unset: as :func:`from_store`, and what its source trains with. Twice is the same as once."""
    return from_store(config).resolved()


def from_store(config: ExperimentConfig) -> ExperimentConfig:
    """Fill in what the store decides.

    Paths of stores and of ``starts_from`` become absolute, ``data.tile_size`` and ``data.num_domains`` are those of
    ``data.store``, ``partition.keep_groups`` and ``evaluation.num_samples`` what they come to with it;
    ``evaluation.extractor`` gets its name.

    Raises:
        StoreError: The store cannot be opened, or is not as the configuration says.
        EvaluationError: The split has too few tiles to compare with.
        ConfigError: More tiles are to be compared than the split has.
    """
    data = absolute_store(config.data)
    store = local_store(data)
    keep = config.partition.keep_groups
    keep = training_tiles(store, config.partition).keep_groups if keep is None else keep
    others = config.family.other_stores
    num_domains = len(store.domain_names) + (data.held_out_domain is not None)  # of the whole store
    paths = {field: absolute_store(DataConfig(store=path)).store for field, path in others.items()}
    return config.with_family(**paths).model_copy(
        update={
            "starts_from": absolute_start(config.starts_from),
            "data": data.model_copy(update={"tile_size": store.tile_size, "num_domains": num_domains}),
            "partition": config.partition.model_copy(update={"keep_groups": keep}),
            "evaluation": config.evaluation.model_copy(update=judging_of(config).settled(config, store)),
        }
    )
