"""The moments that the As-of page takes and shows."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from server.dashboards.past import moment, moment_text
from server.errors import MomentError

EXACT = datetime(2026, 11, 25, 19, 0, 0, 123456, tzinfo=timezone.utc)


@pytest.mark.parametrize("typed", ["", "  ", "now", " NOW "])
def test_moment_nothing_typed_is_now(typed: str) -> None:
    assert moment(typed) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-25 19:00:00.123456", EXACT),
        ("2026-11-25T19:00:00.123456Z", EXACT),
        ("2026-11-25 20:00:00.123456+01:00", EXACT),
        ("2026-11-25 19:00", EXACT.replace(microsecond=0)),
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=timezone.utc)),
    ],
)
def test_moment_is_in_utc_unless_it_says_otherwise(typed: str, meant: datetime) -> None:
    found = moment(typed)
    assert found == meant
    assert found is not None and found.utcoffset() == timedelta(0)


@pytest.mark.parametrize("typed", ["yesterday", "25.11.2026", "2026-13-01", "Z", "0001-01-01 00:00+14:00", "19:00"])
def test_moment_that_is_none_says_how_one_is_written(typed: str) -> None:
    with pytest.raises(MomentError, match=r"is no moment: write 2026-11-25 19:00:00 \(in UTC\)") as caught:
        moment(typed)
    assert caught.value.text == typed


def test_moment_text_is_taken_again() -> None:
    text = moment_text(EXACT.astimezone(timezone(timedelta(hours=-5))))
    assert text == "2026-11-25 19:00:00.123456"
    assert moment(text) == EXACT
    assert moment_text(None) is None
