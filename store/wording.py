"""How messages show a value, and the names that a misspelt one may stand for."""

from __future__ import annotations

import json
from collections.abc import Iterable

__all__ = ["escaped", "is_slip", "nearest_names", "printable", "shown"]

SHORTEST = 4  # letters of a name that another can be taken for a slip of


def nearest_names(name: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return the known names closest to a misspelt one, the closest first.

    Args:
        name: What was written.
        known: The valid names.
        limit: The most names to return.

    Returns:
        At most `limit` names, none when nothing is close.

    Example:
        >>> nearest_names("pirce", ["price", "quantity"])
        ('price',)
    """
    from difflib import get_close_matches  # here: only an error needs it, and every import of the store would pay

    return tuple(get_close_matches(name, list(known), n=limit, cutoff=0.6))


def printable(text: str) -> str:
    r"""Return a text with each character that cannot be seen as its escape: others may have named what it tells of.

    Example:
        >>> printable("AAPL\x1b[2J")
        'AAPL\\u001b[2J'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escaped(char) for char in text)


def escaped(text: str) -> str:
    r"""Return a text with what is not ASCII as its escape.

    Example:
        >>> escaped("Zoë")
        'Zo\\u00eb'
    """
    return json.dumps(text)[1:-1]


def shown(value: object, limit: int = 80) -> str:
    """Return a value as a message shows it: its repr, cut to `limit` characters, and its class.

    Example:
        >>> shown("x")
        "'x' (str)"
    """
    try:
        text = printable(repr(value[: limit + 1] if isinstance(value, (str, bytes)) else value))
    except Exception as error:  # a hostile or broken __repr__ must not hide the error being reported
        text = f"<repr failed: {type(error).__name__}>"
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return f"{text} ({type(value).__name__})"


def is_slip(written: str, known: str) -> bool:
    """Say whether a name is a known one but for one letter left out, put in or mistaken, or two exchanged.

    What only goes on behind the known name (`prices`, `price_2`) may be meant so, and so may anything like a short one.

    Example:
        >>> is_slip("quantiy", "quantity"), is_slip("pirce", "price"), is_slip("fill_price", "price")
        (True, True, False)
    """
    if len(known) < SHORTEST or written.startswith(known):
        return False
    begin = _alike(written, known)
    end = _alike(written[begin:][::-1], known[begin:][::-1])
    here, there = written[begin : len(written) - end], known[begin : len(known) - end]
    return max(len(here), len(there)) == 1 or (len(here) == 2 and here == there[::-1])


def _alike(one: str, other: str) -> int:
    """Return with how many of the same letters two names begin."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
