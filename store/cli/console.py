"""How a command line ends: its exit status, an error on one line, Ctrl-C."""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click
import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, get_wait_callback, set_wait_callback
from psycopg2.extensions import connection as Connection

from store.cli.commands import commands
from store.cli.rendering import escape_what_cannot_be_shown, note, usage_message
from store.cli.target import PASSWORD
from store.errors import StoreError

__all__ = ["main"]

PROGRAM = "python -m store"
INTERRUPTED = 130  # what a shell reports after Ctrl-C
TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit status: 0, 1 for an error, 2 for a wrong call, 130 after Ctrl-C.

    Args:
        arguments: What stands behind `python -m store`; those of the process when None.

    Example:
        >>> main(["--data-dir", "/nowhere", "ls"])
        1
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    escape_what_cannot_be_shown()
    try:
        with _interruptible():
            commands.main(given or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        return 0
    except click.UsageError as error:
        return _fail(usage_message(error, commands, PROGRAM), error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (psycopg2.Error, StoreError, OSError) as error:
        status = _interrupted_before(error)
        if status is not None:
            return status
        told = error.diag.message_primary if isinstance(error, psycopg2.Error) else None
        return _fail(told or str(error))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a statement that the server works on, and SIGTERM end this process as Ctrl-C does."""
    before = get_wait_callback(), signal.signal(signal.SIGTERM, _terminated)
    set_wait_callback(_wait)
    try:
        yield
    finally:
        set_wait_callback(before[0])
        signal.signal(signal.SIGTERM, before[1])


def _wait(conn: Connection) -> None:
    """Wait for the server as Python waits, which a signal ends; tell the server to end the statement too."""
    try:
        while (state := conn.poll()) != POLL_OK:
            reading, writing = ([conn], []) if state == POLL_READ else ([], [conn])
            select.select(reading, writing, [])
    except (KeyboardInterrupt, SystemExit):
        with suppress(psycopg2.Error):
            conn.cancel()
        raise


def _interrupted_before(error: BaseException) -> int | None:
    """Return the status of an interrupt that an error only followed: psycopg2 closes what it interrupts."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            return INTERRUPTED
        if isinstance(before, SystemExit) and before.code == TERMINATED:
            return TERMINATED
        before = before.__context__
    return None


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)


def _fail(message: str, status: int = 1) -> int:
    if "no password supplied" in message:
        message += f": set {PASSWORD}"
    note(f"Error: {' '.join(message.split())}")
    return status
