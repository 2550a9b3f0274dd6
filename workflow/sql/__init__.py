"""The named statements of the engine, by file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["script", "statements"]


@cache
def script(name: str) -> str:
    """Return the text of `workflow/sql/<name>.sql`."""
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


@cache
def statements(name: str) -> dict[str, str]:
    """Return the statements of a file by the name in the `-- name: ...` line above each."""
    parts = re.split(r"^-- name: (\w+)\n", script(name), flags=re.MULTILINE)
    return {key: text.strip() for key, text in zip(parts[1::2], parts[2::2], strict=True)}
