"""Ending on a signal: the program finishes what it is at, closes what it opened, and exits with status 0."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from server.errors import StartStopped

__all__ = ["StopRequest", "end_on_interrupt", "require_no_stop", "stop_requested"]


class StopRequest(threading.Event):
    """Set once somebody wants an end.

    Attributes:
        number: The signal that said so; 0 while none has.
    """

    number = 0


def require_no_stop(stop: threading.Event | None) -> None:
    """Between two steps of a start, end it where somebody wants that.

    Raises:
        StartStopped: Somebody does.
    """
    if stop is not None and stop.is_set():
        raise StartStopped


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process without a word: for the seconds of its imports, which may not even notice it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def stop_requested() -> Iterator[StopRequest]:
    """Give an event that SIGINT (Ctrl-C), SIGTERM and SIGHUP set; nothing is interrupted. In the main thread only.

    A SIGHUP that is ignored, as under nohup, stays ignored.

    Example:
        >>> with stop_requested() as stop:
        ...     stop.is_set()
        False
    """
    stop = StopRequest()

    def request(number: int, frame: FrameType | None) -> None:
        stop.number = number
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
