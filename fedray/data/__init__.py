"""Tile stores and partitions: the data sets, how images get into them, and which client has which tile."""

from fedray.data.allocation import AllocationError, check_coverage
from fedray.data.catalog import DATASETS, absolute_store, cache_dir, open_store
from fedray.data.distribution import countable, distinct, handed_out, planned
from fedray.data.figures import draw_partition
from fedray.data.importing import (
    ImportOptions,
    ImportReport,
    LeftOut,
    TableOptions,
    count_reasons,
    import_csv,
    import_folder,
    import_medmnist,
    import_split_folders,
    parse_levels,
)
from fedray.data.partitions import PARTITIONS, WHY_UNUSED, Partition, PartitionError, partition_store, training_tiles
from fedray.data.pseudonyms import naming_of
from fedray.data.published import SOURCES, import_published, recognise
from fedray.data.shared import check_shared_target, upload_store
from fedray.data.sources import (
    Census,
    KnownTiles,
    OwnStore,
    PartitionedStore,
    TileSource,
    census_of,
    client_partition,
    external_store,
    local_store,
    own_store,
    partitioned_store,
    site_store,
    store_shape,
    stores_beside,
    tile_shape,
)
from fedray.data.store import SPLITS, StoreError, Tile, TileStore
from fedray.data.supply import Supply, supply_for
from fedray.data.synthetic import synthetic_store, training_sizes, with_synthetic
from fedray.data.tiles import LabelledTiles, TileShape, joined
from fedray.data.writing import write_store

__all__ = [
    "DATASETS",
    "PARTITIONS",
    "SOURCES",
    "SPLITS",
    "WHY_UNUSED",
    "AllocationError",
    "Census",
    "ImportOptions",
    "ImportReport",
    "KnownTiles",
    "LabelledTiles",
    "LeftOut",
    "OwnStore",
    "Partition",
    "PartitionError",
    "PartitionedStore",
    "StoreError",
    "Supply",
    "TableOptions",
    "Tile",
    "TileShape",
    "TileSource",
    "TileStore",
    "absolute_store",
    "cache_dir",
    "census_of",
    "check_coverage",
    "check_shared_target",
    "client_partition",
    "count_reasons",
    "countable",
    "distinct",
    "draw_partition",
    "external_store",
    "handed_out",
    "import_csv",
    "import_folder",
    "import_medmnist",
    "import_published",
    "import_split_folders",
    "joined",
    "local_store",
    "naming_of",
    "open_store",
    "own_store",
    "parse_levels",
    "partition_store",
    "partitioned_store",
    "planned",
    "recognise",
    "site_store",
    "store_shape",
    "stores_beside",
    "supply_for",
    "synthetic_store",
    "tile_shape",
    "training_sizes",
    "training_tiles",
    "upload_store",
    "with_synthetic",
    "write_store",
]
