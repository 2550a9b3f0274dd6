"""Points in time, versions and entities, as they are written on a command line."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import NamedTuple

import click

from store.base import require_entity_id
from store.errors import StoreError

__all__ = ["Point", "parse_entity", "parse_instant", "parse_point"]

LONGEST_VERSION = 20  # digits; more are no version's, and too many no number's


class Point(NamedTuple):
    """A version, or a point of both time axes: None stands for now."""

    version: int | None
    tx_time: datetime | None
    valid_time: datetime | None


def parse_instant(text: str, option: str | None = None) -> datetime | None:
    """Parse a time in ISO 8601 with an offset, None for `now`.

    Args:
        text: What was written.
        option: The option that it stands behind, where no parameter's own type parses it.
    """
    if text == "now":
        return None
    try:
        instant = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time: write it like 2026-02-22T10:00:00Z", param_hint=option
        ) from None
    if instant.utcoffset() is None:
        utc = instant.replace(tzinfo=timezone.utc).isoformat().replace("+00:00", "Z")
        raise click.BadParameter(f"{text!r} has no offset from UTC: write {utc} if it is UTC", param_hint=option)
    return instant


def parse_point(text: str) -> Point:
    """Parse a version, a time, or the two times `KNOWN/EFFECTIVE`."""
    if text.isascii() and text.isdecimal():
        return Point(int(text[:LONGEST_VERSION]), None, None)
    known, both, effective = text.partition("/")
    tx_time = parse_instant(known)
    return Point(None, tx_time, parse_instant(effective) if both else tx_time)


def parse_entity(text: str) -> str:
    """Parse an entity's id."""
    try:
        return require_entity_id(text)
    except StoreError:
        raise click.BadParameter(f"{text!r} is not an entity id: `ls TYPE` shows them") from None
