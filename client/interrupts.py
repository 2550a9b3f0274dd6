"""Ctrl-C and SIGTERM at a moment of our own choosing.

An exception inside a callback of Arrow's becomes an error of the connection, with a traceback on the terminal. So the
first signal is only remembered, and looked at between two calls; a second one interrupts at once. Neither ends a call
that waits for a server that is stuck: after some seconds the process leaves from another thread, as it does when the
time that it was given is over.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

__all__ = ["end_on_interrupt", "interrupted", "interrupts_remembered", "leaving_after", "shown", "wait"]

_PATIENCE = 5.0  # seconds
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Out of the screen of its own that rich shows tables on, and the cursor back.
_PLAIN_SCREEN = b"\x1b[?1049l\x1b[?25h"
_interrupted = threading.Event()
_shown = threading.Event()


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process without a word: for the seconds of its imports, which may not even notice it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Let `interrupted` know of every Ctrl-C and SIGTERM in the block; in the main thread only.

    One that the block has not ended at some seconds later ends the process, with status 0.
    """
    _interrupted.clear()
    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    before = {number: signal.signal(number, _remember) for number in numbers}
    wakeup = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    watch = threading.Thread(target=_insist, args=(told, numbers), name="interrupts", daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(tells)
        watch.join()
        os.close(told)


@contextmanager
def leaving_after(seconds: float | None, address: str) -> Iterator[None]:
    """End the process where the block has not ended some seconds after this time; None never does.

    With status 0 where `shown` was called, else with status 1 and a line on standard error.

    Args:
        seconds: The time that the block has.
        address: What it waits for.
    """
    _shown.clear()
    if seconds is None:
        yield
        return

    def leave() -> None:
        if _shown.is_set():
            _leave()
        _leave(f"error: {address} has not answered within the {seconds:g} s of --seconds and {_PATIENCE:g} s more\n")

    timer = threading.Timer(min(threading.TIMEOUT_MAX, seconds + _PATIENCE), leave)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shown() -> None:
    """Let `leaving_after` know that what was asked for is on the screen."""
    _shown.set()


def interrupted() -> bool:
    """Say whether somebody has pressed Ctrl-C, or sent SIGTERM."""
    return _interrupted.is_set()


def wait(seconds: float) -> None:
    """Wait, but not beyond a Ctrl-C."""
    _interrupted.wait(seconds)


def _remember(number: int, frame: FrameType | None) -> None:
    if _interrupted.is_set():
        raise KeyboardInterrupt
    _interrupted.set()


def _insist(told: int, numbers: list[signal.Signals]) -> None:
    """End the process some seconds after the first of the signals; return once nobody can tell of one any more."""
    end: float | None = None
    while True:
        left = None if end is None else max(end - time.monotonic(), 0.0)
        if not select.select([told], [], [], left)[0]:
            break
        said = os.read(told, 64)
        if not said:
            return
        if end is None and any(number in said for number in numbers):
            end = time.monotonic() + _PATIENCE
    _leave()


def _leave(problem: str = "") -> NoReturn:
    with suppress(OSError):  # whoever read it may be gone
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _PLAIN_SCREEN)
        os.write(sys.stderr.fileno(), problem.encode())
    os._exit(1 if problem else 0)
