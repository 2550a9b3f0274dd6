"""How messages show a value, and the names that a misspelt one may stand for."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest_names", "shown"]


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


def shown(value: object, limit: int = 80) -> str:
    """Return a value as a message shows it: its repr, cut to `limit` characters, and its class.

    Example:
        >>> shown("x")
        "'x' (str)"
    """
    try:
        text = repr(value[: limit + 1] if isinstance(value, (str, bytes)) else value)
    except Exception as error:  # a hostile or broken __repr__ must not hide the error being reported
        text = f"<repr failed: {type(error).__name__}>"
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return f"{text} ({type(value).__name__})"
