"""Price histories from CSV and Parquet files, read strictly: a wrong value is an error with its place."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from server.errors import PriceFileError
from server.price_history import PriceHistory

if TYPE_CHECKING:
    import pyarrow

__all__ = ["read_prices"]

# In order of preference, where a file has several.
_TIME_COLUMNS = ("timestamp", "date")
_SYMBOL_COLUMNS = ("symbol", "ticker")
_PRICE_COLUMNS = ("price", "close")
_QUOTES = ("bid", "ask", "volume")
# What lies beyond is a slip, and its percentages and sums would leave the range of a float.
_LEAST_PRICE, _MOST = 1e-15, 1e15
# Without it, Python 3.11 takes milliseconds since 1970 such as 1712031512000 for an evening of the year 1712.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class _Rows:
    """The rows of a file in its order: nanoseconds since 1970, symbol, and numbers with NaN for what is not known."""

    time: list[int] = field(default_factory=list)
    symbol: list[str] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    bid: list[float] = field(default_factory=list)
    ask: list[float] = field(default_factory=list)
    volume: list[float] = field(default_factory=list)

    def history(self) -> PriceHistory:
        """Return the rows in order of time."""
        time = np.array(self.time, dtype=np.int64)
        order = np.argsort(time, kind="stable")
        symbols = sorted(set(self.symbol))
        places = {symbol: place for place, symbol in enumerate(symbols)}
        numbers = [
            np.array(column, dtype=np.float64)[order] for column in (self.price, self.bid, self.ask, self.volume)
        ]
        symbol = np.array([places[symbol] for symbol in self.symbol], dtype=np.int32)[order]
        return PriceHistory(tuple(symbols), symbol, time[order], *numbers)


def read_prices(path: Path) -> PriceHistory:
    """Read a `.csv`, `.csv.gz` or `.parquet` file with a time, a symbol and a price in each row.

    The columns are called timestamp or date, symbol or ticker, price or close, in any case and order. Columns called
    bid, ask and volume are read too, others ignored. Times are ISO 8601 with its dashes or, in a Parquet file,
    timestamps or dates; those without an offset are taken as UTC. A price lies between 1e-15 and 1e15.

    Args:
        path: The file.

    Returns:
        Its prices in order of time; rows of the same time stay in the order of the file.

    Raises:
        PriceFileError: The file is missing, empty or of another format, lacks a column, or a row is wrong.

    Example:
        >>> read_prices(Path("prices.csv")).last["AAPL"]
        430.47
    """
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            return _read_parquet(path).history()
        with _open_text(path) as file:
            return _read_csv(path, file).history()
    except FileNotFoundError:
        raise PriceFileError(path, "there is no such file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PriceFileError(path, f"cannot be read: {error}") from error


def _open_text(path: Path) -> TextIO:
    name = path.name.lower()
    if name.endswith(".csv.gz"):
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    if name.endswith(".csv"):
        return open(path, encoding="utf-8-sig", newline="")
    raise PriceFileError(path, "is neither a .csv nor a .csv.gz nor a .parquet file")


def _read_csv(path: Path, file: TextIO) -> _Rows:
    lines = csv.reader(file)
    rows = _Rows()
    try:
        header = next(lines, None)
        if header is None:
            raise PriceFileError(path, "is empty: a header line with a date, a symbol and a price column is needed")
        time_at = _find(path, header, _TIME_COLUMNS)
        symbol_at = _find(path, header, _SYMBOL_COLUMNS)
        price_at = _find(path, header, _PRICE_COLUMNS)
        quotes = _quote_columns(path, header)
        needed = max(time_at, symbol_at, price_at, *quotes.values())
        for line, fields in _filled(lines):
            if len(fields) <= needed or any(field.strip() for field in fields[len(header) :]):
                raise PriceFileError(path, f"{len(fields)} fields where the header has {len(header)}", line)
            rows.time.append(_time(path, fields[time_at], line=line))
            rows.symbol.append(_symbol(path, header[symbol_at], fields[symbol_at], line=line))
            rows.price.append(_number(path, header[price_at], fields[price_at], line=line))
            for name in _QUOTES:
                text = fields[quotes[name]].strip() if name in quotes else ""
                getattr(rows, name).append(_number(path, name, text, least=0.0, line=line) if text else math.nan)
    except csv.Error as error:
        raise PriceFileError(path, f"is no CSV: {error}", lines.line_num) from error
    if not rows.price:
        raise PriceFileError(path, "has a header but no prices")
    return rows


def _filled(lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    # The reader knows how many lines of the file it has read, quoted line breaks included.
    for fields in lines:
        if any(field.strip() for field in fields):
            yield lines.line_num, fields  # type: ignore[attr-defined]


def _read_parquet(path: Path) -> _Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        with open(path, "rb") as file:  # the library would read a folder, or fetch an address, too
            header = parquet.read_schema(file).names
            time_at = _find(path, header, _TIME_COLUMNS, line=None)
            symbol_at = _find(path, header, _SYMBOL_COLUMNS, line=None)
            price_at = _find(path, header, _PRICE_COLUMNS, line=None)
            quotes = _quote_columns(path, header, line=None)
            table = parquet.read_table(file)
    except pyarrow.ArrowException as error:
        raise PriceFileError(path, f"cannot be read: {error}") from error
    if not table.num_rows:
        raise PriceFileError(path, "holds no prices")
    times = _arrow_times(path, table.column(time_at))
    rows = _Rows()
    count = range(1, table.num_rows + 1)
    for row, time in zip(count, times, strict=True):
        rows.time.append(
            time if isinstance(time, int) else _time(path, _present(path, header[time_at], time, row), row=row)
        )
    for row, symbol in zip(count, table.column(symbol_at).to_pylist(), strict=True):
        rows.symbol.append(_symbol(path, header[symbol_at], _present(path, header[symbol_at], symbol, row), row=row))
    for row, price in zip(count, table.column(price_at).to_pylist(), strict=True):
        rows.price.append(_number(path, header[price_at], _present(path, header[price_at], price, row), row=row))
    for name in _QUOTES:
        values = table.column(quotes[name]).to_pylist() if name in quotes else [None] * table.num_rows
        getattr(rows, name).extend(
            math.nan if value is None or value != value else _number(path, name, value, least=0.0, row=row)
            for row, value in zip(count, values, strict=True)
        )
    return rows


def _arrow_times(path: Path, column: pyarrow.ChunkedArray) -> list[Any]:
    """Return nanoseconds since 1970, or texts that are yet to be read; None for a null."""
    import pyarrow

    kind = column.type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        texts: list[Any] = column.to_pylist()
        return texts
    if not (pyarrow.types.is_timestamp(kind) or pyarrow.types.is_date(kind)):
        raise PriceFileError(path, f"has times of type {kind}: timestamps, dates or ISO 8601 texts are needed")
    try:
        nanoseconds: list[Any] = column.cast(pyarrow.timestamp("ns")).cast(pyarrow.int64()).to_pylist()
    except pyarrow.ArrowException as error:
        raise PriceFileError(path, f"has a time outside 1677-09-22 to 2262-04-11: {error}") from error
    return nanoseconds


def _present(path: Path, column: str, value: Any, row: int) -> Any:
    if value is None:
        raise PriceFileError(path, f"the {column} is empty", row=row)
    return value


def _quote_columns(path: Path, header: Sequence[str], line: int | None = 1) -> dict[str, int]:
    found = {name: _place(path, header, name, line) for name in _QUOTES}
    return {name: place for name, place in found.items() if place is not None}


def _find(path: Path, header: Sequence[str], names: Sequence[str], line: int | None = 1) -> int:
    for name in names:
        place = _place(path, header, name, line)
        if place is not None:
            return place
    wanted = " or ".join(repr(name) for name in names)
    found = ", ".join(repr(column) for column in header) or "nothing"
    raise PriceFileError(path, f"has no column {wanted}: it has {found}", line)


def _place(path: Path, header: Sequence[str], name: str, line: int | None) -> int | None:
    columns = [column.strip().lower() for column in header]
    if columns.count(name) > 1:
        raise PriceFileError(path, f"has {columns.count(name)} columns {name!r}: rename those that are not meant", line)
    return columns.index(name) if name in columns else None


def _time(path: Path, text: Any, **place: int) -> int:
    text = str(text).strip()
    try:
        if not _DATE.match(text):
            raise ValueError
        # Python 3.10 reads the offset only as +00:00.
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        problem = f"{text!r} is no date: write 2013-03-01 or 2013-03-01T16:00:00+00:00"
        raise PriceFileError(path, problem, **place) from None
    nanoseconds = (time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)) - _EPOCH
    since = nanoseconds // _MICROSECOND * 1000
    if not -(2**63) < since < 2**63:
        raise PriceFileError(path, f"{text!r} lies outside 1677-09-22 to 2262-04-11", **place)
    return since


def _symbol(path: Path, column: str, given: Any, **place: int) -> str:
    if isinstance(given, bytes):  # older programs write texts into Parquet files as such
        try:
            given = given.decode()
        except UnicodeDecodeError:
            raise PriceFileError(path, f"the {column} {given!r} is no text in UTF-8", **place) from None
    if not isinstance(given, (str, int)) or isinstance(given, bool):
        raise PriceFileError(path, f"the {column} {given!r} is no text: store it as one", **place)
    symbol = str(given).strip()
    if not symbol:
        raise PriceFileError(path, f"the {column} is empty", **place)
    if not symbol.isprintable():
        raise PriceFileError(path, f"the {column} {symbol!r} holds a character that cannot be printed", **place)
    return symbol


def _number(path: Path, column: str, given: Any, *, least: float | None = None, **place: int) -> float:
    shown = str(given).strip()
    try:
        if isinstance(given, (bool, bytes)) or "_" in shown:  # Python itself reads True and 1_000 as numbers
            raise ValueError
        number = float(given)
    except (TypeError, ValueError):
        raise PriceFileError(path, f"the {column} {given!r} is no number: write it as 1234.5", **place) from None
    if least is None and not (math.isfinite(number) and number > 0):
        raise PriceFileError(path, f"the {column} {shown} is not a positive number", **place)
    if least is not None and not (math.isfinite(number) and number >= least):
        raise PriceFileError(path, f"the {column} {shown} is not a number of at least {least:g}", **place)
    lowest = _LEAST_PRICE if least is None else least
    if not lowest <= number <= _MOST:
        raise PriceFileError(path, f"the {column} {shown} is not between {lowest:g} and {_MOST:g}", **place)
    return number
