"""From Python's format specifications, which the catalog has, to what the web IDE understands."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from server.dashboards.columns import Catalog, ColumnStyle

if TYPE_CHECKING:
    from deephaven.table import Table

__all__ = ["MISSING", "legible", "number_text", "shown_table", "sign_of", "web_pattern"]

MISSING = "–"
_PLAIN = "gray-900"
_NUMBER = re.compile(r"(?P<sign>[+]?)(?P<group>,?)(?:\.(?P<places>\d+))?(?P<type>[fd%]?)")
# Joiners, fillers, blanks of other scripts, and variants of a letter: printable, and nobody sees them.
_UNSEEN = "".join(
    rf"\\x{{{first}}}-\\x{{{last}}}"
    for first, last in (
        *(("34F", "34F"), ("115F", "1160"), ("17B4", "17B5"), ("180B", "180D"), ("180F", "180F"), ("2800", "2800")),
        *(("3164", "3164"), ("FE00", "FE0F"), ("FFA0", "FFA0"), ("E0100", "E01EF")),
    )
)
_TIMES = {"%Y": "yyyy", "%m": "MM", "%d": "dd", "%H": "HH", "%M": "mm", "%S": "ss", "%f": "SSSSSS"}


def web_pattern(specification: str) -> str | None:
    """Return the web IDE's pattern for a format specification; None where it has none.

    Args:
        specification: As for Python's `format`: of numbers (`+,.2f`, `,d`, `.1%`) or of times (`%Y-%m-%d %H:%M`).

    Example:
        >>> web_pattern("+,.2f"), web_pattern(".1%"), web_pattern("%H:%M:%S")
        ('+#,##0.00;-#,##0.00', '0.0%', 'HH:mm:ss')
    """
    if "%" in specification[:-1]:
        pattern = re.sub("%[a-zA-Z]", lambda found: _TIMES.get(found[0], "%"), specification)
        return None if "%" in pattern else pattern
    match = _NUMBER.fullmatch(specification)
    if match is None or not specification:
        return None
    digits = ("#,##0" if match["group"] else "0") + ("." + "0" * int(match["places"]) if match["places"] else "")
    digits = re.sub(r"\.$", "", digits) + ("%" if match["type"] == "%" else "")
    return f"+{digits};-{digits}" if match["sign"] else digits


def least_shown(specification: str) -> float:
    """Return from what absolute value on a number is not shown as zero.

    Example:
        >>> least_shown("+,.2f"), least_shown("+.1%")
        (0.005, 0.0005)
    """
    match = _NUMBER.fullmatch(specification)
    places = int(match["places"] or 0) if match is not None else 0
    return 0.5 * 10.0 ** -(places + 2 * specification.endswith("%"))


def sign_of(value: Any, specification: str) -> int:
    """Return 1 for a gain and -1 for a loss that the format shows as one; 0 for all else."""
    if not specification.startswith("+") or not _is_number(value) or abs(value) < least_shown(specification):
        return 0
    return 1 if value > 0 else -1


def number_text(value: Any, specification: str) -> str:
    """Return a number as the pages show it; zero has no sign, and what is not there is a dash.

    Example:
        >>> number_text(1234.5, "+,.0f"), number_text(-0.2, "+,.0f"), number_text(float("nan"), ",d")
        ('+1,234', '0', '–')
    """
    if not _is_number(value):
        return MISSING
    if abs(value) < least_shown(specification):
        value, specification = 0, specification.removeprefix("+")
    return format(int(value) if specification.endswith("d") else value, specification)


def legible(column: str) -> str:
    """Return a formula for a column of texts without letters that show nothing, turn the others around, or pile up.

    With such a letter in it, a name that somebody chose would look like another's, or be drawn over what is beside it.
    The terminal clients do the same. Nor does the web IDE take a text for a link: whoever presses a row would open what
    somebody else chose, instead of what the page has for the row.

    Example:
        >>> table.update_view(legible("Book"))
    """
    # What Python calls not printable, or nobody sees; marks that stand on no letter, or pile up; the colon of a link.
    # The engine reads the text between the ticks as Java does.
    refused = (
        rf"[\\p{{C}}\\p{{Z}}{_UNSEEN}&&[^ ]]|^\\p{{M}}|(?<=\\p{{M}}{{2}})\\p{{M}}|(?<=[hH][tT][tT][pP][sS]?):(?=//)"
    )
    return f"{column} = isNull({column}) ? null : {column}.replaceAll(`{refused}`, `\N{REPLACEMENT CHARACTER}`)"


def shown_table(
    table: Table, catalog: Catalog, columns: Mapping[str, str | None] | Sequence[str], **options: Any
) -> Any:
    """Return a table for a page: headings and formats from the catalog, numbers right, gains green and losses red.

    Args:
        table: The rows.
        catalog: How columns are shown.
        columns: The columns in order, each with the published table that its metadata is from.
        options: As for `ui.table`; `format_` is added to what the catalog says.
    """
    from deephaven import dtypes, ui

    texts = {column.name for column in table.columns if column.data_type == dtypes.string}
    sources = columns if isinstance(columns, Mapping) else dict.fromkeys(columns)
    styles = {name: catalog.style(source, name) for name, source in sources.items()}
    rules = [rule for name, style in styles.items() for rule in _rules(name, style)]
    return ui.table(
        table.view([legible(name) if name in texts else name for name in styles]),
        column_display_names={name: style.heading for name, style in styles.items()},
        format_=rules + list(options.pop("format_", [])),
        **options,
    )


def _rules(name: str, style: ColumnStyle) -> list[Any]:
    from deephaven import ui

    if style.kind == "text":
        return []
    alignment = "right" if style.kind == "number" else None
    if not style.format.startswith("+"):
        # Without a colour of its own, the web IDE shows every number above zero as if it were a gain.
        return [ui.TableFormat(cols=name, value=web_pattern(style.format), alignment=alignment, color=_PLAIN)]
    # Gains and losses have the web IDE's own colours. A condition costs a formula for each table: only what rounds to
    # zero has one.
    zero = f"!isNull({name}) && abs({name}) < {least_shown(style.format)!r}"
    # The same for both signs, or what rounds to zero from below would still have one: -0.
    unsigned = web_pattern(style.format.removeprefix("+"))
    return [
        ui.TableFormat(cols=name, value=web_pattern(style.format), alignment=alignment),
        ui.TableFormat(cols=name, if_=zero, value=f"{unsigned};{unsigned}", color=_PLAIN),
    ]


def _is_number(value: Any) -> bool:
    # What is null in the engine comes as None, NaN or pandas.NA.
    return value is not None and isinstance(value, (int, float)) and math.isfinite(value)
