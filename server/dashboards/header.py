"""The line above every page: P&L, exposure, breaches, the age of the oldest price and the silence of the store.

All of it is worked out on the server. That the server itself is silent, only the browser can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures, headline
from server.dashboards.formats import MISSING, number_text, sign_of

__all__ = ["header_panel"]

_FIGURES = ("PnLToday", "AgainstClose", "Gross", "Net", "Unpriced", "Breaches", "Age", "Silence")
_AGES = ("Age", "Silence")
_WHERE_ANY = ("Unpriced",)
_STALE_SECONDS = 15.0
_LOST_SECONDS = 10  # the header is renewed twice a second
_LOST = (
    f"Nothing has come from the server for {_LOST_SECONDS} seconds: this page shows how things were then. "
    "It goes on by itself if the server does; once the server has been started again, reload the page."
)
# In a narrow window they are smaller, not out of sight.
_LABEL = {"fontSize": "clamp(10px, 0.95vw, 12px)", "opacity": 0.75, "whiteSpace": "nowrap"}
_NUMBER = {
    "fontSize": "clamp(13px, 1.6vw, 20px)",
    "fontWeight": "bold",
    "whiteSpace": "nowrap",
    "minWidth": "clamp(60px, 8vw, 110px)",
    "textAlign": "right",
}
_ALARM = {"color": "white", "background": "#b3261e", "fontWeight": "bold", "padding": "2px 8px", "width": "100%"}
# The web IDE's picture of a page that still loads fades away.
# On a busy machine it may stay, unseen, over all that there is to press.
_FADING = ".fade-exit-active { pointer-events: none }"
_COLORS = {1: "positive", -1: "negative"}


def header_panel(figures: DeskFigures, catalog: Catalog) -> Any:
    """Return the header for a page, which follows the headline by itself."""
    from deephaven import ui

    @ui.component
    def header() -> Any:
        table = ui.use_memo(lambda: headline(figures), [])
        row: Mapping[str, Any] = ui.use_row_data(table) or {}
        turn = ui.use_ref(0)
        turn.current += 1
        return ui.flex(
            *(_figure(name, row, catalog) for name in _FIGURES if name not in _WHERE_ANY or row.get(name)),
            ui.html.style(_FADING, key="fading"),
            *_alarm(turn.current % 2),
            direction="row",
            gap="size-200",
            wrap="wrap",
        )

    return header()


def _alarm(turn: int) -> tuple[Any, Any]:
    """Return a line that the browser itself brings into sight, unless one of the other turn takes its place in time."""
    from deephaven import ui

    # An animation begins anew only where its name changes.
    name = f"lost-{turn}"
    style = {"visibility": "hidden", "animation": f"{name} 1ms {_LOST_SECONDS}s forwards"} | _ALARM
    return (
        ui.html.style(f"@keyframes {name} {{ to {{ visibility: visible }} }}", key="lost style"),
        ui.html.div(_LOST, id="server-lost", style=style, key="lost"),
    )


def _figure(name: str, row: Mapping[str, Any], catalog: Catalog) -> Any:
    from deephaven import ui

    style = catalog.style(None, name)
    value = row.get(name)
    text = number_text(value, style.format)
    color = _COLORS.get(sign_of(value, style.format))
    if name == "Breaches" and text != MISSING:
        warnings = number_text(row.get("Warnings"), ",d")
        color = "negative" if value else "notice" if warnings != "0" else "positive"
        text = f"{text} ({warnings} near)" if warnings != "0" else text
    if name in _AGES and text != MISSING and value is not None and value > _STALE_SECONDS:
        color = "negative"
    if name in _WHERE_ANY:
        color = "notice"
    return ui.flex(
        ui.text(style.heading, UNSAFE_style=_LABEL),
        ui.text(
            text,
            color=color,
            id=f"headline-{name}",
            UNSAFE_style=_NUMBER,
        ),
        direction="column",
        align_items="end",
        gap="size-25",
        key=name,
    )
