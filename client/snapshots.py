"""Tables into files: CSV to read, Parquet to compute with."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from client.errors import ClientError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["require_writable", "write_snapshot"]

_TIME = "{time}"


def require_writable(target: Path) -> None:
    """Refuse a file that no snapshot can be written to, before there is one to write.

    Raises:
        ClientError: The name ends in neither .csv nor .parquet, or there is no such folder.
    """
    if target.suffix not in (".csv", ".parquet"):
        raise ClientError(f"{target} is no name for a snapshot: let it end in .csv or .parquet")
    if not target.parent.is_dir():
        raise ClientError(f"the folder {target.parent} is not there: make it, or choose another file")


def write_snapshot(rows: pyarrow.Table, target: Path) -> Path:
    """Write a table into a file, whole or not at all.

    Args:
        rows: The table.
        target: The file, .csv or .parquet; `{time}` in its name becomes the time in UTC, so that each has its own.

    Returns:
        The file written.

    Raises:
        ClientError: The file cannot be written.
    """
    require_writable(target)
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = target.with_name(target.name.replace(_TIME, stamp))
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".csv":
            from pyarrow import csv

            csv.write_csv(rows, draft)
        else:
            from pyarrow import parquet

            parquet.write_table(rows, draft)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ClientError(f"the snapshot {path} cannot be written: {error.strerror or error}") from error
    return path
