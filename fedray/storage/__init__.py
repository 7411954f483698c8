"""What is kept: whole files and folders on disk, one job a folder, and folders on shared storage named by a URI."""

from fedray.storage.arrays import in_order
from fedray.storage.folders import private_folder, why_not_made, why_not_writable
from fedray.storage.local import LocalFolder, folder_at
from fedray.storage.lock import AddressLock, FolderLock, InUseError, JobLock
from fedray.storage.owners import is_foreign, own_mark, remove_dead, remove_leftovers, scratch_folder
from fedray.storage.sealed import DamagedError, digest, parquet_bytes, read_table, sealed, unsealed
from fedray.storage.shared import SharedFolder, StorageError, inside, is_uri
from fedray.storage.whole import picture_bytes, whole_file, whole_folder, write_whole

__all__ = [
    "AddressLock",
    "DamagedError",
    "FolderLock",
    "InUseError",
    "JobLock",
    "LocalFolder",
    "SharedFolder",
    "StorageError",
    "digest",
    "folder_at",
    "in_order",
    "inside",
    "is_foreign",
    "is_uri",
    "own_mark",
    "parquet_bytes",
    "picture_bytes",
    "private_folder",
    "read_table",
    "remove_dead",
    "remove_leftovers",
    "scratch_folder",
    "sealed",
    "unsealed",
    "whole_file",
    "whole_folder",
    "why_not_made",
    "why_not_writable",
    "write_whole",
]
