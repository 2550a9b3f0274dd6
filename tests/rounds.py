"""How long the long tests are: a round or two by default, all of them under `--long`."""

from __future__ import annotations

_long = False


def choose_long(flag: bool) -> None:
    """Set the length for this run; called once, before any test module is imported."""
    global _long
    _long = flag


def rounds(usual: int, long: int) -> int:
    """Return the first number in `make test`, the second in `make fuzz`, `make stress` and `make soak`.

    Example:
        >>> from hypothesis import settings
        >>> @settings(max_examples=rounds(500, 20_000))
        ... def test_fold(): ...
    """
    return long if _long else usual
