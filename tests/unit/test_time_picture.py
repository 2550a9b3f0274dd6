"""The picture of docs/explanation/time.md is what the rules of time draw."""

from __future__ import annotations

from tools.time_picture import PICTURE, picture, rectangles


def test_picture_in_the_documentation_is_the_one_that_the_rules_draw() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture()


def test_rectangles_are_those_of_the_worked_case() -> None:
    answers = {(each.valid_from, each.known_from): each.answer for each in rectangles()}
    assert answers == {
        (10, 10): "100/5",
        (10, 12): "100/5",
        (20, 12): "150/5",
        (10, 30): "100/5",
        (15, 30): "100/6",
        (20, 30): "150/6",
        (15, 31): "120/6",
    }
