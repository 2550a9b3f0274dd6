"""Tells of a server that does not answer, while the main thread waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import click
from typing_extensions import Self

__all__ = ["StallWatch", "stalls_told"]

_PATIENCE = 5.0  # seconds; a busy server may take some for an answer
_AGAIN = 1.0  # seconds


class StallWatch:
    """A thread that calls `tell` with the seconds for which a call has been waiting, from the fifth on.

    Args:
        tell: Called in the watch's thread, never once the call has had its answer. What it raises ends the watch, and
            is raised by the call that waits, in that one's thread.
        again: Whether to call it every second, or once for each call that waits.
    """

    def __init__(self, tell: Callable[[float], None], *, again: bool) -> None:
        self._tell = tell
        self._again = again
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = False
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Watch what is done in the block."""
        with self._lock:
            self._since, self._told = time.monotonic(), False
        try:
            yield
        finally:
            with self._lock:
                self._since = None
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while not self._ended.wait(_AGAIN):
            with self._lock:
                if self._since is None or (self._told and not self._again):
                    continue
                waited = time.monotonic() - self._since
                if waited >= _PATIENCE:
                    self._told = True
                    try:
                        self._tell(waited)
                    except BaseException as error:  # rich raises an exit where nobody reads what it prints
                        self._failure = error
                        return


@contextmanager
def stalls_told(address: str) -> Iterator[None]:
    """Say on standard error, once, that what is done in the block has no answer yet."""

    def say(seconds: float) -> None:
        with suppress(OSError):  # whoever read it may be gone
            click.echo(f"{address} has not answered for {seconds:.0f} s; still waiting (Ctrl-C leaves)", err=True)

    with StallWatch(say, again=False) as watch, watch.call():
        yield
