"""The figures of the dashboards against ones worked out by hand: two days, two currencies, nulls, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from server.column_writer import ColumnWriter
from server.dashboards.figures import (
    DeskFigures,
    attribution,
    desk_figures,
    headline,
    since,
    with_sum,
)
from server.market_columns import column_types
from tests.deephaven.table_rows import rows
from tests.waiting import wait_until

DAY = 86_400_000_000_000
FIRST, SECOND = 20_000 * DAY + DAY // 2, 20_001 * DAY + 1
BOOKS = ["EQ", "VOL", None]
CONTRACTS = ["AAA", "BBB", "AAA 300101C100"]
CURRENCIES = ["USD", "EUR"]
NULL = np.nan


class Market:
    """Writers of positions, prices and risk, and the figures that derive from them."""

    def __init__(self) -> None:
        self.positions = ColumnWriter(
            "positions",
            column_types("positions_live"),
            {"Book": BOOKS, "Symbol": CONTRACTS, "Currency": CURRENCIES, "Underlying": CONTRACTS[:2]},
        )
        self.prices = ColumnWriter("prices", column_types("prices_live"), {"Symbol": CONTRACTS[:2]})
        self.risk = ColumnWriter("risk", column_types("risk_live"), {"Symbol": CONTRACTS[:2]})

    def figures(self, limits: list[tuple[Any, ...]] | None = None, **options: Any) -> DeskFigures:
        from bridge.java_columns import java_table

        tables = {
            "positions_live": self.positions.blink.last_by(["Book", "Symbol", "Currency"]),
            "prices_live": self.prices.blink.last_by("Symbol"),
            "risk_live": self.risk.blink.last_by("Symbol"),
        }
        if limits is not None:
            types = {"book": "string", "metric": "string", "warn": "double", "stop": "double"}
            types |= {"Owner": "string", "EntityId": "string"}
            owned = [(*limit, *(["alice"] if len(limit) < 5 else [])) for limit in limits]
            tables["limits_live"] = java_table(types, [(*limit, str(number)) for number, limit in enumerate(owned)])
        return desk_figures(tables, self.positions.blink, CONTRACTS[:2], **options)

    def mark(self, time: int, *marks: tuple[Any, ...]) -> None:
        """Write positions: book, contract, currency, underlying, quantity, multiplier, cost, price, realized, rate."""
        book, symbol, currency, underlying, quantity, multiplier, cost, price, realized, rate = np.array(
            marks, dtype=float
        ).T
        value = quantity * multiplier * price
        unrealized = quantity * multiplier * (price - cost)
        places = [column.astype(int) for column in (book, symbol, currency, underlying)]
        times = np.full(len(marks), time)
        numbers = (quantity, multiplier, cost, price, value, realized, unrealized, rate)
        self.positions.write(*places, times, *numbers)
        assert self.positions.wait_visible(120)

    def quote(self, time: int, symbol: int, price: float, change: float) -> None:
        one = [np.array([number]) for number in (price, NULL, NULL, 0.0, change, NULL)]
        self.prices.write(np.array([symbol]), np.array([time]), *one)
        assert self.prices.wait_visible(120)


@pytest.fixture
def market(deephaven_context: Any) -> Market:
    return Market()


def traded(market: Market) -> None:
    """Two days: on the second one everything has another price, and AAA another quantity."""
    market.mark(
        FIRST,
        (0, 0, 0, 0, 10, 1, 90.0, 100.0, 5.0, 1.0),
        (0, 1, 1, 1, -20, 1, 50.0, 50.0, 0.0, 1.10),
        (1, 2, 0, 0, 2, 100, 4.0, 5.0, 0.0, 1.0),
    )
    market.quote(SECOND, 0, 110.0, 8.0)
    market.quote(SECOND, 1, 48.0, NULL)
    market.mark(
        SECOND,
        (0, 0, 0, 0, 20, 1, 100.0, 110.0, 7.0, 1.0),
        (0, 1, 1, 1, -20, 1, 50.0, 48.0, 0.0, 1.20),
        (1, 2, 0, 0, 2, 100, 4.0, 9.0, 0.0, 1.0),
        (2, 1, 1, 1, 5, 1, 47.0, NULL, 3.0, NULL),  # what the market has no price of
    )


def by_symbol(figures: DeskFigures, count: int) -> dict[tuple[Any, Any], dict[str, Any]]:
    found = wait_until(
        lambda: (
            (held := {(row["Book"], row["Symbol"]): row for row in rows(figures.positions)})
            and len(held) == count
            and held[("EQ", "AAA")]["Quantity"] == 20
            and held
        )
    )
    assert isinstance(found, dict)
    return found


def test_positions_against_the_day_before_and_the_close(market: Market) -> None:
    figures = market.figures()
    traded(market)
    held = by_symbol(figures, 4)
    share, foreign, option = held[("EQ", "AAA")], held[("EQ", "BBB")], held[("VOL", "AAA 300101C100")]
    # P&L so far 7 + 20 × 10, of which 5 + 10 × 10 is of the day before.
    assert share["PnLToday"] == pytest.approx(207 - 105)
    assert share["AgainstClose"] == pytest.approx(20 * 8)  # prices_live's own change
    assert foreign["PnLToday"] == pytest.approx(-20 * (48 - 50) * 1.20)
    assert foreign["AgainstClose"] == pytest.approx(-20 * (48 - 50) * 1.20)  # against the last mark: no change known
    assert foreign["ValueUSD"] == pytest.approx(-20 * 48 * 1.20)
    assert option["PnLToday"] == pytest.approx(2 * 100 * (9 - 5))
    assert option["AgainstClose"] == pytest.approx(2 * 100 * (9 - 5))
    unpriced = held[(None, "BBB")]
    assert [unpriced[name] for name in ("ValueUSD", "PnLUSD", "PnLToday", "AgainstClose")] == [None] * 4


def test_positions_on_the_first_day_are_against_their_first_mark(market: Market) -> None:
    figures = market.figures()
    market.mark(SECOND, (1, 2, 0, 0, 2, 100, 4.0, 5.0, 0.0, 1.0))
    later = (0, 1, 1, 1, 10, 1, 50.0, 49.0, 0.0, 1.1)
    market.mark(SECOND + 1, (1, 2, 0, 0, 2, 100, 4.0, 6.5, 0.0, 1.0), later)
    found = wait_until(lambda: (held := rows(figures.positions)) and len(held) == 2 and held)
    assert found[0]["PnLToday"] == pytest.approx(2 * 100 * 1.5)
    assert found[0]["AgainstClose"] == pytest.approx(2 * 100 * 1.5)
    # What came later came with nothing: all of its P&L is of today.
    assert found[1]["PnLToday"] == pytest.approx(-10 * 1.1)


def test_headline_and_exposures_add_dollars_only(market: Market) -> None:
    figures = market.figures()
    top = headline(figures)
    traded(market)
    by_symbol(figures, 4)
    row = wait_until(lambda: (found := rows(top)) and found[0]["Gross"] and found[0])
    assert row["Gross"] == pytest.approx(2200 + 1152 + 1800)
    assert row["Net"] == pytest.approx(2200 - 1152 + 1800)
    assert row["PnLToday"] == pytest.approx(102 + 48 + 800)
    assert row["AgainstClose"] == pytest.approx(160 + 48 + 800)
    assert row["Unpriced"] == 1
    assert row["Breaches"] is None  # without limits nobody knows
    assert row["Age"] > 0
    assert row["Silence"] is None  # without a store
    assert {book["Book"]: book["Positions"] for book in rows(figures.exposures)} == {"EQ": 2, "VOL": 1, None: 1}


def test_silence_of_the_store_is_looked_at_again_and_again(market: Market) -> None:
    silence = [3.0]
    figures = market.figures(silence=lambda: silence[0])
    top = headline(figures)
    wait_until(lambda: (found := rows(top)) and found[0]["Silence"] == 3.0)
    silence[0] = 40.0
    wait_until(lambda: rows(top)[0]["Silence"] == 40.0)
    assert rows(figures.published()["store_status"].view("Silence")) == [{"Silence": 40.0}]
    assert "store_status" not in market.figures().published()


def test_headline_of_a_desk_that_holds_nothing_is_zero(market: Market) -> None:
    figures = market.figures([("EQ", "gross_exposure", 1.0, 10.0)])
    top = headline(figures)
    market.quote(SECOND, 0, 110.0, 8.0)
    row = wait_until(lambda: (found := rows(top)) and found[0]["Age"] and found[0])
    names = ("PnLToday", "AgainstClose", "Gross", "Net", "Unpriced", "Breaches", "Warnings")
    assert [row[name] for name in names] == [0] * 7


def test_what_was_closed_without_a_profit_loses_what_it_was_worth_the_day_before(market: Market) -> None:
    figures = market.figures()
    top = headline(figures)
    market.mark(FIRST, (0, 0, 0, 0, 10, 1, 90.0, 100.0, 0.0, 1.0), (1, 2, 0, 0, 2, 100, 4.0, 5.0, 0.0, 1.0))
    market.mark(SECOND, (0, 0, 0, 0, 0, 1, 0.0, 100.0, 0.0, 1.0), (1, 2, 0, 0, 2, 100, 4.0, 5.0, 0.0, 1.0))
    row = wait_until(lambda: (found := rows(top)) and found[0]["PnLToday"] and found[0])
    assert row["PnLToday"] == -10 * 10
    assert rows(figures.exposures.where("Book == `EQ`").view(["PnLToday", "Gross", "Positions"])) == [
        {"PnLToday": -100.0, "Gross": 0.0, "Positions": 0}
    ]


def test_totals_are_right_again_once_a_huge_trade_is_corrected(market: Market) -> None:
    figures = market.figures()
    top = headline(figures)
    share, option = (0, 0, 0, 0, 10, 1, 90.0, 100.0, 5.0, 1.0), (1, 2, 0, 0, 2, 100, 4.0, 5.1, 0.0, 1.0)
    market.mark(SECOND, share, option, (0, 1, 0, 1, 1, 1, 50.0, 50.0, 0.0, 1.0))
    market.mark(SECOND + 1, (0, 1, 0, 1, 2.0**53, 1, 50.0, 50.3, 0.0, 1.0))
    wait_until(lambda: (found := rows(top)) and found[0]["Gross"] and found[0]["Gross"] > 1e17)
    market.mark(SECOND + 2, (0, 1, 0, 1, 1, 1, 50.0, 50.0, 0.0, 1.0))
    row = wait_until(lambda: (found := rows(top)) and found[0]["Gross"] < 1e17 and found[0])
    assert (row["Gross"], row["PnLToday"]) == (1000.0 + 1020.0 + 50.0, 0.0)
    held = {row["Underlying"]: row for row in rows(attribution(figures.positions, "Underlying"))}
    assert held["AAA"]["Unrealized"] == pytest.approx(100 + 220)


def test_age_is_that_of_the_oldest_price(market: Market) -> None:
    import time

    figures = market.figures()
    top = headline(figures)
    market.mark(SECOND, (0, 0, 0, 0, 20, 1, 100.0, 110.0, 7.0, 1.0))
    market.quote(time.time_ns() - 3600 * 10**9, 0, 110.0, 8.0)
    market.quote(time.time_ns(), 1, 48.0, NULL)
    wait_until(lambda: (found := rows(top)) and found[0]["Age"] and 3600 < found[0]["Age"] < 3700)


def test_age_of_a_history_is_counted_from_its_arrival(market: Market) -> None:
    figures = market.figures(clock_of_arrival=True)
    top = headline(figures)
    market.mark(SECOND, (0, 0, 0, 0, 20, 1, 100.0, 110.0, 7.0, 1.0))
    market.quote(SECOND, 0, 110.0, 8.0)
    first = wait_until(lambda: (found := rows(top)) and found[0]["Age"])
    assert first < 60
    later = wait_until(lambda: (age := rows(top)[0]["Age"]) > first + 0.4 and age)
    market.quote(SECOND + 1, 0, 111.0, 9.0)
    wait_until(lambda: rows(top)[0]["Age"] < later)


def test_limits_breaches_come_first_and_are_counted(market: Market) -> None:
    figures = market.figures(
        [
            ("EQ", "gross_exposure", 1e6, 2e6),
            ("EQ", "net_exposure", 500.0, 1e6),
            ("EQ", "loss", 1.0, 10.0),
            ("VOL", "gross_exposure", 100.0, 1800.0),
            ("NONE", "gross_exposure", 1.0, 10.0),
            ("VOL", "unheard_of", 1.0, 10.0),
            (None, None, None, None),
        ]
    )
    usage = figures.limits
    assert usage is not None
    top = headline(figures)
    traded(market)
    by_symbol(figures, 4)
    found = wait_until(
        lambda: (limits := rows(usage)) and [row["Status"] for row in limits[:2]] == ["STOP", "WARN"] and limits
    )
    assert [(row["Book"], row["Metric"], row["Status"]) for row in found] == [
        ("VOL", "gross_exposure", "STOP"),
        ("EQ", "net_exposure", "WARN"),
        (None, None, "?"),
        ("VOL", "unheard_of", "?"),
        ("EQ", "gross_exposure", "OK"),
        ("EQ", "loss", "OK"),
        ("NONE", "gross_exposure", "OK"),
    ]
    assert [row["Value"] for row in found[:2]] == pytest.approx([1800, 2200 - 1152])
    assert found[0]["Usage"] == 1.0
    wait_until(lambda: (row := rows(top)) and (row[0]["Breaches"], row[0]["Warnings"]) == (1, 1))


def test_limits_of_several_owners_for_the_same_figure_each_stand_with_its_owner(market: Market) -> None:
    figures = market.figures(
        [
            ("EQ", "gross_exposure", 1e6, 2e6, "market_desk"),
            ("EQ", "gross_exposure", 1.0, 2.0, "mallory"),
            ("EQ", "gross_exposure", 1.0, 2.0, "mallory"),
            ("EQ", "gross_exposure", 1.0, 2.0, "carol"),
        ]
    )
    usage = figures.limits
    assert usage is not None
    traded(market)
    by_symbol(figures, 4)
    found = wait_until(lambda: (limits := rows(usage)) and limits[0]["Status"] == "STOP" and limits)
    assert [(row["Owner"], row["EntityId"], row["Status"]) for row in found] == [
        ("carol", "3", "STOP"),
        ("mallory", "1", "STOP"),
        ("mallory", "2", "STOP"),
        ("market_desk", "0", "OK"),
    ]


def test_limits_of_zero_and_below_are_breached_by_what_is_held_only(market: Market) -> None:
    figures = market.figures(
        [
            ("VOL", "gross_exposure", 0.0, 0.0),
            ("VOL", "net_exposure", -5.0, 1e9),  # a warning below zero is past as soon as something is held
            ("EQ", "gross_exposure", 1e9, 1.0),  # the stop comes before the warning
            ("EQ", "net_exposure", 1.0, None),
            ("NONE", "gross_exposure", 0.0, 0.0),
            ("NONE", "loss", -1.0, -1.0),
            ("名" * 64, "gross_exposure", 0.0, 0.0),
        ]
    )
    usage = figures.limits
    assert usage is not None
    traded(market)
    by_symbol(figures, 4)
    found = wait_until(lambda: (limits := rows(usage)) and limits[0]["Status"] == "STOP" and limits)
    assert {(row["Book"][:4], row["Metric"], row["Status"], row["Usage"] is None) for row in found} == {
        ("VOL", "gross_exposure", "STOP", True),
        ("VOL", "net_exposure", "WARN", False),
        ("EQ", "gross_exposure", "STOP", False),
        ("EQ", "net_exposure", "WARN", True),
        ("NONE", "gross_exposure", "OK", True),
        ("NONE", "loss", "OK", True),
        ("名" * 4, "gross_exposure", "OK", True),
    }


def test_attribution_shares_and_what_changed_since(market: Market) -> None:
    figures = market.figures()
    traded(market)
    by_symbol(figures, 4)
    before = figures.positions.snapshot()
    found = {row["Underlying"]: row for row in rows(attribution(figures.positions, "Underlying"))}
    assert found["AAA"]["PnLToday"] == pytest.approx(902)
    assert found["BBB"]["Realized"] == 0
    assert found["AAA"]["Share"] == pytest.approx(902 / 950)
    changes = since(figures.positions, before)
    assert rows(changes) == []
    market.mark(SECOND + 1, (0, 0, 0, 0, 15, 1, 100.0, 111.0, 12.0, 1.0), (1, 0, 0, 0, 4, 1, 100.0, 103.0, 0.0, 1.0))
    seen = wait_until(lambda: (now := rows(changes)) and len(now) == 2 and now)
    assert [(row["Book"], row["ChangeOfQuantity"]) for row in seen] == [("EQ", -5), ("VOL", 4)]
    assert seen[0]["ChangeOfPnL"] == pytest.approx(12 + 15 * 11 - 207)
    assert seen[1]["ChangeOfValue"] == pytest.approx(412)  # from nothing


def test_curve_keeps_what_was(market: Market) -> None:
    figures = market.figures()
    market.mark(SECOND, (0, 0, 0, 0, 20, 1, 100.0, 100.0, 0.0, 1.0))
    market.mark(SECOND + 1, (0, 0, 0, 0, 20, 1, 100.0, 110.0, 0.0, 1.0))
    wait_until(lambda: (curve := rows(figures.curve)) and curve[-1]["PnLToday"] == 200.0)
    market.mark(SECOND + 2, (0, 0, 0, 0, 20, 1, 100.0, 90.0, 0.0, 1.0))
    curve = wait_until(lambda: (curve := rows(figures.curve)) and curve[-1]["PnLToday"] == -200.0 and curve)
    assert 200.0 in [row["PnLToday"] for row in curve]
    assert [row["Timestamp"] for row in curve] == sorted(row["Timestamp"] for row in curve)


def test_riskiest_come_first_and_null_risk_is_none(market: Market) -> None:
    figures = market.figures()
    ranked = figures.scores
    numbers = np.array(
        [[1.0, 3.0], [0.0, 0.0], [0.0, 0.0], [1.0, 3.0], [1.0, NULL], [0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]
    )
    market.risk.write(np.array([0, 1]), np.array([SECOND, SECOND]), *numbers)
    found = wait_until(lambda: (scores := rows(ranked)) and len(scores) == 2 and scores)
    assert [row["Symbol"] for row in found] == ["BBB", "AAA"]
    assert [row["Score"] for row in found] == pytest.approx([60 * 0.75 + 20 * 0.5, 60 * 0.25 + 20 + 20 * 0.5])


def test_sum_of_the_greeks_is_right_again_once_a_huge_one_is_corrected(market: Market) -> None:
    columns = ["Delta", "Vega"]
    summed = with_sum(market.figures().scores, "Symbol", columns)
    times = np.array([SECOND, SECOND])

    def write(*deltas: float) -> None:
        nothing = np.zeros(2)
        delta, vega = np.array(deltas), np.array([0.25, NULL])
        market.risk.write(np.array([0, 1]), times, nothing, nothing, nothing, delta, nothing, nothing, vega, nothing)

    def total() -> dict[str, Any]:
        found = rows(summed)
        return found[0] if len(found) == 3 else {"Delta": None}

    write(0.1, 0.2)
    wait_until(lambda: total()["Delta"] == 0.1 + 0.2)
    write(0.1, 1e17)
    wait_until(lambda: total()["Delta"] == 1e17)
    write(0.1, 0.2)
    wait_until(lambda: total()["Delta"] == 0.1 + 0.2, 30, lambda: str(total()))
    assert total() == {"Symbol": "Sum", "Delta": 0.1 + 0.2, "Vega": 0.25}
    assert {row["Symbol"] for row in rows(summed)[1:]} == {"AAA", "BBB"}
