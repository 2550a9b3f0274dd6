"""The desk as it was: positions at any point of both time axes, their difference from now, and audit trails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures
from server.dashboards.formats import shown_table
from server.dashboards.header import header_panel
from server.dashboards.layout import HEADER_HEIGHT, missing, use_handler
from server.dashboards.past import AUDIT, DIFFERENCES, POSITIONS, TRADES, Look, audit_of, look_at, moment
from server.errors import ServerError

if TYPE_CHECKING:
    from store.client import StoreClient

__all__ = ["as_of_page"]

_NOTHING = Look([], [], [])
_FIELD = "size-3000"
_LONGEST = 200  # of what is typed; a text without an end, pasted by mistake, would hold the page up
_NOT_HELD = "Nothing was held at that moment."
_NOT_TRADED = "There was no trade at that moment."
_SAME = "Nothing: it is now as it was at that moment."
_OF_MARKET = dict.fromkeys(("Quantity", "AvgCost", "RealizedPnL", "Price"), "positions_live")


def as_of_page(figures: DeskFigures, catalog: Catalog, reader: StoreClient | None, store_advice: str) -> Any:
    """Return the page.

    Args:
        figures: What the header shows.
        catalog: How columns are shown.
        reader: Who asks the store; None for a server without one.
        store_advice: What to do to have a store.
    """
    from deephaven import ui

    def without_store() -> Any:
        return ui.panel(missing("There is nothing to look back at", store_advice), title="As of")

    @ui.component
    def as_of() -> Any:
        header = ui.row(ui.panel(header_panel(figures, catalog), title="Desk"), height=HEADER_HEIGHT)
        if reader is None:
            return ui.column(header, ui.row(without_store(), height=100 - HEADER_HEIGHT))
        known, set_known = ui.use_state("")
        held, set_held = ui.use_state("")
        entity, set_entity = ui.use_state("")
        turn, set_turn = ui.use_state(0)
        look, problem, looking, ask = _use_answer(_NOTHING)
        trail, trail_problem, _, ask_trail = _use_answer([])

        def show(known_at: str, held_at: str) -> None:
            set_known(known_at)
            set_held(held_at)
            set_turn(lambda number: number + 1)
            ask(lambda: look_at(reader, moment(known_at), moment(held_at)))

        def show_trail(entity_id: str) -> None:
            set_entity(entity_id)
            ask_trail(lambda: audit_of(reader, entity_id.strip()) if entity_id.strip() else [])

        look_now = use_handler(lambda _: show("", ""))
        look_typed = use_handler(lambda typed: show(typed["known"], typed["held"]))
        # The desk as it was known right after an event.
        look_after = use_handler(lambda row: show(row["TxTime"]["value"], held))
        trail_typed = use_handler(lambda typed: show_trail(typed["entity"]))
        trail_of_trade = use_handler(lambda row: show_trail(row["EntityId"]["value"]))

        ui.use_effect(lambda: ask(lambda: look_at(reader, moment(known), moment(held))), [])
        positions = ui.use_memo(lambda: _table(catalog, POSITIONS, look.positions), [look])
        changed = ui.use_memo(lambda: _table(catalog, DIFFERENCES, look.differences), [look])
        trades = ui.use_memo(
            lambda: _table(
                catalog,
                TRADES,
                look.trades,
                on_row_press=trail_of_trade,
                always_fetch_columns=["EntityId"],
            ),
            [look],
        )
        events = ui.use_memo(
            lambda: _table(catalog, AUDIT, trail, on_row_press=look_after, always_fetch_columns=["TxTime"]), [trail]
        )
        answered = look is not _NOTHING
        # Forms hand over what stands in their fields. A field that follows the page's state would report what is typed
        # a moment later, and could lose it to a page that is drawn anew meanwhile; so each look brings new fields.
        controls = ui.form(
            ui.flex(
                ui.text_field(
                    label="Known at (transaction time)",
                    name="known",
                    default_value=known,
                    key=f"known {turn}",
                    max_length=_LONGEST,
                    width=_FIELD,
                ),
                ui.text_field(
                    label="As it held at (valid time)",
                    name="held",
                    default_value=held,
                    key=f"held {turn}",
                    max_length=_LONGEST,
                    width=_FIELD,
                ),
                ui.button("Look", variant="accent", type="submit"),
                ui.button("Now", variant="secondary", on_press=look_now),
                ui.text(
                    "Looking…" if looking else "UTC, as 2026-11-25 19:00:00.123456; empty is now.",
                    UNSAFE_style={"opacity": 0.75},
                ),
                align_items="end",
                gap="size-200",
                wrap="wrap",
            ),
            on_submit=look_typed,
        )
        search = ui.form(
            ui.flex(
                ui.text_field(
                    label="Entity id: press a trade, or paste one",
                    name="entity",
                    default_value=entity,
                    key=f"entity {entity}",
                    max_length=_LONGEST,
                    width="size-4600",
                    max_width="100%",
                ),
                ui.button("Show", variant="secondary", type="submit"),
                align_items="end",
                gap="size-200",
                wrap="wrap",
            ),
            on_submit=trail_typed,
        )
        return ui.column(
            header,
            ui.row(
                ui.panel(
                    controls,
                    *_alert(problem),
                    _or_said(positions, answered, look.positions, _NOT_HELD),
                    title="Positions then",
                ),
                ui.panel(_or_said(changed, answered, look.differences, _SAME), title="What differs now"),
                height=46,
            ),
            ui.row(
                ui.panel(_or_said(trades, answered, look.trades, _NOT_TRADED), title="Trades then"),
                ui.panel(search, *_alert(trail_problem), events, title="Audit trail"),
                height=100 - 46 - HEADER_HEIGHT,
            ),
        )

    return ui.dashboard(as_of())


def _use_answer(nothing: Any) -> tuple[Any, str, bool, Callable[[Callable[[], Any]], None]]:
    """Keep what the store answered to the latest question, asked on a thread of its own.

    Returns:
        The answer, or what was given before there is one; what went wrong; whether an answer is under way; and what
        asks a question.
    """
    from deephaven import ui

    from store.errors import StoreError

    # In tuples, since Deephaven would try to save anything simpler with the page.
    (answer,), set_answer = ui.use_state((nothing,))
    (problem,), set_problem = ui.use_state(("",))
    (waiting,), set_waiting = ui.use_state((False,))
    latest = ui.use_ref(0)
    queue = ui.use_render_queue()

    def ask(question: Callable[[], Any]) -> None:
        latest.current += 1
        number = latest.current
        set_waiting((True,))

        def done(found: Any, wrong: str) -> None:
            # An answer that comes after a later question is no longer wanted.
            if number == latest.current:
                set_waiting((False,))
                set_problem((wrong,))
                set_answer((found,))

        def run() -> None:
            try:
                found, wrong = question(), ""
            except (ServerError, StoreError) as error:
                found, wrong = nothing, str(error)
            queue(lambda: done(found, wrong))

        threading.Thread(target=run, name="as of", daemon=True).start()

    return answer, problem, waiting, ask


def _or_said(table: Any, answered: bool, rows: Sequence[Any], said: str) -> Any:
    """Return the table, or what is said where the store has answered that there are no rows.

    Before the answer nothing is sent: a table that is taken away again while the browser still fetches it may leave
    others without their rows.
    """
    from deephaven import ui

    return table if rows else ui.text(said if answered else "")


def _alert(problem: str) -> list[Any]:
    from deephaven import ui

    if not problem:
        return []
    return [ui.inline_alert(ui.heading("That cannot be shown"), ui.content(problem), variant="negative", width="100%")]


def _table(catalog: Catalog, types: Mapping[str, str], rows: Sequence[tuple[Any, ...]], **options: Any) -> Any:
    from bridge.java_columns import java_table

    sources = {name: _OF_MARKET.get(name) for name in types}
    return shown_table(java_table(dict(types), rows), catalog, sources, **options)
