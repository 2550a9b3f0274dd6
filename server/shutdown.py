"""Ending on a signal: the program finishes what it is at, closes what it opened, and exits with status 0.

What it is at may be a store that does not answer: a second signal ends it at once.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from server.errors import StartStopped

__all__ = ["StopRequest", "end_on_interrupt", "require_no_stop", "stop_requested"]

_HINT_SECONDS = 3.0
_APART_SECONDS = 1.0  # `timeout` and some terminals send the same signal twice


class StopRequest(threading.Event):
    """Set once somebody wants an end.

    Attributes:
        number: The signal that said so; 0 while none has.
    """

    number = 0

    def is_set(self) -> bool:
        """Say whether somebody does, from the moment of the signal on: those who wait are told a little later."""
        return self.number != 0 or super().is_set()


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

    One that comes a second or more after the first ends the process with status 128 and its number. A SIGHUP that is
    ignored, as under nohup, stays ignored.

    Example:
        >>> with stop_requested() as stop:
        ...     stop.is_set()
        False
    """
    stop = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        stop.number = stop.number or number  # no lock is taken: the main thread may hold it

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    # A thread is told, which needs no word of a main thread that waits in a library, and may take any lock.
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    watch = threading.Thread(target=_watch, args=(told, stop, numbers), name="signals", daemon=True)
    watch.start()
    wakeup_before = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        os.close(tells)
        watch.join()
        os.close(told)


def _watch(told: int, stop: StopRequest, numbers: Collection[int]) -> None:
    asked = 0.0
    poll = select.poll()
    poll.register(told)
    patience: float | None = None
    while True:
        if not poll.poll(patience):
            _say(b"Still ending. Ctrl-C or SIGTERM once more ends it at once, whatever it waits for.\n")
            patience = None
            continue
        found = os.read(told, 64)
        if not found:
            return
        for number in filter(numbers.__contains__, found):
            if not asked:
                asked, patience = time.monotonic(), _HINT_SECONDS * 1000
                stop.number = stop.number or number
                stop.set()
            elif time.monotonic() - asked >= _APART_SECONDS:
                _say(b"Ended at once.\n")
                os._exit(128 + number)


def _say(line: bytes) -> None:
    with suppress(OSError):  # whoever read it may be gone
        os.write(2, line)
