"""The dashboards on a store without trades and limits, with the first of them, and when the server falls silent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from store.client import StoreClient
from store.models import Limit, Trade
from store.server import ObjectStoreServer
from tests.deephaven.browsing import CHROMIUM, IN_A_BROWSER, SECONDS, figure, grid, until
from tests.deephaven.served_site import Site, running
from tools.browser import SIZE, address, grids, launched, plots

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = IN_A_BROWSER
EMPTY = {
    "risk": ["No book has a position", "There are no limits"],
    "pm": ["There is no P&L yet", "There are no positions"],
    "as_of": ["Nothing was held at that moment.", "There was no trade at that moment."],
}


def emptied_store(directory: Path) -> None:
    """Make a store that held a trade and a limit once: the desk puts none of its own into it."""
    with ObjectStoreServer(directory) as store:
        store.publish(Trade, Limit)
        store.provision_user("quant", "quant_pw")
        with StoreClient(user="quant", password="quant_pw", **store.conn_info()) as client:
            for record in (bought(), Limit("B1", "gross_exposure", 1.0, 2.0)):
                client.write(record)
                client.delete(record)


def bought(symbol: str = "AAPL") -> Trade:
    return Trade(symbol=symbol, quantity=100, price=200.0, side="BUY", book="B1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("empty")
    emptied_store(folder / "store")
    with running(folder, "--store", str(folder / "store"), "--trades", "0") as site:
        yield site


@pytest.fixture(scope="module")
def pages(site: Site) -> Iterator[dict[str, Page]]:
    """Some pages, each in a window of its own that stays open."""
    assert CHROMIUM is not None
    with ExitStack() as opened:
        browser = opened.enter_context(launched(CHROMIUM))
        windows = {}
        for name in EMPTY:
            page = windows[name] = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.set_default_timeout(SECONDS * 1000)
            page.goto(address(site.url, name, site.key))
        yield windows


def test_pages_of_an_empty_desk_say_so_and_fill_with_the_first_trade(site: Site, pages: dict[str, Page]) -> None:
    for name, sentences in EMPTY.items():
        for sentence in sentences:
            pages[name].get_by_text(sentence).wait_for()
        assert plots(pages[name]) == []
    assert not pages["risk"].locator("#headline-Unpriced").count()

    with (
        ObjectStoreServer(site.store) as store,
        StoreClient(user="quant", password="quant_pw", **store.conn_info()) as client,
    ):
        client.write_many([bought(), bought("NOPRICE")])
        client.write(Limit("B1", "gross_exposure", 1.0, 2.0))
    risk, pm, as_of = pages.values()
    assert figure(risk, "Gross (USD)")["x"] == ["B1"]
    until(risk, lambda: grid(risk, "Status").column("Status") == ["STOP"], "the breach")
    until(risk, lambda: risk.inner_text("#headline-Unpriced") == "1", "the position that is in no sum")
    figure(pm, "P&L today (USD)")
    until(pm, lambda: grid(pm, "AvgCost").column("Symbol") == ["AAPL", "NOPRICE"], "the positions")
    as_of.reload()  # it looks when it is asked to
    until(
        as_of, lambda: len(grids(as_of)) == 3 and grid(as_of, "AvgCost").count == 2, "the positions, and their trades"
    )
    for page in pages.values():
        assert not any(word in page.inner_text("body") for word in ("NaN", "Infinity", "None", "no position"))


def test_names_that_somebody_chose_hide_no_book_and_look_like_none(site: Site, pages: dict[str, Page]) -> None:
    risk = pages["risk"]
    books = ["A\u202e1B", "B\u200b1", "[B1](https://example.com)", *("<b>B1</b>" * 6 + str(n) for n in range(30))]
    with (
        ObjectStoreServer(site.store) as store,
        StoreClient(user="quant", password="quant_pw", **store.conn_info()) as client,
    ):
        client.write_many([Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY", book=book) for book in books])
        client.write_many([Limit(book, "gross_exposure", 1e9, 1e9) for book in books])
    until(risk, lambda: len(figure(risk, "Gross (USD)")["x"]) == 20, "bars of the largest books")
    assert figure(risk, "Gross (USD)")["x"][0] == "B1"
    shown = {"A\ufffd1B", "B\ufffd1", "<b>B1</b>" * 6 + "0"}
    until(risk, lambda: shown <= set(grid(risk, "Status").column("Book")), "the limits")
    [height] = risk.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot._fullLayout._size.h)")
    assert height >= 180  # what the long names leave to the bars


def test_page_of_a_server_that_falls_silent_says_so_until_it_answers(site: Site, pages: dict[str, Page]) -> None:
    for page in pages.values():
        until(page, lambda page=page: page.inner_text("#headline-Age") != "–", "figures")  # type: ignore[misc]
        until(page, lambda page=page: page.locator("#server-lost").is_hidden(), "no alarm")  # type: ignore[misc]
    site.process.send(signal.SIGSTOP)
    try:
        for page in pages.values():
            page.locator("#server-lost").wait_for()
    finally:
        site.process.send(signal.SIGCONT)
    for page in pages.values():
        page.locator("#server-lost").wait_for(state="hidden")
