"""One protection of the store: where it stands in the code, the code without it, and the attacks that look for it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Protection"]


class Protection(NamedTuple):
    """One protection.

    Attributes:
        name: What it is, in words.
        file: Where it stands.
        old: The text that is the protection.
        new: The text without it.
        suites: The modules of the attacks that look for it.
        after: A text that comes before it, where `old` alone stands in several places.
        external: Whether only an older server needs it, so that the attacks run on the external one.
    """

    name: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...]
    after: str = ""
    external: bool = False
