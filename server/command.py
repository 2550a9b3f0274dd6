"""Running the market data server from a terminal: what it says, and how it ends."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Sequence
from threading import Event, Thread, main_thread
from types import FrameType

from rich.console import Console

from server.access_key import default_key_file
from server.dashboards import PAGE_NOTES
from server.embedded import DeephavenServer, is_loopback
from server.errors import KeyFileError, PriceFileError, ServerError, StartStopped, StorePlaceError, TlsFileError
from server.market_columns import TABLE_NOTES
from server.market_server import MarketServer
from server.options import MarketOptions, read_options, usual_store
from server.shutdown import stop_requested
from server.store_columns import STORE_NOTES
from server.terminal import open_console

__all__ = ["main"]

_LOOK_SECONDS = 0.2


def main(given: Sequence[str] | None = None, program: str = "app.py") -> int:
    """Run the server until it is told to stop; with -i, return once it runs.

    Args:
        given: The arguments; those of the process by default.
        program: What the help calls the program.

    Returns:
        The exit status: 0, 1 for a server that does not start or stay up, 2 for an option or a file that cannot be.
    """
    options, without_store = usual_store(read_options(given, program))
    # Deephaven shows what goes through sys.stdout to every browser; the key must not, so this console is older than it.
    console = open_console(sys.stdout)
    try:
        market = MarketServer(options)
    except ServerError as error:
        return _refused(program, error, 2)
    with stop_requested() as stop:
        try:
            begin = time.monotonic()
            with console.status("Starting Deephaven" if options.store is None else "Starting the store and Deephaven"):
                market.start(stop)
            console.print(f"Deephaven is up after {time.monotonic() - begin:.1f} s", highlight=False)
            if without_store:
                console.print(without_store, markup=False)
        except StartStopped:
            console.print("Stopped before it was up.")
            if sys.flags.interactive and stop.number != signal.SIGINT:
                sys.stdout.flush()
                os._exit(0)  # any other end would lead to the prompt
            return 0
        except (KeyFileError, TlsFileError, PriceFileError, StorePlaceError) as error:
            return _refused(program, error, 2)
        except ServerError as error:
            return _refused(program, error, 1)
        console.print(_guide(market), soft_wrap=True, markup=False)
        atexit.register(market.stop)
        if not sys.flags.interactive:
            return _wait(console, market, options, stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # back to the prompt
    _leave_at_sigterm()
    if stop.number not in (0, signal.SIGINT):
        os.kill(os.getpid(), stop.number)  # it came after the start had last looked
    return 0


def _wait(console: Console, market: MarketServer, options: MarketOptions, stop: Event) -> int:
    """Wait for a signal, the end of the time or of the feed."""
    feed = market.feed
    assert feed is not None
    end = None if options.seconds is None else time.monotonic() + options.seconds
    finish_told = False
    while not stop.is_set():
        if feed.failure is not None:
            print(f"the market data has ended: {feed.failure}", file=sys.stderr)
            market.stop()
            return 1
        if feed.finished.is_set() and not finish_told:
            console.print(f"Played all {feed.ticks:,d} ticks; the tables stay until you press Ctrl-C")
            finish_told = True
        if end is not None and time.monotonic() >= end:
            break
        stop.wait(_LOOK_SECONDS)
    market.stop()
    console.print(f"\n{'Stopped' if stop.is_set() else 'Done'} after {feed.ticks:,d} ticks.")
    return 0


def _leave_at_sigterm() -> None:
    """End a program that has a prompt at SIGTERM, whatever it is doing."""
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _leave)
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)  # from then on it is leaving
    Thread(target=_insist, args=(told,), name="sigterm", daemon=True).start()


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _insist(told: int) -> None:
    # A signal that comes just before the prompt waits for a key is noticed with that key, and what is raised while an
    # object is finalized is lost: so it is sent again.
    while signal.SIGTERM not in os.read(told, 64):
        pass
    while True:
        time.sleep(_LOOK_SECONDS)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)


def _refused(program: str, error: ServerError, status: int) -> int:
    print(f"{program}: {error}", file=sys.stderr)
    return status


def _guide(market: MarketServer) -> str:
    """Return what a person should know: where to look, what is there, and who else could."""
    server = market.deephaven
    notes = TABLE_NOTES | STORE_NOTES
    names = "\n".join(f"    {name:<18} {notes[name]}" for name in market.tables)
    pages = "\n".join(f"    {name:<18} {PAGE_NOTES[name]}" for name in market.pages)
    store = "" if market.store is None else market.store.place.guide() + "\n"
    kept = (
        ""
        if server.anonymous
        else f"""
         The address carries your key, also kept in
         {market.options.key_file or default_key_file()}"""
    )
    return f"""
  Open   {server.login_url}{kept}
{_warnings(server)}{store}
  "Panels" at the top right of the page lists the dashboards, each also alone
  at {server.url}iframe/widget/?name=quant and so on:
{pages}

  and the tables:
{names}
"""


def _warnings(server: DeephavenServer) -> str:
    warnings = []
    if server.anonymous:
        warnings.append("There is no key: every program and every user of this machine can run code as you.")
    else:
        warnings.append("Whoever has the key can run code as you, and sees everything that the server sees.")
    if not is_loopback(server.host):
        warnings.append(f"It listens on {server.host}: everyone on the network can try to get in.")
        if not server.tls:
            warnings.append("Without TLS the key travels in clear text: anybody on the way can read it.")
    return (
        "".join(
            f"\n  {'WARNING' if not is_loopback(server.host) or server.anonymous else 'Note'}   {text}"
            for text in warnings
        )
        + "\n"
    )
