from __future__ import annotations

import gzip
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from server.errors import PriceFileError
from server.price_files import read_prices
from server.price_history import PriceHistory, ReplayedMarket


def written(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "header",
    ["date,symbol,price", "TIMESTAMP,Ticker,CLOSE", " Date , Symbol , Close ", "\ufeffdate,symbol,price"],
)
def test_read_prices_header_in_any_spelling_finds_the_columns(tmp_path: Path, header: str) -> None:
    history = read_prices(written(tmp_path, f"{header}\n2013-03-01,AAPL,430.47\n"))
    assert history.last == {"AAPL": 430.47}


def test_read_prices_lines_out_of_order_come_in_order_of_time(tmp_path: Path) -> None:
    text = "Ticker,Date,Open,Close,Adj Close\nB,2013-03-02,1,5.5,9\nA,2013-03-01,1,2.5,9\nA,2013-03-02,1,3.5,9\n"
    history = read_prices(written(tmp_path, text))
    assert [step.time.day for step in history.steps] == [1, 2]
    assert history.steps[1].prices == [("B", 5.5), ("A", 3.5)]
    assert history.last == {"A": 3.5, "B": 5.5}
    assert (history.rows, history.symbols) == (3, ("A", "B"))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2013-03-01", datetime(2013, 3, 1, tzinfo=timezone.utc)),
        ("2013-03-01 16:00:00", datetime(2013, 3, 1, 16, tzinfo=timezone.utc)),
        ("2013-03-01T16:00:00Z", datetime(2013, 3, 1, 16, tzinfo=timezone.utc)),
        ("2013-03-01T16:00:00-05:00", datetime(2013, 3, 1, 21, tzinfo=timezone.utc)),
    ],
)
def test_read_prices_times_without_offset_are_utc(tmp_path: Path, text: str, time: datetime) -> None:
    assert read_prices(written(tmp_path, f"date,symbol,price\n{text},A,1\n")).steps[0].time == time


def test_read_prices_gzip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "PRICES.CSV.GZ"
    path.write_bytes(gzip.compress(b"date,symbol,price\n2013-03-01,A,1\n"))
    assert read_prices(path).last == {"A": 1.0}


def test_read_prices_blank_lines_and_quoted_breaks_keep_the_line_numbers(tmp_path: Path) -> None:
    text = 'date,symbol,price,note\n\n2013-03-01,A,1,"two\nlines"\n2013-03-02,A,x,\n'
    with pytest.raises(PriceFileError, match="'x' is no number") as caught:
        read_prices(written(tmp_path, text))
    assert caught.value.line == 5


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "is empty"),
        ("date,symbol,price\n", None, "has a header but no prices"),
        ("day,symbol,price\n1,A,1\n", 1, "no column 'timestamp' or 'date': it has 'day', 'symbol', 'price'"),
        ("date,name,price\n", 1, "no column 'symbol' or 'ticker'"),
        ("date,symbol,Adj Close\n", 1, "no column 'price' or 'close'"),
        ("date,symbol,close\n2013-03-01,A,1\n2013-03-02,A,1O\n", 3, "the close '1O' is no number"),
        ("date,symbol,price\n2013-03-01,A,nan\n", 2, "the price nan is not a positive number"),
        ("date,symbol,price\n2013-03-01,A,inf\n", 2, "the price inf is not a positive number"),
        ("date,symbol,price\n2013-03-01,A,-1\n", 2, "the price -1 is not a positive number"),
        ("date,symbol,price\n03/01/2013,A,1\n", 2, "'03/01/2013' is no date"),
        ("date,symbol,price\n2013-03-01,,1\n", 2, "the symbol is empty"),
        ("date,symbol,price\n2013-03-01,A\n", 2, "2 fields where the header has 3"),
        ("date,symbol,price\n2013-03-01,A,1,000\n", 2, "4 fields where the header has 3"),
        ("date,symbol,price\n2013-03-01,A,1_000\n", 2, "the price '1_000' is no number: write it as 1234.5"),
        ("date,symbol,price\n2013-03-01,A,1e308\n", 2, r"the price 1e308 is not between 1e-15 and 1e\+15"),
        ("date,symbol,price\n2013-03-01,A,1e-300\n", 2, "the price 1e-300 is not between 1e-15"),
        ("date,symbol,price\n1712031512000,A,1\n", 2, "'1712031512000' is no date"),
        ("date,symbol,price\n20130301,A,1\n", 2, "'20130301' is no date"),
        ("date,symbol,price\n2013-03-01,A\x00B,1\n", 2, "line contains NUL|the symbol 'A.x00B' holds a character"),
        ("date,ticker,price\n2013-03-01,A\u200b,1\n", 2, "the ticker 'A.u200b' holds a character that cannot be"),
        ("date,symbol,Price,price\n2013-03-01,A,1,2\n", 1, "has 2 columns 'price': rename those that are not meant"),
        ("date,symbol,price,bid,BID\n2013-03-01,A,1,2,3\n", 1, "has 2 columns 'bid'"),
    ],
)
def test_read_prices_wrong_content_names_the_line(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PriceFileError, match=message) as caught:
        read_prices(path)
    assert caught.value.line == line
    assert str(path) in str(caught.value)


def test_read_prices_empty_fields_behind_the_last_column_are_passed_over(tmp_path: Path) -> None:
    assert read_prices(written(tmp_path, "date,symbol,price\n2013-03-01,A,1,,\n")).last == {"A": 1.0}


def test_read_prices_of_the_widest_range_make_ticks_without_a_warning(tmp_path: Path) -> None:
    text = "date,symbol,price,volume\n2013-03-01,A,1e-15,1e15\n2013-03-02,A,1e15,1e15\n"
    ticks = read_prices(written(tmp_path, text)).ticks()
    assert ticks.change_pct.tolist() == [0.0, pytest.approx(1e32)]


def test_read_prices_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match="there is no such file"):
        read_prices(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prices.json", b"[]", "neither a .csv nor a .csv.gz nor a .parquet file"),
        ("prices.parquet", b"PAR1", "cannot be read"),
        ("prices.csv", b"\xff\xfe\x00", "cannot be read"),
        ("prices.csv.gz", b"date,symbol,price\n", "cannot be read"),
        ("prices.csv.gz", gzip.compress(b"date,symbol,price\n2013-03-01,A,1\n", mtime=0)[:-10], "cannot be read"),
    ],
)
def test_read_prices_other_formats_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PriceFileError, match=message):
        read_prices(path)


def test_read_prices_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder.csv"
    path.mkdir()
    with pytest.raises(PriceFileError, match="cannot be read"):
        read_prices(path)


def history(days: int) -> PriceHistory:
    day = np.arange(days).repeat(2)
    start = datetime(2024, 1, 1, tzinfo=timezone.utc)
    unknown = np.full(2 * days, np.nan)
    return PriceHistory(
        ("A", "B"),
        np.tile(np.array([0, 1], dtype=np.int32), days),
        int(start.timestamp()) * 10**9 + day * 86_400 * 10**9,
        np.tile([1.0, 2.0], days) + day,
        unknown,
        unknown,
        unknown,
    )


def test_replayed_market_plays_each_step_once_when_it_is_due() -> None:
    market = ReplayedMarket(history(10), steps_per_second=2.0)
    assert [step.time.day for step in market.advance(0.0)] == [1]
    assert [step.time.day for step in market.advance(0.4)] == []
    assert [step.time.day for step in market.advance(1.6)] == [2, 3, 4]
    assert (market.rows_played, market.finished) == (8, False)


def test_replayed_market_late_call_plays_all_that_is_left() -> None:
    market = ReplayedMarket(history(10), steps_per_second=2.0)
    assert len(list(market.advance(1e6))) == 10
    assert (market.rows_played, market.finished) == (20, True)
    assert list(market.advance(2e6)) == []


def test_replayed_market_counts_its_steps_per_year() -> None:
    assert ReplayedMarket(history(731), 1.0).steps_per_year == pytest.approx(365.25)
    assert ReplayedMarket(history(1), 1.0).steps_per_year == 1.0
