"""A headless Chromium on the pages of the web IDE, and how to read what they show.

The IDE draws its tables on a canvas. What is drawn comes from a model that the table's component holds in the page:
`grids` asks it for the very texts, as they were formatted in the browser. Plots keep what they show in `data`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["SIZE", "Grid", "address", "grids", "launched", "plots"]

SIZE = (1600, 1000)
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
_GRIDS = """() => [...document.querySelectorAll('.iris-grid')].map(element => {
  let fiber = element[Object.keys(element).find(key => key.startsWith('__reactFiber$'))];
  while (fiber && !(fiber.memoizedProps && fiber.memoizedProps.model)) fiber = fiber.return;
  if (!fiber) return null;
  const model = fiber.memoizedProps.model, box = element.getBoundingClientRect();
  // Whatever colour of the theme is asked for, its name will do.
  const theme = new Proxy({}, {get: (_, name) => String(name)});
  const columns = [...model.columns.keys()], rows = [...Array(Math.min(model.rowCount, 100)).keys()];
  return {
    names: model.columns.map(column => column.name),
    headings: columns.map(column => model.textForColumnHeader(column, 0)),
    count: model.rowCount,
    rows: rows.map(row => columns.map(column => model.textForCell(column, row))),
    alignments: columns.map(column => model.textAlignForCell(column, 0)),
    colors: rows.map(row => columns.map(column => model.colorForCell(column, row, theme))),
    box: [box.x, box.y, box.width, box.height],
  };
}).filter(grid => grid !== null)"""
_PLOTS = """() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data.map(trace => ({
  name: trace.name, type: trace.type, x: Array.from(trace.x || []).map(String), y: Array.from(trace.y || []),
})))"""


@contextmanager
def launched(executable: Path) -> Iterator[Browser]:
    """Give a headless browser, which is closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        browser.close()


def address(url: str, name: str, key: str) -> str:
    """Return where one widget of the web IDE is alone on a page."""
    return f"{url}iframe/widget/?name={name}&psk={quote(key)}"


class Grid:
    """A table of a page as it is at one moment.

    Attributes:
        names: The names of its columns.
        headings: What stands above them.
        count: How many rows there are; of more than 100, the first ones are read.
    """

    def __init__(self, found: dict[str, Any]) -> None:
        self.names: list[str] = found["names"]
        self.headings: list[str] = found["headings"]
        self.count: int = found["count"]
        self._found = found

    @property
    def rows(self) -> list[dict[str, str]]:
        """The texts that are drawn, by column name: of the rows on the screen and a few beyond."""
        return [dict(zip(self.names, row, strict=True)) for row in self._found["rows"] if any(row)]

    def column(self, name: str) -> list[str]:
        """Return the texts of a column."""
        return [row[name] for row in self.rows]

    def alignment(self, name: str) -> str:
        """Return how the texts of a column are aligned: `left`, `center` or `right`."""
        return str(self._found["alignments"][self.names.index(name)])

    def color(self, name: str, row: int) -> str:
        """Return the colour of a cell's text, as CSS has it."""
        return str(self._found["colors"][row][self.names.index(name)])

    @property
    def loaded(self) -> bool:
        """Whether the texts of its first row have come."""
        return bool(self._found["rows"]) and any(self._found["rows"][0])

    def place(self, row: int) -> tuple[float, float]:
        """Return where on the page a row is to be pressed: the first column, below the headings.

        Its left edge: where a text is cut short, the right one is a button that shows the whole of it.
        """
        x, y, *_ = self._found["box"]
        return x + 8, y + 31 + 19 * row + 9


def grids(page: Page) -> list[Grid]:
    """Return the tables of a page as they are now."""
    return [Grid(found) for found in page.evaluate(_GRIDS)]


def plots(page: Page) -> list[list[dict[str, Any]]]:
    """Return the traces of each plot of a page."""
    found: list[list[dict[str, Any]]] = page.evaluate(_PLOTS)
    return found
