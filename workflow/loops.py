"""Blocking calls where an event loop may be running, and calls when the program ends."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["before_threads_end", "off_loop"]

T = TypeVar("T")


def off_loop(call: Callable[[], T]) -> T:
    """Make a call that may block where an event loop may be running, as in a notebook: then in a thread beside it."""
    try:
        asyncio.get_running_loop()
        beside = True
    except RuntimeError:
        beside = False
    if not beside:
        return call()
    context = contextvars.copy_context()
    made: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            made.append(context.run(call))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="workflow-call")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def before_threads_end(call: Callable[[], object]) -> None:
    """Make a call when the program ends, before it waits for its threads: `atexit` would come after them."""
    # What concurrent.futures itself ends its threads by; called in the reverse order of registration.
    register: Callable[[Callable[[], object]], None] | None = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(call)
