from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pyarrow
import pytest
from click.testing import CliRunner

from client import pm_client
from client.errors import ClientError
from client.snapshots import write_snapshot

ROWS = pyarrow.table({"Symbol": ["AAPL", "MSFT"], "PnL": [1.5, None]})


def test_snapshot_is_read_back_as_it_was(tmp_path: Path) -> None:
    from pyarrow import csv, parquet

    assert csv.read_csv(write_snapshot(ROWS, tmp_path / "pnl.csv")).equals(ROWS)
    assert parquet.read_table(write_snapshot(ROWS, tmp_path / "pnl.parquet")).equals(ROWS)
    assert sorted(path.name for path in tmp_path.iterdir() if "config" not in path.name) == ["pnl.csv", "pnl.parquet"]


def test_snapshot_with_a_time_in_its_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = write_snapshot(ROWS, tmp_path / "pnl-{time}.csv")
    assert path.exists()
    assert datetime.strptime(path.stem, "pnl-%Y%m%dT%H%M%SZ")


def test_pace_of_snapshots_without_a_file_for_them_is_refused() -> None:
    result = CliRunner().invoke(pm_client.main, ["--every", "60"])
    assert result.exit_code == 2
    assert "name a file with --snapshot FILE" in result.output


def test_snapshot_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"let it end in \.csv or \.parquet"):
        write_snapshot(ROWS, tmp_path / "pnl.json")
    with pytest.raises(ClientError, match=r"the folder .* is not there"):
        write_snapshot(ROWS, tmp_path / "nowhere" / "pnl.csv")
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(ClientError, match="cannot be written"):
        write_snapshot(ROWS, tmp_path / "taken.csv")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
