"""Ctrl-C at a moment of our own choosing.

An exception inside a callback of Arrow's becomes an error of the connection, with a traceback on the terminal. So the
first Ctrl-C is only remembered, and looked at between two calls; a second one interrupts at once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["end_on_interrupt", "interrupted", "remember_interrupts", "wait"]

_interrupted = threading.Event()


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process without a word: for the seconds of its imports, which may not even notice it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def remember_interrupts() -> None:
    """Let `interrupted` know of every Ctrl-C from now on; call it in the main thread."""
    _interrupted.clear()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _remember)


def interrupted() -> bool:
    """Say whether somebody has pressed Ctrl-C."""
    return _interrupted.is_set()


def wait(seconds: float) -> None:
    """Wait, but not beyond a Ctrl-C."""
    _interrupted.wait(seconds)


def _remember(number: int, frame: FrameType | None) -> None:
    if _interrupted.is_set():
        raise KeyboardInterrupt
    _interrupted.set()
