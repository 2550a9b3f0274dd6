"""The figures behind the pages and the clients, all worked out by the engine; docs/dashboards.md has the formulas.

Positions are looked at twice a second, all at one moment, so that the panels of a page agree with each other and a
browser is not sent more than an eye can follow. Amounts are in USD before they are added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.market_columns import column_types
from server.market_tables import sums

if TYPE_CHECKING:
    from deephaven.agg import Aggregation
    from deephaven.table import Table

__all__ = ["DeskFigures", "attribution", "desk_figures", "headline", "since", "with_sum"]

_LOOK = "PT0.5s"
_CURVE_STEP = "PT1s"
_KEYS = ["Book", "Symbol", "Currency"]
_DAY = "Day = lowerBin(Timestamp, 86_400_000_000_000L)"


@dataclass(frozen=True)
class DeskFigures:
    """What all pages share, and what has to be followed from the start.

    Attributes:
        symbols: Everything that can have a price.
        tables: The published tables by name.
        positions: Each position with ValueUSD, PnLUSD, PnLToday and AgainstClose.
        exposures: As exposures_live is published.
        limits: As limit_usage is; None where no limits are published.
        scores: As risk_scores is.
        totals: The sums of exposures, in one row.
        curve: The totals over time, a row a second since the start.
        clock_of_arrival: Whether a price is as old as its arrival rather than its time.
        store_status: As it is published; None without a store.
    """

    symbols: tuple[str, ...]
    tables: Mapping[str, Table]
    positions: Table
    exposures: Table
    limits: Table | None
    scores: Table
    totals: Table
    curve: Table
    clock_of_arrival: bool
    store_status: Table | None = None

    def published(self) -> dict[str, Table]:
        """Return what the clients show, too, by the name under which it is published."""
        tables = {
            "exposures_live": self.exposures,
            "risk_scores": self.scores,
            "limit_usage": self.limits,
            "store_status": self.store_status,
        }
        return {name: table for name, table in tables.items() if table is not None}


def desk_figures(
    tables: Mapping[str, Table],
    marks: Table,
    symbols: Sequence[str],
    *,
    clock_of_arrival: bool = False,
    silence: Callable[[], float] | None = None,
) -> DeskFigures:
    """Derive what the pages share; inside Deephaven's execution context.

    Args:
        tables: The published tables by name: those of the market, and `limits_live` where there is a store.
        marks: The stream that positions_live is the latest of.
        symbols: Everything that can have a price.
        clock_of_arrival: Whether a price is as old as its arrival rather than its time: for a history, whose times
            have nothing to do with the clock on the wall.
        silence: Returns for how many seconds the store has not told all there is; None without a store.
    """
    from deephaven import agg, time_table

    positions = _positions(tables, marks)
    names = ["Gross", "Net", "PnL", "PnLToday", "AgainstClose"]
    exposures = (
        # What was closed without a profit has lost all the same what it was worth before.
        positions.where("Quantity != 0 || RealizedPnL != 0 || !isNull(PnLToday) && PnLToday != 0")
        .view(["Book", "Gross = abs(ValueUSD)", "Net = ValueUSD", "PnL = PnLUSD", *names[3:], "Quantity"])
        .agg_by([*_same(*names), agg.count_where("Positions", "Quantity != 0")], ["Book"])
        .sort_descending("Gross")
    )
    limits = tables.get("limits_live")
    totals = exposures.agg_by(_same("Gross", "Net", "PnLToday", "AgainstClose"))
    return DeskFigures(
        symbols=tuple(symbols),
        tables=tables,
        positions=positions,
        exposures=exposures,
        limits=None if limits is None else _limit_usage(limits, exposures),
        scores=_risk_scores(tables["risk_live"]),
        totals=totals,
        curve=totals.snapshot_when(time_table(_CURVE_STEP), "Timestamp", history=True),
        clock_of_arrival=clock_of_arrival,
        store_status=None if silence is None else _store_status(silence),
    )


def _store_status(silence: Callable[[], float]) -> Table:
    """Return one row: what the clock says, and for how many seconds the store has been silent by then."""
    from deephaven import time_table

    def silent_seconds() -> float:
        return silence()

    # The formula names the moment, so that the engine works it out anew with each one.
    look = time_table(_LOOK, blink_table=True).last_by()
    return look.update("Silence = isNull(Timestamp) ? NULL_DOUBLE : silent_seconds()")


def _positions(tables: Mapping[str, Table], marks: Table) -> Table:
    """Return the positions in USD, against the last mark of an earlier day and against the last close.

    Without a mark of an earlier day, a position that was there at the start is against its first mark, and one that
    came later against nothing. The close of a share is what prices_live changes against; that of an option, and of a
    share that has none, is its last mark of an earlier day, or else its first mark.
    """
    from deephaven import agg, time_table

    pnl = "(RealizedPnL + UnrealizedPnL) * FxRate"
    by_day = marks.view([*_KEYS, _DAY, f"MarkPnL = {pnl}", "MarkPrice = Price"]).last_by([*_KEYS, "Day"])
    today = tables["positions_live"].view(_DAY).agg_by(agg.max_("Today = Day"))
    earlier = by_day.natural_join(today, []).where("Day < Today").drop_columns(["Day", "Today"]).last_by(_KEYS)
    first = marks.view([*_KEYS, "FirstTime = Timestamp", f"FirstPnL = {pnl}", "FirstPrice = Price"]).first_by(_KEYS)
    first = first.natural_join(first.agg_by(agg.min_("Start = FirstTime")), []).view(
        [*_KEYS, "FirstPrice", "FirstPnL = isNull(FirstPnL) || FirstTime != Start ? 0.0 : FirstPnL"]
    )
    closes = tables["prices_live"].view(["Symbol", "Close = Price - Change"])
    return (
        tables["positions_live"]
        .snapshot_when(time_table(_LOOK), "Seen = Timestamp", initial=True)
        .natural_join(earlier, _KEYS, ["MarkPnL", "MarkPrice"])
        .natural_join(first, _KEYS, ["FirstPrice", "FirstPnL"])
        .natural_join(closes, "Symbol", "Close")
        .update_view(
            [
                "Close = !isNull(Close) ? Close : !isNull(MarkPrice) ? MarkPrice : FirstPrice",
                "ValueUSD = MarketValue * FxRate",
                f"PnLUSD = {pnl}",
                "PnLToday = PnLUSD - (!isNull(MarkPnL) ? MarkPnL : isNull(FirstPnL) ? 0.0 : FirstPnL)",
                "AgainstClose = Quantity * Multiplier * (Price - Close) * FxRate",
            ]
        )
        .drop_columns(["MarkPnL", "MarkPrice", "FirstPnL", "FirstPrice", "Seen"])
    )


def _same(*columns: str) -> list[Aggregation]:
    """Return the sums of columns under their own names."""
    return sums(**{column: column for column in columns})


def _limit_usage(limits: Table, exposures: Table) -> Table:
    """Return each limit with Value, Usage and Status: breaches first, then warnings, then by usage.

    Anybody may set one, several for the same figure too: each is a row, with the name of who did.
    """
    return (
        limits.view(["Book = book", "Metric = metric", "Warn = warn", "Stop = stop", "Owner", "EntityId"])
        .natural_join(exposures, "Book", ["Gross", "Net", "PnL"])
        .update(
            [
                # A book without positions has used nothing of its limit.
                "Value = Metric == null ? NULL_DOUBLE : Metric == `gross_exposure` ? (isNull(Gross) ? 0.0 : Gross)"
                " : Metric == `net_exposure` ? (isNull(Net) ? 0.0 : abs(Net))"
                " : Metric == `loss` ? (isNull(PnL) ? 0.0 : max(0.0, -PnL)) : NULL_DOUBLE",
                "Usage = isNull(Value) || isNull(Stop) || Stop <= 0 ? NULL_DOUBLE : Value / Stop",
                # Nothing is no breach, not even of a limit of zero.
                "Status = isNull(Value) ? `?` : Value <= 0 ? `OK` : !isNull(Stop) && Value >= Stop ? `STOP`"
                " : !isNull(Warn) && Value >= Warn ? `WARN` : `OK`",
                "Rank = Status == `STOP` ? 0 : Status == `WARN` ? 1 : Status == `?` ? 2 : 3",
                "Order = isNull(Usage) ? 0.0 : -Usage",
            ]
        )
        .sort(["Rank", "Order", "Book", "Metric", "Owner", "EntityId"])
        .view(["Status", "Book", "Metric", "Owner", "Value", "Warn", "Stop", "Usage", "EntityId"])
    )


def _risk_scores(risk: Table) -> Table:
    """Return the symbols by their Score: their share of the desk's delta, gamma and vega, weighted 60, 20 and 20."""
    absolute = risk.update_view(["AbsDelta = abs(Delta)", "AbsGamma = abs(Gamma)", "AbsVega = abs(Vega)"])
    totals = absolute.agg_by(sums(SumDelta="AbsDelta", SumGamma="AbsGamma", SumVega="AbsVega"))
    share = "(isNull(Abs{0}) || isNull(Sum{0}) || Sum{0} == 0 ? 0.0 : Abs{0} / Sum{0})"
    score = f"60 * {share.format('Delta')} + 20 * {share.format('Gamma')} + 20 * {share.format('Vega')}"
    return (
        absolute.natural_join(totals, [])
        .update(f"Score = {score}")
        .sort_descending("Score")
        .view(list(column_types("risk_scores")))
    )


def with_sum(table: Table, key: str, columns: Sequence[str]) -> Table:
    """Return a key and columns of a table, below a row with their sums, whose key is `Sum`.

    Example:
        >>> with_sum(figures.scores, "Symbol", ["Delta", "Vega"])
    """
    from deephaven import merge

    total = table.agg_by(_same(*columns)).update_view(f"{key} = `Sum`")
    return merge([part.view([key, *columns]) for part in (total, table)])


def headline(figures: DeskFigures) -> Table:
    """Return one row: PnLToday, AgainstClose, Gross, Net, Unpriced, Breaches, Warnings, Age and Silence.

    Unpriced counts the positions that the sums leave out, for want of a price or a rate. Breaches and Warnings are null
    without limits, Silence is null without a store.
    """
    from deephaven import agg, empty_table, time_table

    # Recomputed for a row when its Timestamp changes, and only then.
    moment = "isNull(Timestamp) ? null : now()" if figures.clock_of_arrival else "Timestamp"
    oldest = figures.tables["prices_live"].update(f"Moment = {moment}").agg_by(agg.min_("Oldest = Moment"))
    sums = ("PnLToday", "AgainstClose", "Gross", "Net")
    # A desk that holds nothing has figures, too.
    row = empty_table(1).natural_join(figures.totals, []).natural_join(oldest, [])
    row = row.update_view([f"{name} = isNull({name}) ? 0.0 : {name}" for name in sums])
    unpriced = agg.count_where("Unpriced", "isNull(PnLUSD) && (Quantity != 0 || RealizedPnL != 0)")
    row = row.natural_join(figures.positions.agg_by(unpriced), []).update_view(
        "Unpriced = isNull(Unpriced) ? 0L : Unpriced"
    )
    if figures.limits is None:
        row = row.update_view(["Breaches = NULL_LONG", "Warnings = NULL_LONG"])
    else:
        counts = [
            agg.count_where("Breaches", "Status == `STOP`"),
            agg.count_where("Warnings", "Status == `WARN`"),
        ]
        row = row.natural_join(figures.limits.agg_by(counts), []).update_view(
            [f"{name} = isNull({name}) ? 0L : {name}" for name in ("Breaches", "Warnings")]
        )
    if figures.store_status is None:
        row = row.update_view("Silence = NULL_DOUBLE")
    else:
        row = row.natural_join(figures.store_status, [], "Silence")
    return row.snapshot_when(time_table(_LOOK), "Now = Timestamp").update_view(
        "Age = isNull(Oldest) ? NULL_DOUBLE : max(0.0, (epochNanos(Now) - epochNanos(Oldest)) / 1e9)"
    )


def attribution(positions: Table, by: str) -> Table:
    """Return Realized, Unrealized, PnLToday and AgainstClose in USD by a column, and each one's Share of the P&L.

    Args:
        positions: As in `DeskFigures`.
        by: Book, Symbol, Underlying or Currency.
    """
    sums = positions.view(
        [
            by,
            "Realized = RealizedPnL * FxRate",
            "Unrealized = UnrealizedPnL * FxRate",
            "PnLToday",
            "AgainstClose",
        ]
    ).agg_by(_same("Realized", "Unrealized", "PnLToday", "AgainstClose"), by)
    total = sums.view("Total = abs(PnLToday)").agg_by(_same("Total"))
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
