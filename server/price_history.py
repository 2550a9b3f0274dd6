"""Real price histories from CSV files, read strictly: a value that cannot be right is an error with its line."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TextIO

from server.errors import PriceFileError
from server.market_data import PriceStep

__all__ = ["PriceHistory", "ReplayedMarket", "read_prices"]

# In order of preference, where a file has several.
_TIME_COLUMNS = ("timestamp", "date")
_SYMBOL_COLUMNS = ("symbol", "ticker")
_PRICE_COLUMNS = ("price", "close")
_CALENDAR_YEAR = 365.25 * 86_400  # seconds


class PriceHistory(NamedTuple):
    """A price history in order of time.

    Attributes:
        steps: One for each moment, oldest first.
        rows: How many prices there are in all.
    """

    steps: list[PriceStep]
    rows: int

    @property
    def symbols(self) -> list[str]:
        """Every symbol, sorted."""
        return sorted({symbol for step in self.steps for symbol, _ in step.prices})

    @property
    def last(self) -> dict[str, float]:
        """The last price of each symbol."""
        return {symbol: price for step in self.steps for symbol, price in step.prices}


class ReplayedMarket:
    """A price history, played in order.

    Args:
        history: What to play.
        steps_per_second: How fast.

    Attributes:
        rows_played: How many prices have been played.
    """

    def __init__(self, history: PriceHistory, steps_per_second: float) -> None:
        self.history = history
        self.rows_played = 0
        self._pace = steps_per_second
        self._next = 0

    @property
    def finished(self) -> bool:
        """Whether every price has been played."""
        return self._next == len(self.history.steps)

    @property
    def steps_per_year(self) -> float:
        """How many steps the history has for each of its years."""
        steps = self.history.steps
        years = (steps[-1].time - steps[0].time).total_seconds() / _CALENDAR_YEAR
        return (len(steps) - 1) / years if years else 1.0

    def advance(self, elapsed: float) -> Iterator[PriceStep]:
        """Yield the prices that have become due.

        Args:
            elapsed: Seconds since the first price was due.
        """
        due = min(int(elapsed * self._pace) + 1, len(self.history.steps))
        for step in self.history.steps[self._next : due]:
            self._next += 1
            self.rows_played += len(step.prices)
            yield step


def read_prices(path: Path) -> PriceHistory:
    """Read a `.csv` or `.csv.gz` with a time, a symbol and a price in each line.

    The columns are called timestamp or date, symbol or ticker, price or close, in any case and order; others are
    ignored. Times are ISO 8601; those without an offset are taken as UTC.

    Args:
        path: The file.

    Returns:
        Its prices in order of time; lines of the same time stay in the order of the file.

    Raises:
        PriceFileError: The file is missing, empty or no CSV, lacks a column, or a line is wrong.

    Example:
        >>> read_prices(Path("prices.csv")).last["AAPL"]
        430.47
    """
    try:
        with _open_text(path) as file:
            return _read(path, file)
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
    raise PriceFileError(path, "is neither a .csv nor a .csv.gz file")


def _read(path: Path, file: TextIO) -> PriceHistory:
    lines = csv.reader(file)
    try:
        header = next(lines, None)
        if header is None:
            raise PriceFileError(path, "is empty: a header line with a date, a symbol and a price column is needed")
        time_column = _find(path, header, _TIME_COLUMNS)
        symbol_column = _find(path, header, _SYMBOL_COLUMNS)
        price_column = _find(path, header, _PRICE_COLUMNS)
        steps: dict[datetime, PriceStep] = {}
        rows = 0
        for line, fields in _filled(lines):
            if len(fields) <= max(time_column, symbol_column, price_column):
                raise PriceFileError(path, f"{len(fields)} fields where the header has {len(header)}", line)
            time = _time(path, line, fields[time_column])
            symbol = fields[symbol_column].strip()
            if not symbol:
                raise PriceFileError(path, f"the {header[symbol_column]} is empty", line)
            price = _price(path, line, header[price_column], fields[price_column])
            steps.setdefault(time, PriceStep(time, [])).prices.append((symbol, price))
            rows += 1
    except csv.Error as error:
        raise PriceFileError(path, f"is no CSV: {error}", lines.line_num) from error
    if not rows:
        raise PriceFileError(path, "has a header but no prices")
    return PriceHistory([steps[time] for time in sorted(steps)], rows)


def _filled(lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    # The reader knows how many lines of the file it has read, quoted line breaks included.
    for fields in lines:
        if any(field.strip() for field in fields):
            yield lines.line_num, fields  # type: ignore[attr-defined]


def _find(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    columns = [column.strip().lower() for column in header]
    for name in names:
        if name in columns:
            return columns.index(name)
    wanted = " or ".join(repr(name) for name in names)
    found = ", ".join(repr(column) for column in header) or "nothing"
    raise PriceFileError(path, f"has no column {wanted}: it has {found}", 1)


def _time(path: Path, line: int, text: str) -> datetime:
    text = text.strip()
    try:
        # Python 3.10 reads the offset only as +00:00.
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise PriceFileError(
            path, f"{text!r} is no date: write 2013-03-01 or 2013-03-01T16:00:00+00:00", line
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)


def _price(path: Path, line: int, column: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        raise PriceFileError(path, f"the {column} {text!r} is no number", line) from None
    if not (math.isfinite(price) and price > 0):
        raise PriceFileError(path, f"the {column} {text.strip()} is not a positive number", line)
    return price
