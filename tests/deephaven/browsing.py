"""Waiting for what the dashboards are to show."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as TooLate

from tests.waiting import wait_until
from tools.browser import Grid, grids, plots
from tools.chromium import chromium_path

# Even where other programs keep both cores busy.
SECONDS = 240.0
CHROMIUM = chromium_path()
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.timeout(900),  # a generous one, as every wait below
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]


def grid(page: Page, *columns: str, rows: bool = True) -> Grid:
    """Return the first table that has these columns, once its rows have come."""

    def found() -> Grid | None:
        wanted = (grid for grid in grids(page) if set(columns) <= set(grid.names))
        return next((grid for grid in wanted if grid.loaded or not rows), None)

    return _waited(page, found, f"a table with {columns}")


def figure(page: Page, name: str) -> dict[str, Any]:
    """Return the trace of that name, once it has points."""

    def found() -> dict[str, Any] | None:
        return next((trace for plot in plots(page) for trace in plot if trace["name"] == name and trace["y"]), None)

    return _waited(page, found, f"a plot of {name}")


def open_panel(page: Page, name: str) -> None:
    """Open a panel of the IDE from its list; anew where the list closed, or the loading's picture stayed over it."""
    entry = page.get_by_role("button", name=name, exact=True)

    def opened() -> bool:
        with suppress(TooLate):
            if not entry.is_visible():
                page.get_by_role("button", name="Panels").click(timeout=20_000)
            entry.click(timeout=20_000)
            return True
        page.reload()
        return False

    _waited(page, opened, f"{name} in the list of panels")


def in_sight(element: Locator) -> bool:
    """Say whether an element is to be seen: neither beyond the window or its panel, nor below something else."""
    seen: bool = element.evaluate(
        """element => {
          const box = element.getBoundingClientRect();
          const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          return box.x >= 0 && box.right <= window.innerWidth && element.contains(at);
        }"""
    )
    return seen


def until(page: Page, condition: Callable[[], Any], what: str = "") -> Any:
    """Return the condition's first true value; a failing one shows what the page says."""
    return _waited(page, condition, what)


def _waited(page: Page, condition: Callable[[], Any], what: str) -> Any:
    def looked() -> Any:
        page.wait_for_timeout(50)  # the browser's events come in meanwhile
        return condition()

    return wait_until(looked, SECONDS, lambda: f"{what}; the page shows:\n{page.inner_text('body')[:2000]}")
