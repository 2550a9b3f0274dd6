"""How the dashboards show columns: headings, patterns of the web IDE, signs, and what is missing."""

from __future__ import annotations

import pytest

from server.dashboards.columns import Catalog, ColumnStyle
from server.dashboards.formats import MISSING, number_text, sign_of, web_pattern
from server.dashboards.quant import matching


@pytest.mark.parametrize(
    ("specification", "pattern"),
    [
        ("+,.0f", "+#,##0;-#,##0"),
        (",.2f", "#,##0.00"),
        (",d", "#,##0"),
        ("+,d", "+#,##0;-#,##0"),
        (".6f", "0.000000"),
        (".0%", "0%"),
        ("+.1%", "+0.0%;-0.0%"),
        ("%Y-%m-%d %H:%M:%S", "yyyy-MM-dd HH:mm:ss"),
        ("%d %B", None),
        ("", None),
        (">10s", None),
        (".3e", None),
    ],
)
def test_web_pattern_of_a_format_specification(specification: str, pattern: str | None) -> None:
    assert web_pattern(specification) == pattern


@pytest.mark.parametrize(
    ("value", "specification", "text", "sign"),
    [
        (1234.5, "+,.0f", "+1,234", 1),
        (-0.6, "+,.0f", "-1", -1),
        (-0.4, "+,.0f", "0", 0),
        (0.0004, "+.1%", "0.0%", 0),
        (-0.25, "+.1%", "-25.0%", -1),
        (17_000_000.0, ",.0f", "17,000,000", 0),
        (3.0, ",d", "3", 0),  # a long that was null once comes as a double
        (None, ",d", MISSING, 0),
        (float("nan"), "+,.0f", MISSING, 0),
        (float("inf"), "+,.0f", MISSING, 0),
    ],
)
def test_number_text_and_sign(value: float | None, specification: str, text: str, sign: int) -> None:
    assert number_text(value, specification) == text
    assert sign_of(value, specification) == sign


def test_catalog_has_the_metadata_of_tables_registry_and_pages() -> None:
    catalog = Catalog()
    assert catalog.style("risk_live", "UnrealizedPnL") == ColumnStyle("Unrealized P&L (USD)", "+,.0f", "number")
    # Of amounts in the row's own currency, the heading names none.
    assert catalog.style("positions_live", "MarketValue") == ColumnStyle("Market Value", "+,.0f", "number")
    assert catalog.style("prices_live", "ChangePct").heading == "Change %"
    assert catalog.style("prices_live", "Volume").heading == "Volume (shares)"
    assert catalog.style("prices_live", "Timestamp").kind == "time"
    assert catalog.style(None, "avg_cost").heading == "Avg Cost (USD)"
    assert catalog.style(None, "Age").heading == "Oldest price (s)"
    assert catalog.style(None, "unheard_of") == ColumnStyle("unheard_of")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["AAPL", "BRK.B", "MSFT"]),
        ("  ,; ", ["AAPL", "BRK.B", "MSFT"]),
        ("aap", ["AAPL"]),
        ("ms, aap", ["AAPL", "MSFT"]),
        ("k.b", ["BRK.B"]),
        (".*", []),
        ("`\\", []),
        ("ß", []),
        ("(?i)a", []),
        ("\u017f", ["MSFT"]),  # a small S, as it once stood inside words
        ("\U000e0041", []),
        ("a\x00", []),
        pytest.param("x," * 100_000, [], id="huge"),
    ],
)
def test_symbol_filter_takes_parts_of_symbols_literally(typed: str, found: list[str]) -> None:
    assert matching(["AAPL", "BRK.B", "MSFT"], typed) == found
