"""The dashboards as a person sees them: a running server, the system's Chromium, and what it draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from server.dashboards.past import moment_text
from server.store_place import TRADERS
from tests.deephaven.browsing import CHROMIUM, IN_A_BROWSER, SECONDS, figure, grid, in_sight, open_panel, until
from tests.deephaven.served_site import Site, connected, running
from tools.browser import SIZE, address, grids, launched, plots

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, ViewportSize

    from store.client import StoreClient

pytestmark = IN_A_BROWSER
VIEWPORT: ViewportSize = {"width": SIZE[0], "height": SIZE[1]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a store of its own."""
    folder = tmp_path_factory.mktemp("site")
    with running(folder, "--store", str(folder / "store")) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with launched(CHROMIUM) as browser:
        yield browser


class Visitor:
    """Somebody with one window, who opens one page of the site after another.

    Tests of one page follow each other on it: opening it takes longer than looking at it.
    """

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser, self._site = browser, site
        self._name = ""
        self._page: Page | None = None

    def opens(self, name: str) -> Page:
        """Return the page of that name."""
        if self._page is None or self._name != name:
            self.leaves()
            context = self._browser.new_context(viewport=VIEWPORT)
            self._page, self._name = context.new_page(), name
            self._page.set_default_timeout(SECONDS * 1000)
            self._page.goto(address(self._site.url, name, self._site.key))
        return self._page

    def leaves(self) -> None:
        """Close the window."""
        if self._page is not None:
            self._page.context.close()
        self._page = None


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    visitor = Visitor(browser, site)
    yield visitor
    visitor.leaves()


def headline(page: Page, name: str) -> str:
    return page.inner_text(f"#headline-{name}")


def test_quant_page_shows_live_prices_in_the_formats_of_the_catalog(visitor: Visitor) -> None:
    page = visitor.opens("quant")
    watched = grid(page, "Symbol", "Bid", "Timestamp")
    assert watched.count == 16
    assert watched.column("Symbol") == sorted(watched.column("Symbol"))
    assert dict(zip(watched.names, watched.headings, strict=True)) == {
        "Symbol": "Symbol",
        "Price": "Price",
        "Change": "Change",
        "ChangePct": "Change %",
        "Bid": "Bid",
        "Ask": "Ask",
        "Volume": "Volume (shares)",
        "Timestamp": "Timestamp",
    }
    for row in watched.rows:
        assert row["Change"][0] in "+-" or float(row["Change"]) == 0, row
        assert float(row["Bid"].replace(",", "")) < float(row["Ask"].replace(",", ""))
    assert {watched.alignment(name) for name in ("Price", "Change", "Volume")} == {"right"}
    until(page, lambda: grid(page, "Bid").column("Price") != watched.column("Price"), "other prices")
    first = figure(page, "Price")
    until(page, lambda: len(figure(page, "Price")["x"]) > len(first["x"]), "a longer line")
    until(page, lambda: len(grids(page)) == 3, "top movers and volume leaders, too")
    before = headline(page, "PnLToday")
    until(page, lambda: headline(page, "PnLToday") != before, "another P&L")
    assert "Gross (USD)" in page.inner_text("body")
    assert headline(page, "Breaches")[0].isdigit()
    assert float(headline(page, "Silence")) < SECONDS


def test_quant_gains_are_green_and_losses_red(visitor: Visitor) -> None:
    page = visitor.opens("quant")

    def colors() -> set[tuple[str, str]]:
        watched = grid(page, "Bid")
        return {(row["Change"][0], watched.color("Change", n)) for n, row in enumerate(watched.rows)}

    found = until(page, lambda: (seen := colors()) and {"+", "-"} <= {sign for sign, _ in seen} and seen)
    by_sign = {sign: {color for other, color in found if other == sign} for sign in "+-"}
    assert len(by_sign["+"]) == len(by_sign["-"]) == 1
    assert by_sign["+"] != by_sign["-"]


def test_quant_filter_filters_tables_and_line(visitor: Visitor) -> None:
    page = visitor.opens("quant")
    grid(page, "Symbol", "Bid")
    assert page.get_by_role("searchbox").get_attribute("maxlength") == "200"  # what is longer holds the page up
    page.get_by_role("searchbox").fill("ms, ko")
    until(page, lambda: grid(page, "Bid").column("Symbol") == ["KO", "MSFT"], "KO and MSFT only")
    until(page, lambda: {table.count for table in grids(page)} == {2}, "the other tables, too")
    page.get_by_text("Price of MSFT").wait_for()
    low, high = figure(page, "Price")["y"][0] * 0.5, figure(page, "Price")["y"][0] * 1.5
    assert low < 415 < high  # where Microsoft starts in the simulation
    page.get_by_role("searchbox").fill("\U000e0041")  # an A to whoever takes the lower half of it
    page.get_by_text("No symbol contains '\\U000e0041'.").wait_for()
    until(page, lambda: not any(table.count for table in grids(page)), "no rows")
    page.get_by_role("searchbox").fill("nothing like it`\\")
    page.get_by_text("No symbol contains 'nothing").wait_for()
    until(page, lambda: not any(table.count for table in grids(page)), "no rows")
    page.get_by_role("searchbox").fill("")
    until(page, lambda: {table.count for table in grids(page)} == {16}, "all of them again")


def test_quant_row_pressed_chooses_the_line(visitor: Visitor) -> None:
    page = visitor.opens("quant")
    page.get_by_role("searchbox").fill("")
    watched = until(page, lambda: (found := grid(page, "Symbol", "Bid")).count == 16 and found, "all symbols")
    row = watched.column("Symbol").index("V")
    page.mouse.click(*watched.place(row))
    page.get_by_text("Price of V", exact=True).wait_for()


@contextmanager
def narrow(page: Page) -> Iterator[list[Locator]]:
    """Make the window narrow for a while; give the figures of its header."""
    page.set_viewport_size({"width": 700, "height": 900})
    yield [
        page.locator(f"#headline-{name}")
        for name in ("PnLToday", "AgainstClose", "Gross", "Net", "Breaches", "Age", "Silence")
    ]
    page.set_viewport_size(VIEWPORT)


def test_quant_page_in_a_narrow_window_shows_its_whole_header(visitor: Visitor) -> None:
    page = visitor.opens("quant")
    with narrow(page) as figures:
        wanted = [*figures, page.get_by_role("searchbox")]
        until(page, lambda: all(map(in_sight, wanted)), "the header's figures, and the filter")


def test_risk_page_shows_exposures_and_greeks(visitor: Visitor) -> None:
    page = visitor.opens("risk")
    gross = figure(page, "Gross (USD)")
    assert set(gross["x"]) == {"EQ-US", "EQ-EU", "EQ-JP", "QUANT", "VOL"}
    assert min(gross["y"]) > 0
    limits = grid(page, "Usage", "Status")
    assert limits.count == 15  # three for each book
    assert set(limits.column("Status")) <= {"STOP", "WARN", "OK"}
    assert set(limits.column("Owner")) == {"market_desk"}
    greeks = grid(page, "Theta", "Rho")
    assert greeks.count == 17  # a row a symbol, and their sum
    assert "Vega (USD)" in greeks.headings
    riskiest = grid(page, "Score")
    scores = [float(text) for text in riskiest.column("Score")]
    assert scores == sorted(scores, reverse=True)
    until(page, lambda: grid(page, "Theta").column("Delta") != greeks.column("Delta"), "other deltas")
    until(page, lambda: figure(page, "Gross (USD)")["y"] != gross["y"], "other bars")


def test_pm_page_shows_the_curve_positions_attribution_and_what_changed(visitor: Visitor) -> None:
    page = visitor.opens("pm")
    curve = figure(page, "P&L today (USD)")
    until(page, lambda: len(figure(page, "P&L today (USD)")["x"]) > len(curve["x"]), "a longer curve")
    positions = grid(page, "AvgCost", "AgainstClose")
    assert positions.count == 64
    assert {"USD", "EUR", "GBP", "JPY"} == set(positions.column("Currency"))
    changes = grid(page, "ChangeOfPnL")
    until(page, lambda: grid(page, "ChangeOfPnL").column("ChangeOfPnL") != changes.column("ChangeOfPnL"), "changes")

    def signs() -> list[set[str]]:
        return [{text[0] for text in table.column("PnLToday")} for table in grids(page) if "Share" in table.names]

    until(page, lambda: signs() == [{"+"}, {"-"}], "contributors, then detractors")


@pytest.fixture
def trader(site: Site) -> Iterator[StoreClient]:
    """A user who writes trades into the server's store, beside the server."""
    from store.client import StoreClient
    from store.server import ObjectStoreServer

    with ObjectStoreServer(site.store) as store:
        store.provision_user("quant", "quant_pw")
        store.add_members(TRADERS, ["quant"])
        with StoreClient(user="quant", password="quant_pw", **store.conn_info()) as client:
            yield client


def look(page: Page, known_at: str) -> None:
    page.get_by_label("Known at").fill(known_at)
    page.get_by_role("button", name="Look", exact=True).click()


def holding(page: Page, *columns: str) -> tuple[str, ...] | None:
    """Return what a table with these columns shows of the book A-LOOK."""
    table = next((table for table in grids(page) if set(columns) <= set(table.names)), None)
    rows = [] if table is None else [row for row in table.rows if row["Book"] == "A-LOOK"]
    return tuple(rows[0][column] for column in columns) if rows else None


def test_as_of_page_shows_a_corrected_trade_before_and_after(visitor: Visitor, trader: StoreClient) -> None:
    from store.models import Trade

    bought = Trade(symbol="AAPL", quantity=100, price=200.0, side="BUY", book="A-LOOK")
    trader.write(bought)
    recorded = moment_text(bought.tx_time)
    assert recorded is not None
    bought.quantity, bought.price = 900, 210.0
    trader.update(bought, valid_from=bought.valid_from)

    page = visitor.opens("as_of")
    until(page, lambda: holding(page, "Quantity", "AvgCost", "Trades") == ("+900", "210.0000", "1"), "as it is now")
    assert holding(page, "QuantityThen") is None  # nothing differs from now
    look(page, recorded)
    until(page, lambda: holding(page, "Quantity", "AvgCost") == ("+100", "200.0000"), "as it was known first")
    columns = ("QuantityThen", "QuantityNow", "ChangeOfQuantity", "AvgCostThen", "AvgCostNow")
    until(page, lambda: holding(page, *columns) == ("+100", "+900", "+800", "200.0000", "210.0000"), "the difference")

    for name in ("Known at", "As it held at", "Entity id"):
        assert page.get_by_label(name).get_attribute("maxlength") == "200"
    page.get_by_label("Entity id").fill(str(bought.entity_id))
    page.get_by_role("button", name="Show", exact=True).click()
    trail = until(page, lambda: (found := grid(page, "EventType")).count == 2 and found, "two events")
    assert trail.column("EventType") == ["CREATED", "CORRECTED"]
    assert trail.column("UpdatedBy") == ["quant", "quant"]
    assert trail.column("TxTime")[0] == recorded
    assert "price: 200.0 -> 210.0, quantity: 100 -> 900" in trail.column("Changes")[1]

    # An event that is pressed is the moment that is looked at.
    page.mouse.click(*trail.place(1))
    until(page, lambda: holding(page, "Quantity", "AvgCost") == ("+900", "210.0000"), "right after the correction")
    assert page.get_by_label("Known at").input_value() == trail.column("TxTime")[1]
    look(page, "yesterday")
    page.get_by_text("'yesterday' is no moment").wait_for()
    page.get_by_role("button", name="Now", exact=True).click()
    until(page, lambda: holding(page, "Quantity") == ("+900",), "as it is now, again")


# What a server without a store makes of its tables, beside the pages of this one.
BARE = """
from server.dashboards import desk_pages
from server.dashboards.figures import desk_figures

names = ("positions_live", "prices_live", "prices_raw", "risk_live", "top_movers", "volume_leaders")
pages = desk_pages(desk_figures({name: globals()[name] for name in names}, positions_live, ["AAPL"]))
bare_risk, bare_as_of = pages["risk"], pages["as_of"]
"""


def test_as_of_page_shows_the_trail_of_a_trade_that_is_pressed_and_opens_nothing_else(
    visitor: Visitor, trader: StoreClient
) -> None:
    from store.models import Trade

    page = visitor.opens("as_of")
    bought = Trade(symbol="AAPL", quantity=7, price=200.0, side="BUY", book="http://example.com/<b>'`\\\x1b")
    trader.write_many([bought, Trade(symbol="AAPL", quantity=1, price=200.0, side="BUY", book="later")])
    shown = "http\ufffd//example.com/<b>'`\\\ufffd"

    page.get_by_role("button", name="Now", exact=True).click()
    trades = until(page, lambda: shown in (found := grid(page, "TradeQuantity")).column("Book") and found, "the trade")
    # Newest first: the desk trades on meanwhile.
    page.mouse.click(*trades.place(trades.column("Book").index(shown)))
    until(page, lambda: page.get_by_label("Entity id").input_value() == str(bought.entity_id), "its id")
    until(page, lambda: grid(page, "EventType").column("UpdatedBy") == ["quant"], "its trail")
    assert page.context.pages == [page]


def test_as_of_page_loses_no_press_while_it_is_drawn_anew(visitor: Visitor, site: Site) -> None:
    page = visitor.opens("as_of")
    grid(page, "TradeQuantity")
    for _ in range(20):
        page.get_by_role("button", name="Now", exact=True).click()
    page.get_by_label("Entity id").fill("nobody's")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_text("That cannot be shown").wait_for()
    assert "Callable not found" not in site.process.output


def test_as_of_page_is_pressed_through_the_picture_of_its_loading(visitor: Visitor) -> None:
    page = visitor.opens("as_of")
    picture = "<div id='fading' class='fill-parent-absolute fade-exit-active' style='z-index: 1000'></div>"
    page.evaluate("picture => document.body.insertAdjacentHTML('beforeend', picture)", picture)
    look(page, "last year")
    page.get_by_text("'last year' is no moment").wait_for()
    page.evaluate("document.getElementById('fading').remove()")


def test_as_of_page_in_a_narrow_window_shows_its_buttons(visitor: Visitor) -> None:
    page = visitor.opens("as_of")
    with narrow(page) as figures:
        wanted = [*figures, *(page.get_by_role("button", name=name, exact=True) for name in ("Look", "Now", "Show"))]
        until(page, lambda: all(map(in_sight, wanted)), "the header's figures, and the buttons")


def test_pages_without_a_store_say_what_is_missing(visitor: Visitor, site: Site) -> None:
    with connected(site.url, site.key) as session:
        session.run_script(BARE)
    for name, table in (("bare_risk", "Score"), ("bare_as_of", "")):
        page = visitor.opens(name)
        page.get_by_text("start it with --store DIR").wait_for()
        if table:
            assert grid(page, table).count == 15
        until(page, lambda page=page: headline(page, "Age") != "–", "figures")  # type: ignore[misc]
        assert headline(page, "Breaches") == "–"


def test_ide_itself_shows_a_page_and_its_tables(browser: Browser, site: Site, visitor: Visitor) -> None:
    visitor.leaves()
    context = browser.new_context(viewport=VIEWPORT)
    try:
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"{site.url}?psk={site.key}")
        open_panel(page, "prices_live")
        live = grid(page, "Symbol", "Bid")
        until(page, lambda: grid(page, "Bid").column("Price") != live.column("Price"), "other prices")
        open_panel(page, "risk")
        figure(page, "Gross (USD)")
    finally:
        context.close()


@pytest.mark.parametrize("key", ["wrong", ""])
def test_wrong_key_gets_in_nowhere(browser: Browser, site: Site, key: str) -> None:
    context = browser.new_context()
    try:
        for path in (f"iframe/widget/?name=quant&psk={key}", f"?psk={key}"):
            page = context.new_page()
            page.goto(site.url + path)
            page.get_by_role("button", name="Login").wait_for(timeout=SECONDS * 1000)
            assert grids(page) == [] and plots(page) == []
            assert "Watchlist" not in page.inner_text("body")
            page.close()
    finally:
        context.close()


_LOGIN = """async ([type, token]) => {
  const dh = (await import('/jsapi/dh-core.js')).default;
  const client = new dh.CoreClient(location.origin);
  try {
    await client.login({type, token});
  } catch (error) {
    return String(error);
  }
  client.disconnect();
  return 'in';
}"""


def test_wrong_key_gets_in_by_no_protocol(browser: Browser, site: Site) -> None:
    from pydeephaven import DHError

    from server.embedded import AUTH_TYPE

    page = browser.new_page()
    try:
        page.goto(site.url, timeout=SECONDS * 1000)
        assert page.evaluate(_LOGIN, [AUTH_TYPE, site.key]) == "in"
        for type, token in ((AUTH_TYPE, "wrong"), (AUTH_TYPE, ""), ("Anonymous", "")):
            assert page.evaluate(_LOGIN, [type, token]) != "in", type
    finally:
        page.close()
    with pytest.raises(DHError), connected(site.url, "wrong"):
        pass


def test_server_prints_the_key_once_and_the_console_never(site: Site) -> None:
    assert site.process.output.count(site.key) == 1
    assert "Traceback" not in site.process.output
