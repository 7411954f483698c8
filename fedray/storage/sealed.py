"""What is kept is known again: digests of files, records with their own, and tables with theirs."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedray.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SEALED, _SEAL = "sealed", "seal"  # first and last: no damage makes a record one of before there were seals
_TABLE_SEAL = b"fedray.seal"


class DamagedError(UserError, ValueError):
    """A file is not what was written. The message names it, and the remedy."""

    @classmethod
    def of(cls, path: object, why: str) -> "DamagedError":
        """Say which file is damaged, and how that is known."""
        remedy = "bring it back from a copy, or start again with another --out"
        return cls(f"{path} is damaged, or was edited ({why}); {remedy}")


def digest(content: Any) -> str:
    """Return the SHA-256 of bytes, or of an array's memory: its first 32 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:32]


def sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON with a digest of itself; what :func:`unsealed` takes."""
    return json.dumps({_SEALED: True, **record, _SEAL: _seal_of(record)}, indent=1).encode()


def unsealed(content: bytes, path: object) -> dict[str, Any]:
    """Return the record of a file; one that a FedRay before there were seals wrote is taken as it is.

    Args:
        content: Of the file.
        path: What messages call it.

    Raises:
        DamagedError: The record is another than was written.
        ValueError: It is no JSON.
    """
    record = dict(json.loads(content))
    is_sealed, seal = record.pop(_SEALED, None), record.pop(_SEAL, None)
    if (is_sealed, seal) != (None, None) and (is_sealed, seal) != (True, _seal_of(record)):
        raise DamagedError.of(path, "its content is not what its seal says")
    return record


def _seal_of(record: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(record))  # as it will be read: keys are strings, tuples are lists
    return digest(json.dumps(plain, sort_keys=True).encode())


def parquet_bytes(table: "pd.DataFrame", *, index: bool | None = None) -> bytes:
    """Return a table as Parquet with a digest of its content, which :func:`read_table` compares."""
    import pyarrow.parquet as pq

    written: bytes = table.to_parquet(None, index=index)
    # Of what is read back, and not of what was written: types may change on the way.
    content = pq.read_table(BytesIO(written))
    buffer = BytesIO()
    pq.write_table(_with(content, _table_seal_of(content)), buffer)
    return buffer.getvalue()


def read_table(path: Path) -> "pd.DataFrame":
    """Read a table that :func:`parquet_bytes` made; one of before there were digests is taken as it is.

    Raises:
        DamagedError: It is another than was written.
        OSError: It cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = path.read_bytes()
    try:
        content = pq.read_table(BytesIO(written))
        seal = (content.schema.metadata or {}).get(_TABLE_SEAL)
        whole = seal is None or seal == _table_seal_of(_with(content, None))
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, MemoryError) as error:
        raise DamagedError.of(path, " ".join(str(error).split())[:200]) from None
    if not whole:
        raise DamagedError.of(path, "its content is not what its seal says")
    table: pd.DataFrame = content.to_pandas()
    return table


def _with(table: "pa.Table", seal: bytes | None) -> "pa.Table":
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != _TABLE_SEAL}
    return table.replace_schema_metadata(metadata if seal is None else {**metadata, _TABLE_SEAL: seal})


def _table_seal_of(table: "pa.Table") -> bytes:
    """Take the digest of names, types, values and what pandas knows of them."""
    columns = [(column.name, str(column.type)) for column in table.schema]
    known = sorted((table.schema.metadata or {}).items())
    values = [table.column(index).to_pylist() for index in range(table.num_columns)]
    return digest(repr((columns, known, values)).encode()).encode()
