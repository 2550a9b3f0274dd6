from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from server.errors import PriceFileError
from server.price_files import read_prices

DAY = dt.datetime(2024, 3, 1, 16, tzinfo=dt.timezone.utc)
NANOSECONDS = int(DAY.timestamp()) * 10**9


def written(folder: Path, **columns: Any) -> Path:
    path = folder / "prices.parquet"
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([DAY], pa.timestamp("us", "UTC")), NANOSECONDS),
        (pa.array([DAY], pa.timestamp("ms", "America/New_York")), NANOSECONDS),
        (pa.array([DAY.replace(tzinfo=None)], pa.timestamp("s")), NANOSECONDS),
        (pa.array([NANOSECONDS + 1], pa.timestamp("ns", "UTC")), NANOSECONDS + 1),
        (pa.array([DAY.date()]), NANOSECONDS - 16 * 3600 * 10**9),
        (pa.array(["2024-03-01T17:00:00+01:00"]), NANOSECONDS),
    ],
)
def test_read_prices_parquet_times_of_every_kind(tmp_path: Path, times: pa.Array, expected: int) -> None:
    history = read_prices(written(tmp_path, Timestamp=times, Symbol=["A"], Price=[1.5]))
    assert history.time.tolist() == [expected]
    assert history.last == {"A": 1.5}


def test_read_prices_parquet_equals_the_same_rows_as_csv(tmp_path: Path) -> None:
    text = (
        "date,ticker,close,bid,ask,volume\n2024-03-02,B,2.5,2.4,2.6,10\n2024-03-01,A,1.5,,,\n2024-03-02,A,1.25,1.2,,7\n"
    )
    (tmp_path / "prices.csv").write_text(text, encoding="utf-8")
    binary = written(
        tmp_path,
        Date=[dt.date(2024, 3, 2), dt.date(2024, 3, 1), dt.date(2024, 3, 2)],
        Ticker=pa.array(["B", "A", "A"]).dictionary_encode(),
        Close=pa.array([Decimal("2.50"), Decimal("1.50"), Decimal("1.25")]),
        bid=[2.4, None, 1.2],
        ask=[2.6, math.nan, None],
        volume=pa.array([10, None, 7], pa.int32()),
        other=["x", "y", "z"],
    )
    ours, theirs = read_prices(binary), read_prices(tmp_path / "prices.csv")
    assert ours.symbols == theirs.symbols == ("A", "B")
    for name in ("symbol", "time", "price", "bid", "ask", "volume"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    assert ours.steps == theirs.steps


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"time": [DAY], "symbol": ["A"], "price": [1.0]}, "no column 'timestamp' or 'date': it has 'time'"),
        ({"date": [1], "symbol": ["A"], "price": [1.0]}, "has times of type int64"),
        ({"date": [DAY, None], "symbol": ["A", "A"], "price": [1.0, 1.0]}, ", row 2: the date is empty"),
        ({"date": ["soon"], "symbol": ["A"], "price": [1.0]}, ", row 1: 'soon' is no date"),
        ({"date": [dt.date(3000, 1, 1)], "symbol": ["A"], "price": [1.0]}, "outside 1677-09-22 to 2262-04-11"),
        ({"date": [DAY], "symbol": [" "], "price": [1.0]}, ", row 1: the symbol is empty"),
        ({"date": [DAY], "symbol": pa.array([None], pa.string()), "price": [1.0]}, "row 1: the symbol is empty"),
        ({"date": [DAY] * 2, "symbol": ["A"] * 2, "price": [1.0, None]}, ", row 2: the price is empty"),
        ({"date": [DAY], "symbol": ["A"], "price": [0.0]}, "the price 0.0 is not a positive number"),
        ({"date": [DAY], "symbol": ["A"], "close": ["cheap"]}, "the close 'cheap' is no number"),
        ({"date": [DAY], "symbol": ["A"], "close": ["1_000"]}, ", row 1: the close '1_000' is no number"),
        ({"date": [DAY], "symbol": ["A"], "price": [True]}, ", row 1: the price True is no number"),
        ({"date": [DAY], "symbol": ["A"], "price": [1e308]}, r", row 1: the price 1e\+308 is not between 1e-15 and"),
        ({"date": [DAY], "symbol": ["A"], "price": [1.0], "volume": [1e19]}, r"the volume 1e\+19 is not between 0 and"),
        ({"date": [DAY] * 2, "symbol": ["A", "B\n\x00"], "price": [1.0] * 2}, ", row 2: the symbol 'B.n.x00' holds"),
        ({"date": [DAY], "symbol": [b"\xff"], "price": [1.0]}, "row 1: the symbol b'.xff' is no text in UTF-8"),
        ({"date": [DAY], "symbol": [7203.0], "price": [1.0]}, "row 1: the symbol 7203.0 is no text: store it as one"),
        ({"date": [DAY], "symbol": ["A"], "Price": [1.0], "price": [2.0]}, "has 2 columns 'price'"),
        (
            {"date": [DAY], "symbol": ["A"], "price": [1.0], "volume": [-1]},
            "the volume -1 is not a number of at least 0",
        ),
        (
            {
                "date": pa.array([], pa.date32()),
                "symbol": pa.array([], pa.string()),
                "price": pa.array([], pa.float64()),
            },
            "no prices",
        ),
    ],
)
def test_read_prices_parquet_wrong_content_names_the_row(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(PriceFileError, match=message):
        read_prices(written(tmp_path, **columns))


def test_read_prices_parquet_symbols_stored_as_bytes_or_numbers_are_texts(tmp_path: Path) -> None:
    for symbols, expected in (([b"AAPL"], "AAPL"), ([7203], "7203")):
        assert read_prices(written(tmp_path, date=[DAY], symbol=symbols, price=[1.0])).symbols == (expected,)


def test_read_prices_parquet_that_is_missing_or_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="there is no such file"):
        read_prices(tmp_path / "none.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(PriceFileError, match="cannot be read"):
        read_prices(tmp_path / "folder.parquet")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2024-03-01,A,1,-1,2,3", "the bid -1 is not a number of at least 0"),
        ("2024-03-01,A,1,1,inf,3", "the ask inf is not a number"),
        ("2024-03-01,A,1,1,2,many", "the volume 'many' is no number"),
        ("3000-01-01,A,1,1,2,3", "'3000-01-01' lies outside 1677-09-22 to 2262-04-11"),
    ],
)
def test_read_prices_csv_wrong_quote_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f"date,symbol,price,bid,ask,volume\n{line}\n", encoding="utf-8")
    with pytest.raises(PriceFileError, match=message) as caught:
        read_prices(path)
    assert caught.value.line == 2
