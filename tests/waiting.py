"""Waiting on a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float = 60.0, message: str | Callable[[], str] = "") -> T:
    """Return the predicate's first true value; fail once the time (seconds) is up.

    Args:
        predicate: Called again and again, from this thread. An AssertionError in it counts as not yet.
        timeout: Seconds; generous, since only a failing test waits so long.
        message: What was waited for, or a function that tells the state at the end.
    """
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        value = None
        try:
            value = predicate()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() >= deadline:
            told = message() if callable(message) else message
            raise AssertionError(f"not so within {timeout:g} s: {told or predicate}; last: {value!r}") from failure
        time.sleep(0.01)


def returns(call: Callable[[], object]) -> None:
    """Make a call; fail if it does not return, or raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: not thread.is_alive(), 30, "the call did not return")
    assert raised == []


def in_time(attempt: Callable[[datetime], T], seconds: float = 0.5) -> tuple[datetime, T]:
    """Return a time, and what an attempt made of it before it came; where the machine was too slow, try with more time.

    Args:
        attempt: Given the time, on a clean slate. What it finds wrong after the time came counts as too slow.
        seconds: How far ahead the time lies at first.
    """
    for factor in (1, 10, 100):
        moment = datetime.now(timezone.utc) + timedelta(seconds=seconds * factor)
        try:
            made = attempt(moment)
        except Exception:
            if datetime.now(timezone.utc) < moment:
                raise
            continue
        if datetime.now(timezone.utc) < moment:
            return moment, made
    raise AssertionError(f"{100 * seconds:g} s were not enough for a few calls")
