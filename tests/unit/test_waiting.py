"""The helper that the other tests wait with."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone

import pytest

from tests.waiting import in_time, wait_until


def test_wait_until_condition_comes_true_returns_its_value() -> None:
    counter = itertools.count()
    assert wait_until(lambda: next(counter) >= 3 and "there", timeout=10) == "there"


def test_wait_until_condition_never_true_fails_with_message_and_last_value() -> None:
    with pytest.raises(AssertionError, match=r"within 0.05 s: two rows; last: \[\]"):
        wait_until(list, timeout=0.05, message="two rows")


def test_wait_until_assertion_in_condition_counts_as_not_yet() -> None:
    counter = itertools.count()

    def third_time() -> bool:
        assert next(counter) >= 2
        return True

    assert wait_until(third_time, timeout=10)


def test_in_time_attempt_that_came_too_late_is_made_again() -> None:
    moments: list[datetime] = []

    def late_at_first(moment: datetime) -> int:
        moments.append(moment)
        if len(moments) == 1:
            wait_until(lambda: datetime.now(timezone.utc) > moment)
            raise ValueError("too late")
        return len(moments)

    assert in_time(late_at_first, 0.1) == (moments[1], 2)


def test_in_time_attempt_that_fails_in_time_has_failed() -> None:
    with pytest.raises(ZeroDivisionError):
        in_time(lambda moment: 1 // 0, 60)
