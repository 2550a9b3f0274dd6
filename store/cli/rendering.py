"""What the command line prints: aligned columns for people, one JSON object a line for programs.

Stored text may come from anybody. None of it reaches the terminal as something that a terminal obeys.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from store.wording import escaped, printable

__all__ = [
    "Count",
    "Printer",
    "assignments",
    "cell",
    "counted",
    "escape_what_cannot_be_shown",
    "json_line",
    "note",
    "one_line",
    "table",
    "usage_message",
]

GAP = "  "
WIDEST = 100  # columns of a terminal; a longer text, and nothing else, shifts what stands behind it on its line
ESCAPED = "store.escaped"


class Count(int):
    """A number of things: a table shows it with separators."""


class Printer:
    """Prints what a command found.

    Args:
        as_json: Whether for programs.
    """

    def __init__(self, as_json: bool) -> None:
        """Print nothing yet."""
        self.as_json = as_json

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print rows of the same columns; on a terminal, no wider than it is."""
        if self.as_json:
            for row in rows:
                self.facts(dict(zip(columns, row, strict=True)))
            return
        head, *lines = table(columns, rows, _terminal_width())
        click.secho(head, bold=True)
        for line in lines:
            click.echo(line)

    def objects(self, columns: Sequence[str], fields: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print rows whose last value is an object's data: a column for each of the fields; in JSON, as `data`."""
        if self.as_json:
            self.rows([*columns, "data"], rows)
        else:
            self.rows([*columns, *fields], [[*row[:-1], *map(row[-1].get, fields)] for row in rows])

    def line(self, text: str, **facts: Any) -> None:
        """Print a sentence, no longer than a terminal is wide; in JSON, the facts."""
        if self.as_json:
            self.facts(facts)
        else:
            click.echo(_cut(one_line(text), _terminal_width()))

    def width(self) -> int | None:
        """Return how wide a line may be: as the terminal is, None for any width."""
        return _terminal_width()

    def facts(self, facts: dict[str, Any]) -> None:
        """Print an object in JSON."""
        click.echo(json_line(facts))


def escape_what_cannot_be_shown() -> None:
    """Let this process print, as its escape, each character that the encoding of its output lacks."""
    codecs.register_error(ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def note(sentence: str) -> None:
    """Print a sentence beside the output, on the error stream."""
    click.echo(one_line(sentence), err=True)


def usage_message(error: click.UsageError, commands: click.Command, program: str) -> str:
    """Say on one line what is wrong with a call, and where the right one is described.

    Args:
        error: What click found.
        commands: The group, whose own options go before the command.
        program: How it is called, as in `python -m store`.
    """
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption) and error.option_name in [n for p in commands.params for n in p.opts]:
        return f"{message}; it goes before the command: {program} {error.option_name} ... COMMAND"
    return f"{message}; see {error.ctx.command_path if error.ctx else program} --help"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None = None) -> list[str]:
    r"""Return the lines of a table: a line of names, then one line a row. Columns without any value are left out.

    Args:
        columns: The columns' names.
        rows: Their values; numbers stand to the right.
        width: The most characters of a line, which then ends in an ellipsis; None for whole lines.

    Example:
        >>> print(*table(["symbol", "quantity", "note"], [["AAPL", 100, None], ["F", 5, None]]), sep="\n")
        symbol  quantity
        AAPL         100
        F              5
    """
    kept = [n for n in range(len(columns)) if not rows or any(row[n] is not None for row in rows)]
    cells = [[one_line(columns[n]) for n in kept], *([cell(row[n]) for n in kept] for row in rows)]
    widths = [min(max(_width(line[at]) for line in cells), WIDEST) for at in range(len(kept))]
    right = [bool(rows) and all(_is_number(row[n]) or row[n] is None for row in rows) for n in kept]
    lines = []
    for line in cells:
        padded = []
        for text, room, to_right in zip(line, widths, right, strict=True):
            space = " " * (room - _width(text))
            padded.append(space + text if to_right else text + space)
        lines.append(_cut(GAP.join(padded).rstrip(), width))
    return lines


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "entity", "entities"), counted(1_200, "entity", "entities")
        ('1 entity', '1,200 entities')
    """
    return f"{number:,} {one if number == 1 else many}"


def cell(value: Any) -> str:
    """Return a value as a table shows it, on one line.

    Example:
        >>> cell(datetime(2026, 2, 22, 10, tzinfo=timezone.utc))
        '2026-02-22 10:00:00Z'
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Count):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(sep=" ").replace("+00:00", "Z")
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def json_line(facts: dict[str, Any]) -> str:
    """Return an object on one line of JSON; times in ISO 8601 with their offset.

    Example:
        >>> json_line({"symbol": "AAPL", "at": datetime(2026, 2, 22, 10, tzinfo=timezone.utc)})
        '{"symbol": "AAPL", "at": "2026-02-22T10:00:00+00:00"}'
    """
    return printable(json.dumps(facts, ensure_ascii=False, default=_json_value))


def one_line(text: str) -> str:
    """Return a text on one line, with each character that cannot be seen as its escape."""
    return printable(text.replace("\n", "\\n"))


def assignments(values: Mapping[str, Any]) -> str:
    """Return values by name as people read them; those without a value are left out.

    Example:
        >>> assignments({"symbol": "AAPL", "quantity": 100, "book": None})
        'symbol="AAPL" quantity=100'
    """
    return " ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value is not None
    )


def _json_value(value: Any) -> str:
    return value.astimezone(timezone.utc).isoformat() if isinstance(value, datetime) else str(value)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return escaped(error.object[error.start : error.end]), error.end


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(line: str, width: int | None) -> str:
    if width is None or _width(line) <= width:
        return line
    taken: list[str] = []
    room = width - 1
    for char in line:
        room -= _char_width(char)
        if room < 0:
            break
        taken.append(char)
    return "".join(taken) + "…"


def _terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, None where it is none or does not tell."""
    # A process whose output was closed before it began has no stdout.
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return os.get_terminal_size(sys.stdout.fileno()).columns or None
