"""Names that others choose, on the pages: no markup, no link, no letter that nobody sees, and found as they are."""

from __future__ import annotations

import pytest

from server.dashboards.formats import legible
from server.dashboards.layout import unmarked
from server.dashboards.quant import with_symbols
from tests.deephaven.table_rows import rows


@pytest.mark.usefixtures("deephaven_context")
def test_names_at_bars_are_no_markup() -> None:
    from bridge.java_columns import java_table

    books = java_table({"Book": "string"}, [("<b>EQ</b> &amp;",), (None,), ("EQ",)])
    assert [row["Book"] for row in rows(unmarked(books, "Book"))] == ["&lt;b>EQ&lt;/b> &amp;amp;", None, "EQ"]


@pytest.mark.usefixtures("deephaven_context")
@pytest.mark.parametrize(
    "name",
    [
        "EQ\u200b-US",
        "\u202eSU-QE",
        "EQ\u00a0US",
        "\x1b[2J",
        "a\nb",
        "\ufeffEQ",
        "\U000e0041",
        "EQ US",
        "Ω é 😀 \\ ` $1",
        "",
        "EQ\u034f",
        "\u3164EQ\uffa0\u115f\u1160",
        "\u2764\ufe0f \U000e0100",
        "E\u0301Q",
        "\u0301EQ",
        "\u0301\u0301\u0301\u0301",
        "E" + "\u0335\u0301" * 40 + "Q",
        "\u200b\u0301\u0301\u0301",
        "हिन्दी ภาษาไทยที่ עִבְרִית",
        "\u2800\u180b\u17b4",
    ],
)
def test_names_with_letters_that_nobody_sees_look_like_no_other(name: str) -> None:
    from bridge.java_columns import java_table
    from client.formats import printable

    books = java_table({"Book": "string"}, [(name,), (None,)])
    assert [row["Book"] for row in rows(books.view(legible("Book")))] == [printable(name), None]
    assert [row["Book"] for row in rows(unmarked(books, "Book"))] == [printable(name), None]


@pytest.mark.usefixtures("deephaven_context")
def test_names_that_are_links_are_none() -> None:
    from bridge.java_columns import java_table

    names = ["http://example.com", "see HTTPS://example.com", "http:", "a://b", "10:30 http"]
    books = java_table({"Book": "string"}, [(name,) for name in names])
    assert [row["Book"] for row in rows(books.view(legible("Book")))] == [
        "http\ufffd//example.com",
        "see HTTPS\ufffd//example.com",
        *names[2:],
    ]


@pytest.mark.usefixtures("deephaven_context")
def test_symbols_of_any_letters_are_looked_for_as_they_are() -> None:
    from bridge.java_columns import java_table

    symbols = ["A", "\U000e0041", "`) || true || (`", "\\E", "😀", "é", "a|A", "\x00"]
    table = java_table({"Symbol": "string"}, [*((symbol,) for symbol in symbols), (None,)])
    for symbol in symbols:
        assert rows(with_symbols(table, [symbol])) == [{"Symbol": symbol}]
    assert rows(with_symbols(table, [])) == []
    assert len(rows(with_symbols(table, symbols))) == len(symbols)
