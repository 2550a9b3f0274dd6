"""Calls that are made while others are answered: their order, how many there are at a time, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from store.pipeline import answers


def test_answers_come_in_the_order_of_their_calls() -> None:
    assert list(answers(lambda call: call * 2, range(50))) == [call * 2 for call in range(50)]


def test_answers_to_no_call_are_none() -> None:
    assert list(answers(lambda call: call, [])) == []


def test_next_call_is_made_while_the_one_before_is_answered() -> None:
    made = threading.Event()

    def calls() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    def send(call: int) -> bool:
        return made.wait(120)

    assert list(answers(send, calls())) == [True, True]


def test_calls_behind_a_failed_one_are_not_made_up_for() -> None:
    sent = []

    def send(call: int) -> int:
        sent.append(call)
        if call == 2:
            raise ValueError("refused")
        return call

    found = answers(send, range(10))
    assert next(found) == 0
    with pytest.raises(ValueError, match="refused"):
        list(found)
    assert sent[:3] == [0, 1, 2] and len(sent) <= 4


def test_call_that_cannot_be_made_ends_with_its_error_and_no_thread_left() -> None:
    def calls() -> Iterator[int]:
        yield 1
        raise ValueError("no call")

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="no call"):
        list(answers(lambda call: call, calls()))
    assert set(threading.enumerate()) <= before
