"""The figures behind the pages, all of them worked out by the engine; docs/dashboards.md has the formulas.

Positions are looked at twice a second, all at one moment, so that the panels of a page agree with each other and a
browser is not sent more than an eye can follow. Amounts are in USD before they are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["DeskFigures", "attribution", "desk_figures", "since"]

_LOOK = "PT0.5s"
_CURVE_STEP = "PT1s"
_KEYS = ["Book", "Symbol", "Currency"]
_DAY = "Day = lowerBin(Timestamp, 86_400_000_000_000L)"
_ALARMED = "`STOP`", "`WARN`"


@dataclass(frozen=True)
class DeskFigures:
    """What the pages show.

    Attributes:
        symbols: Everything that can have a price.
        tables: The published tables by name.
        positions: Each position with ValueUSD, PnLUSD, PnLToday and AgainstClose.
        exposures: Gross, Net, PnLToday and AgainstClose by Book, and the number of Positions.
        limits: Each limit with its Value, Usage and Status, breaches first; None without limits.
        riskiest: The symbols by their Score.
        headline: One row: PnLToday, AgainstClose, Gross, Net, Breaches, Warnings and Age.
        curve: PnLToday and AgainstClose over time, a row a second since the start.
    """

    symbols: tuple[str, ...]
    tables: Mapping[str, Table]
    positions: Table
    exposures: Table
    limits: Table | None
    riskiest: Table
    headline: Table
    curve: Table


def desk_figures(
    tables: Mapping[str, Table], marks: Table, symbols: Sequence[str], *, clock_of_arrival: bool = False
) -> DeskFigures:
    """Derive what the pages show; inside Deephaven's execution context.

    Args:
        tables: The published tables by name: those of the market, and `limits_live` where there is a store.
        marks: The stream that positions_live is the latest of.
        symbols: Everything that can have a price.
        clock_of_arrival: Whether a price is as old as its arrival rather than its time: for a history, whose times
            have nothing to do with the clock on the wall.
    """
    from deephaven import agg, time_table

    positions = _positions(tables, marks)
    exposures = (
        positions.where("Quantity != 0 || RealizedPnL != 0")
        .view(["Book", "Gross = abs(ValueUSD)", "Net = ValueUSD", "PnLToday", "AgainstClose", "PnLUSD"])
        .agg_by([agg.sum_(["Gross", "Net", "PnLToday", "AgainstClose", "PnLUSD"]), agg.count_("Positions")], ["Book"])
        .sort_descending("Gross")
    )
    limits = _limits(tables["limits_live"], exposures) if "limits_live" in tables else None
    totals = exposures.agg_by(agg.sum_(["Gross", "Net", "PnLToday", "AgainstClose"]))
    return DeskFigures(
        symbols=tuple(symbols),
        tables=tables,
        positions=positions,
        exposures=exposures,
        limits=limits,
        riskiest=_riskiest(tables["risk_live"]),
        headline=_headline(totals, limits, tables["prices_live"], clock_of_arrival),
        curve=totals.snapshot_when(time_table(_CURVE_STEP), "Timestamp", history=True),
    )


def _positions(tables: Mapping[str, Table], marks: Table) -> Table:
    """Return the positions in USD, against the last mark of an earlier day and against the last close.

    The close of a share is what prices_live changes against; that of an option, and of a share that has none, is its
    last mark of an earlier day, or else its first mark.
    """
    from deephaven import agg, time_table

    by_day = marks.view(
        [*_KEYS, _DAY, "MarkPnL = (RealizedPnL + UnrealizedPnL) * FxRate", "MarkPrice = Price"]
    ).last_by([*_KEYS, "Day"])
    today = tables["positions_live"].view(_DAY).agg_by(agg.max_("Today = Day"))
    earlier = by_day.natural_join(today, []).where("Day < Today").drop_columns(["Day", "Today"]).last_by(_KEYS)
    first = marks.view([*_KEYS, "FirstPrice = Price"]).first_by(_KEYS)
    closes = tables["prices_live"].view(["Symbol", "Close = Price - Change"])
    return (
        tables["positions_live"]
        .snapshot_when(time_table(_LOOK), "Seen = Timestamp", initial=True)
        .natural_join(earlier, _KEYS, ["MarkPnL", "MarkPrice"])
        .natural_join(first, _KEYS, "FirstPrice")
        .natural_join(closes, "Symbol", "Close")
        .update_view(
            [
                "Close = !isNull(Close) ? Close : !isNull(MarkPrice) ? MarkPrice : FirstPrice",
                "ValueUSD = MarketValue * FxRate",
                "PnLUSD = (RealizedPnL + UnrealizedPnL) * FxRate",
                "PnLToday = PnLUSD - (isNull(MarkPnL) ? 0.0 : MarkPnL)",
                "AgainstClose = Quantity * Multiplier * (Price - Close) * FxRate",
            ]
        )
        .drop_columns(["MarkPnL", "MarkPrice", "FirstPrice", "Seen"])
    )


def _limits(limits: Table, exposures: Table) -> Table:
    """Return each limit with the value that it bounds: breaches first, then warnings, then by usage."""
    return (
        limits.view(["Book = book", "Metric = metric", "Warn = warn", "Stop = stop"])
        .natural_join(exposures, "Book", ["Gross", "Net", "PnLUSD"])
        .update(
            [
                # A book without positions has used nothing of its limit.
                "Value = Metric == null ? NULL_DOUBLE : Metric == `gross_exposure` ? (isNull(Gross) ? 0.0 : Gross)"
                " : Metric == `net_exposure` ? (isNull(Net) ? 0.0 : abs(Net))"
                " : Metric == `loss` ? (isNull(PnLUSD) ? 0.0 : max(0.0, -PnLUSD)) : NULL_DOUBLE",
                "Usage = isNull(Value) || isNull(Stop) || Stop <= 0 ? NULL_DOUBLE : Value / Stop",
                "Status = isNull(Value) ? `?` : !isNull(Stop) && Value >= Stop ? `STOP`"
                " : !isNull(Warn) && Value >= Warn ? `WARN` : `OK`",
                "Rank = Status == `STOP` ? 0 : Status == `WARN` ? 1 : Status == `?` ? 2 : 3",
                "Order = isNull(Usage) ? 0.0 : -Usage",
            ]
        )
        .sort(["Rank", "Order", "Book", "Metric"])
        .view(["Book", "Metric", "Value", "Warn", "Stop", "Usage", "Status"])
    )


def _riskiest(risk: Table) -> Table:
    """Return the symbols by their share of the desk's delta, gamma and vega, weighted 60, 20 and 20."""
    from deephaven import agg

    absolute = risk.update_view(["AbsDelta = abs(Delta)", "AbsGamma = abs(Gamma)", "AbsVega = abs(Vega)"])
    totals = absolute.agg_by(agg.sum_(["SumDelta = AbsDelta", "SumGamma = AbsGamma", "SumVega = AbsVega"]))
    share = "(isNull(Abs{0}) || isNull(Sum{0}) || Sum{0} == 0 ? 0.0 : Abs{0} / Sum{0})"
    score = f"60 * {share.format('Delta')} + 20 * {share.format('Gamma')} + 20 * {share.format('Vega')}"
    return absolute.natural_join(totals, []).update(f"Score = {score}").sort_descending("Score")


def _headline(totals: Table, limits: Table | None, prices: Table, clock_of_arrival: bool) -> Table:
    from deephaven import agg, time_table

    # Recomputed for a row when its Timestamp changes, and only then.
    moment = "Moment = isNull(Timestamp) ? NULL_INSTANT : now()" if clock_of_arrival else "Moment = Timestamp"
    oldest = prices.update(moment).agg_by(agg.min_("Oldest = Moment"))
    figures = totals.natural_join(oldest, [])
    if limits is None:
        figures = figures.update_view(["Breaches = NULL_LONG", "Warnings = NULL_LONG"])
    else:
        stop, warn = _ALARMED
        counts = [agg.count_where("Breaches", f"Status == {stop}"), agg.count_where("Warnings", f"Status == {warn}")]
        figures = figures.natural_join(limits.agg_by(counts), []).update_view(
            [f"{name} = isNull({name}) ? 0L : {name}" for name in ("Breaches", "Warnings")]
        )
    return figures.snapshot_when(time_table(_LOOK), "Now = Timestamp").update_view(
        "Age = isNull(Oldest) ? NULL_DOUBLE : max(0.0, (epochNanos(Now) - epochNanos(Oldest)) / 1e9)"
    )


def attribution(positions: Table, by: str) -> Table:
    """Return Realized, Unrealized, PnLToday and AgainstClose in USD by a column, and each one's Share of the P&L.

    Args:
        positions: As in `DeskFigures`.
        by: Book, Symbol, Underlying or Currency.
    """
    from deephaven import agg

    sums = positions.view(
        [
            by,
            "Realized = RealizedPnL * FxRate",
            "Unrealized = UnrealizedPnL * FxRate",
            "PnLToday",
            "AgainstClose",
        ]
    ).agg_by(agg.sum_(["Realized", "Unrealized", "PnLToday", "AgainstClose"]), by)
    total = sums.view("Total = abs(PnLToday)").agg_by(agg.sum_("Total"))
    return (
        sums.natural_join(total, [])
        .update("Share = isNull(PnLToday) || isNull(Total) || Total == 0 ? NULL_DOUBLE : PnLToday / Total")
        .sort_descending("PnLToday")
    )


def since(positions: Table, before: Table) -> Table:
    """Return what changed in the positions since an earlier look at them, the largest change of P&L first.

    Args:
        positions: As in `DeskFigures`.
        before: The same, as it was.
    """
    names = {"Quantity": "ChangeOfQuantity", "ValueUSD": "ChangeOfValue", "PnLUSD": "ChangeOfPnL"}
    zero = {"Quantity": "0L"}
    return (
        positions.natural_join(before, _KEYS, [f"{name}Before = {name}" for name in names])
        .update_view(
            [
                # A position that was not there has changed from nothing.
                f"{change} = {name} - (isNull({name}Before) ? {zero.get(name, '0.0')} : {name}Before)"
                for name, change in names.items()
            ]
        )
        .where("ChangeOfQuantity != 0 || abs(ChangeOfPnL) >= 0.5")
        .update("Size = isNull(ChangeOfPnL) ? 0.0 : -abs(ChangeOfPnL)")
        .sort(["Size", *_KEYS])
        .view([*_KEYS, "ChangeOfQuantity", "ChangeOfValue", "ChangeOfPnL"])
    )
