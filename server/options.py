"""The command line of the market data server."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.embedded import DEFAULT_PORT

__all__ = ["DEFAULT_RATE", "DEFAULT_SYMBOLS", "MarketOptions", "read_options"]

DEFAULT_SYMBOLS, DEFAULT_RATE, DEFAULT_SPEED, DEFAULT_KEPT = 16, 100.0, 60.0, 1_000_000
MOST_SYMBOLS, MOST_KEPT = 10_000, 100_000_000


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
        keep: How many rows the raw tables keep; None keeps all.
        key_file: Where the key is kept; None for the user's own file.
        anonymous: Whether there is no key.
        tls_cert: The server's certificate.
        tls_key: Its private key.
        heap: The JVM's largest heap.
        seconds: When to end; None for never.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    symbols: int = DEFAULT_SYMBOLS
    rate: float = DEFAULT_RATE
    speed: float | None = None
    seed: int | None = None
    replay: Path | None = None
    keep: int | None = DEFAULT_KEPT
    key_file: Path | None = None
    anonymous: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    heap: str | None = None
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
    add("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1, this machine only)")
    add("--port", type=_port, default=DEFAULT_PORT, help=f"the port, 0 for any free one (default: {DEFAULT_PORT})")
    add("--symbols", type=_symbols, metavar="N", help=f"how many symbols to simulate (default: {DEFAULT_SYMBOLS})")
    add("--rate", type=_positive, metavar="R", help=f"price ticks a second in all (default: {DEFAULT_RATE:g})")
    add("--seed", type=_seed, metavar="N", help="make prices and trades the same in every run")
    add("--replay", type=Path, metavar="FILE", help="play a price history (.csv, .csv.gz, .parquet) instead")
    add(
        "--speed",
        type=_positive,
        metavar="X",
        help=f"market seconds in a second (default: {DEFAULT_SPEED:g}; of a replay, a typical step a second)",
    )
    add(
        "--keep",
        type=_kept,
        default=DEFAULT_KEPT,
        metavar="ROWS",
        help=f"rows that the raw tables keep, or `all` until the heap is full (default: {DEFAULT_KEPT:,d})",
    )
    add("--key-file", type=Path, metavar="FILE", help="where the access key is kept (default: this user's own file)")
    add("--anonymous", action="store_true", help="let every program of this machine in without a key")
    add("--tls-cert", type=Path, metavar="FILE", help="serve TLS with this certificate chain (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="and its private key (PEM, not encrypted)")
    add("--heap", metavar="SIZE", help="the JVM's largest heap, as 2g (default: a quarter of the memory)")
    add("--seconds", type=_positive, metavar="N", help="end after N seconds")
    options: dict[str, Any] = vars(parser.parse_args(given))
    if options["replay"] is not None:
        for name in ("symbols", "rate"):
            if options[name] is not None:
                parser.error(f"--{name} is for the simulation; a replay has the symbols and ticks of its file")
    defaults: dict[str, Any] = {"symbols": DEFAULT_SYMBOLS, "rate": DEFAULT_RATE}
    given_or_usual: dict[str, Any] = {
        name: defaults.get(name) if value is None else value for name, value in options.items()
    }
    return MarketOptions(**given_or_usual)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _whole(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
    return number


def _port(text: str) -> int:
    return _whole(text, 0, 65535)


def _symbols(text: str) -> int:
    return _whole(text, 1, MOST_SYMBOLS)


def _seed(text: str) -> int:
    return _whole(text, 0, 2**63 - 1)


def _kept(text: str) -> int | None:
    return None if text == "all" else _whole(text, 1, MOST_KEPT)
