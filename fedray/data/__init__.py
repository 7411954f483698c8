"""Tile stores and partitions: the data sets, how images get into them, and which client has which tile."""

from fedray.data.catalog import DATASETS, absolute_store, cache_dir, open_store
from fedray.data.figures import draw_partition
from fedray.data.importing import ImportOptions, ImportReport, import_csv, import_folder
from fedray.data.partitions import PARTITIONS, Partition, PartitionError, partition_store
from fedray.data.shared import check_shared_target, upload_store
from fedray.data.store import SPLITS, StoreError, Tile, TileStore
from fedray.data.writing import write_store

__all__ = [
    "DATASETS",
    "PARTITIONS",
    "SPLITS",
    "ImportOptions",
    "ImportReport",
    "Partition",
    "PartitionError",
    "StoreError",
    "Tile",
    "TileStore",
    "absolute_store",
    "cache_dir",
    "check_shared_target",
    "draw_partition",
    "import_csv",
    "import_folder",
    "open_store",
    "partition_store",
    "upload_store",
    "write_store",
]
