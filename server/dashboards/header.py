"""The line above every page: P&L, exposure, breaches, the age of the oldest price and the silence of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.dashboards.columns import Catalog
from server.dashboards.figures import DeskFigures, headline
from server.dashboards.formats import MISSING, number_text, sign_of

__all__ = ["header_panel"]

_FIGURES = ("PnLToday", "AgainstClose", "Gross", "Net", "Breaches", "Age", "Silence")
_AGES = ("Age", "Silence")
_STALE_SECONDS = 15.0
# In a narrow window they are smaller, not out of sight.
_LABEL = {"fontSize": "clamp(10px, 0.95vw, 12px)", "opacity": 0.75, "whiteSpace": "nowrap"}
_NUMBER = {
    "fontSize": "clamp(13px, 1.6vw, 20px)",
    "fontWeight": "bold",
    "whiteSpace": "nowrap",
    "minWidth": "clamp(60px, 8vw, 110px)",
    "textAlign": "right",
}
_COLORS = {1: "positive", -1: "negative"}


def header_panel(figures: DeskFigures, catalog: Catalog) -> Any:
    """Return the header for a page, which follows the headline by itself."""
    from deephaven import ui

    @ui.component
    def header() -> Any:
        table = ui.use_memo(lambda: headline(figures), [])
        row: Mapping[str, Any] = ui.use_row_data(table) or {}
        return ui.flex(
            *(_figure(name, row, catalog) for name in _FIGURES),
            direction="row",
            gap="size-200",
            wrap="wrap",
        )

    return header()


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
