"""The command line of the market data server."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from server.embedded import DEFAULT_PORT
from server.store_place import default_store_directory, missing_packages

__all__ = [
    "DEFAULT_KEPT",
    "DEFAULT_RATE",
    "DEFAULT_SYMBOLS",
    "WORKING_HEAP",
    "MarketOptions",
    "least_heap",
    "read_options",
    "usual_store",
]

DEFAULT_SYMBOLS, DEFAULT_RATE, DEFAULT_SPEED, DEFAULT_KEPT = 16, 100.0, 60.0, 1_000_000
SLOWEST_SYMBOL = 5.0  # seconds between two prices of one symbol, where no rate is given
DEFAULT_TRADES = 12.0  # a minute: what a store keeps for ever
# A tick's time is whole nanoseconds of 64 bits.
LEAST_RATE, MOST_RATE, LEAST_SPEED, MOST_SPEED = 1e-3, 1e9, 1e-6, 1e9
MOST_SYMBOLS, MOST_KEPT, MOST_TRADES = 10_000, 100_000_000, 6_000.0

# In bytes, as measured: Deephaven with empty tables, what must be free once all is there, and a row of both raw tables.
_EMPTY_HEAP, WORKING_HEAP, _ROW_HEAP = 80 << 20, 64 << 20, 272


@dataclass(frozen=True)
class MarketOptions:
    """What the market data server is to do.

    Attributes:
        host: The address to listen on.
        port: The port, 0 for any free one.
        symbols: How many symbols are simulated.
        rate: How many ticks a second.
        speed: Seconds of market time in a second; None for the usual.
        seed: The same seed gives the same ticks.
        replay: A price history to play instead of a simulation.
        trades: How many trades a minute the simulated desk makes; 0 for none.
        keep: How many rows the raw tables keep; None keeps all.
        key_file: Where the key is kept; None for the user's own file.
        anonymous: Whether there is no key.
        tls_cert: The server's certificate.
        tls_key: Its private key.
        heap: The JVM's largest heap.
        store: The directory or the URL of the store that the desk trades in; None for a server without a store.
        no_store: Whether `usual_store` leaves it at that.
        seconds: When to end; None for never.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    symbols: int = DEFAULT_SYMBOLS
    rate: float = DEFAULT_RATE
    speed: float | None = None
    seed: int | None = None
    replay: Path | None = None
    trades: float = DEFAULT_TRADES
    keep: int | None = DEFAULT_KEPT
    key_file: Path | None = None
    anonymous: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    heap: str | None = None
    store: str | None = None
    no_store: bool = False
    seconds: float | None = None


def read_options(given: Sequence[str] | None = None, program: str = "python -m server") -> MarketOptions:
    """Read the command line; a wrong one ends the process with status 2 and a message.

    Args:
        given: The arguments; those of the process by default.
        program: What the help calls the program.

    Example:
        >>> read_options(["--symbols", "40"]).symbols
        40
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description="Market data and a desk's risk as ticking Deephaven tables. Ctrl-C ends it. "
        "`python -m server doctor` says what this machine lacks.",
    )
    add = parser.add_argument
    add(
        "--host",
        type=_said,
        default="127.0.0.1",
        help="the address to listen on (default: 127.0.0.1, this machine only)",
    )
    add("--port", type=_port, default=DEFAULT_PORT, help=f"the port, 0 for any free one (default: {DEFAULT_PORT})")
    add("--symbols", type=_symbols, metavar="N", help=f"how many symbols to simulate (default: {DEFAULT_SYMBOLS})")
    add(
        "--rate",
        type=_rate,
        metavar="R",
        help=f"price ticks a second in all (default: {DEFAULT_RATE:g}; for many symbols, each one every "
        f"{SLOWEST_SYMBOL:g} s)",
    )
    add("--seed", type=_seed, metavar="N", help="make prices and trades the same in every run")
    add("--replay", type=_path, metavar="FILE", help="play a price history (.csv, .csv.gz, .parquet) instead")
    add(
        "--speed",
        type=_speed,
        metavar="X",
        help=f"market seconds in a second (default: {DEFAULT_SPEED:g}; of a replay, a typical step a second)",
    )
    add(
        "--trades",
        type=_trades,
        default=DEFAULT_TRADES,
        metavar="N",
        help=f"trades a minute of the simulated desk, 0 for none (default: {DEFAULT_TRADES:g})",
    )
    add(
        "--store",
        type=_said,
        metavar="DIR|URL",
        help="keep trades and limits in this directory, or in a PostgreSQL at postgresql://user@host:port/database "
        f"(default, but for a replay: {default_store_directory()})",
    )
    add("--no-store", action="store_true", help="keep trades in memory only, and have no limits")
    add(
        "--keep",
        type=_kept,
        default=DEFAULT_KEPT,
        metavar="ROWS",
        help=f"rows that the raw tables keep, or `all` until the heap is full (default: {DEFAULT_KEPT:,d})",
    )
    add("--key-file", type=_path, metavar="FILE", help="where the access key is kept (default: this user's own file)")
    add("--anonymous", action="store_true", help="let every program of this machine in without a key")
    add("--tls-cert", type=_path, metavar="FILE", help="serve TLS with this certificate chain (PEM)")
    add("--tls-key", type=_path, metavar="FILE", help="and its private key (PEM, not encrypted)")
    add("--heap", metavar="SIZE", help="the JVM's largest heap, as 2g (default: a quarter of the memory)")
    add("--seconds", type=_positive, metavar="N", help="end after N seconds")
    known, unknown = parser.parse_known_args(given)
    if unknown:
        slip = get_close_matches(unknown[0], ["doctor"])
        hint = "; did you mean `python -m server doctor`?" if slip else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    options: dict[str, Any] = vars(known)
    if options["replay"] is not None:
        for name in ("symbols", "rate"):
            if options[name] is not None:
                parser.error(f"--{name} is for the simulation; a replay has the symbols and ticks of its file")
    if options["store"] is not None and options["no_store"]:
        parser.error("--store and --no-store exclude each other")
    symbols = options["symbols"] or DEFAULT_SYMBOLS
    defaults: dict[str, Any] = {"symbols": symbols, "rate": max(DEFAULT_RATE, symbols / SLOWEST_SYMBOL)}
    given_or_usual: dict[str, Any] = {
        name: defaults.get(name) if value is None else value for name, value in options.items()
    }
    return MarketOptions(**given_or_usual)


def least_heap(keep: int | None) -> int:
    """Return how many bytes of heap the server takes, at the least, that keeps so many rows in each raw table.

    Example:
        >>> least_heap(1_000_000) >> 20
        403
    """
    return _EMPTY_HEAP + WORKING_HEAP + _ROW_HEAP * (keep or 0)


def usual_store(options: MarketOptions) -> tuple[MarketOptions, str]:
    """Give a simulation that names no store the one in this user's own directory.

    A replay has none unless one is named: each time it is played it would trade the same past again.

    Returns:
        The options, and a line that says why there is no store; empty where there is one, or none is wanted.

    Example:
        >>> usual_store(MarketOptions(no_store=True))[1]
        ''
    """
    if options.store is not None or options.no_store:
        return options, ""
    if options.replay is not None:
        return options, "No store: a replay has one where --store names it."
    missing = missing_packages()
    if missing:
        return options, f"No store: {', '.join(missing)} not installed (pip install -r requirements-store.txt)."
    return replace(options, store=str(default_store_directory())), ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _positive(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _between(text: str, least: float, most: float) -> float:
    number = _number(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
    return number


def _rate(text: str) -> float:
    return _between(text, LEAST_RATE, MOST_RATE)


def _speed(text: str) -> float:
    return _between(text, LEAST_SPEED, MOST_SPEED)


def _whole(text: str, least: int, most: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
    return number


def _trades(text: str) -> float:
    return _between(text, 0, MOST_TRADES)


def _said(text: str) -> str:
    # A variable of the shell that is not set would mean all addresses, or the folder that one happens to be in.
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _path(text: str) -> Path:
    return Path(_said(text))


def _port(text: str) -> int:
    return _whole(text, 0, 65535)


def _symbols(text: str) -> int:
    return _whole(text, 1, MOST_SYMBOLS)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**63 - 1)


def _kept(text: str) -> int | None:
    return None if text == "all" else _whole(text, 1, MOST_KEPT)
