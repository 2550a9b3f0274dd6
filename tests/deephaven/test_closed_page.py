"""A page that was closed while something was about to change it."""

from __future__ import annotations

import json
import logging
import queue
from collections.abc import Callable
from typing import Any

import pytest

from server.dashboards.closed_page import LOGGER, hush_closed_pages

SECONDS = 120.0
OPENED = json.dumps({"jsonrpc": "2.0", "method": "setState", "params": [{}], "id": 1}).encode()


class Connection:
    """Takes the place of a browser's connection."""

    def on_data(self, payload: bytes, references: list[Any]) -> None:
        """Take what the page would show."""

    def on_close(self) -> None:
        """Be told that the page broke."""


class Page:
    """A page as deephaven.ui keeps it, without its browser.

    Attributes:
        stream: What deephaven.ui keeps.
        setters: The function that changes the page's number, once for each time that the page was drawn.
    """

    def __init__(self) -> None:
        from deephaven import ui
        from deephaven.ui.object_types.ElementMessageStream import ElementMessageStream

        self.setters: queue.Queue[Callable[[Any], None]] = queue.Queue()

        @ui.component
        def page() -> Any:
            number, set_number = ui.use_state(0)
            self.setters.put(set_number)
            return ui.text(str(number))

        self.stream = ElementMessageStream(page(), Connection())
        self.stream.start()
        self.stream.on_data(OPENED, [])

    def settle(self) -> None:
        """Return when all that was queued so far has been done."""
        done: queue.Queue[None] = queue.Queue()
        self.stream.on_queue_render(lambda: done.put(None))
        done.get(timeout=SECONDS)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


@pytest.fixture
def page(deephaven_context: Any) -> Page:
    hush_closed_pages()
    hush_closed_pages()
    return Page()


def test_closed_page_says_nothing_of_changes_that_come_too_late(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    change = page.setters.get(timeout=SECONDS)
    page.stream.on_close()
    change(1)
    page.settle()
    assert said(caplog) == []


def test_open_page_still_says_what_failed(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    page.setters.get(timeout=SECONDS)
    page.stream.on_queue_render(lambda: {}["no such key"])
    page.settle()
    assert said(caplog) == ["'no such key'"]
    page.stream.on_close()


def test_closed_pages_are_hushed_once() -> None:
    hush_closed_pages()
    before = list(logging.getLogger(LOGGER).filters)
    hush_closed_pages()
    assert logging.getLogger(LOGGER).filters == before
