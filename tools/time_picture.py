"""Draw docs/images/two_times.svg: the rectangles of valid and transaction time that a corrected trade leaves.

`python -m tools.time_picture` writes it; the facts are those of docs/explanation/time.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.property.oracle import Entity, Event

__all__ = ["PICTURE", "Rectangle", "picture", "rectangles"]

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "two_times.svg"
# What was recorded: the day of recording, from which day it holds, and the fields.
FACTS = [
    (10, 10, {"quantity": 100, "price": 5}),
    (12, 20, {"quantity": 150}),
    (30, 15, {"price": 6}),
    (31, 15, {"quantity": 120}),
]
FIRST, LAST = 8, 34
QUESTIONS = [(15, 15, "A"), (12, 25, "B"), (30, 17, "C"), (32, 17, "D"), (32, 9, "E")]
COLOURS = {"100/5": "#dbe9f6", "150/5": "#a9cce8", "100/6": "#fde2c4", "150/6": "#f9b97a", "120/6": "#9ed3a2"}

SCALE, LEFT, TOP = 22, 78, 24
WIDTH = HEIGHT = SCALE * (LAST - FIRST)


class Rectangle(NamedTuple):
    """An area in which the answer is the same: days of valid time and of transaction time, half-open."""

    valid_from: int
    valid_to: int
    known_from: int
    known_to: int
    answer: str


def rectangles() -> list[Rectangle]:
    """Return the areas, from the rules of time in their plainest form."""
    entity = Entity()
    for version, (known, valid, changes) in enumerate(FACTS, start=1):
        entity.events.append(Event(version, "UPDATED", _day(known), _day(valid), None, changes))
    known_days = [*sorted({known for known, _, _ in FACTS}), LAST]
    valid_days = [*sorted({valid for _, valid, _ in FACTS}), LAST]
    found: list[Rectangle] = []
    for known, known_to in pairwise(known_days):
        for valid, valid_to in pairwise(valid_days):
            state = entity.at(_day(known), _day(valid))
            if state is None:
                continue
            here = Rectangle(valid, valid_to, known, known_to, "{quantity}/{price}".format(**state.fields))
            found = _joined(found, here)
    return found


def _joined(found: list[Rectangle], here: Rectangle) -> list[Rectangle]:
    """Add a cell; one that goes on to the right of, or above, an equal neighbour extends it."""
    for index, other in enumerate(found):
        if other.answer != here.answer:
            continue
        if other[2:4] == here[2:4] and other.valid_to == here.valid_from:
            rest = found[:index] + found[index + 1 :]
            return _joined(rest, other._replace(valid_to=here.valid_to))
        if other[:2] == here[:2] and other.known_to == here.known_from:
            rest = found[:index] + found[index + 1 :]
            return _joined(rest, other._replace(known_to=here.known_to))
    return [*found, here]


def picture() -> str:
    """Return the picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 24} {TOP + HEIGHT + 58}" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        "<title>Valid time against transaction time of a corrected trade</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for each in rectangles():
        x, y = _x(each.valid_from), _y(each.known_to)
        width, height = _x(each.valid_to) - x, _y(each.known_from) - y
        middle = x + width * (0.75 if height < 30 and width < 150 else 0.5)  # a flat area leaves room for its letter
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{COLOURS[each.answer]}" stroke="white"/>'
        )
        parts.append(
            f'<text x="{middle:g}" y="{y + height / 2 + 5:g}" text-anchor="middle" font-weight="bold">'
            f"{each.answer}</text>"
        )
    parts += _axes()
    parts.append(
        f'<line x1="{_x(10)}" y1="{_y(10)}" x2="{_x(LAST)}" y2="{_y(LAST)}" stroke="#555" stroke-dasharray="5 4"/>'
    )
    for known, valid, name in QUESTIONS:
        parts.append(f'<circle cx="{_x(valid)}" cy="{_y(known)}" r="9" fill="#222"/>')
        parts.append(f'<text x="{_x(valid)}" y="{_y(known) + 4}" text-anchor="middle" fill="white">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> list[str]:
    lines = f'<path d="M{LEFT} {TOP}V{TOP + HEIGHT}H{LEFT + WIDTH}" fill="none" stroke="#222"/>'
    parts = [lines]
    for day in sorted({valid for _, valid, _ in FACTS}):
        parts.append(f'<text x="{_x(day)}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{day}</text>')
    for day in sorted({known for known, _, _ in FACTS}):
        parts.append(f'<text x="{LEFT - 8}" y="{_y(day) + 5}" text-anchor="end">{day}</text>')
    middle = TOP + HEIGHT / 2
    parts.append(
        f'<text x="{LEFT + WIDTH / 2:g}" y="{TOP + HEIGHT + 44}" text-anchor="middle">'
        "valid time: the day for which it holds</text>"
    )
    parts.append(
        f'<text transform="translate(22 {middle:g}) rotate(-90)" text-anchor="middle">'
        "transaction time: the day on which it was known</text>"
    )
    return parts


def _day(number: int) -> datetime:
    return datetime(2026, 2, 1) + timedelta(days=number - 1)


def _x(day: int) -> int:
    return LEFT + SCALE * (day - FIRST)


def _y(day: int) -> int:
    return TOP + HEIGHT - SCALE * (day - FIRST)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE}")
