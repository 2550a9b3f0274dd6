"""Filters use the index of values under row security, and touch their caller's rows only: 100,000 of two owners."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.client import StoreClient
from store.models import Trade
from tests.fix_postgres import StoreDatabase

ROWS = 50_000  # of each owner
KINDS = 1_000
WRITE = """
SELECT count(*) FROM store.create_objects((
    SELECT jsonb_agg(jsonb_build_object('type_name', 'Trade', 'data', jsonb_build_object(
        'symbol', 'S' || n % %s, 'quantity', n, 'price', 1.5, 'side', 'BUY', 'currency', 'USD', 'trader_name', 'Ann',
        'account', NULL, 'book', NULL, 'strategy', NULL, 'counterparty', NULL, 'trade_date', NULL,
        'settlement_date', NULL)))
    FROM generate_series(1, %s) n), '{}', '{}', false, NULL)
"""
FILTERS = {
    "dict": {"symbol": "S7"},
    "expression": Field("symbol") == Const("S7"),
    "dict of two": {"symbol": "S7", "side": "BUY"},
    "expression of two": (Field("symbol") == Const("S7")) & (Field("quantity") > Const(0)),
}


@pytest.fixture(scope="module")
def two_owners(module_store_db: StoreDatabase) -> StoreDatabase:
    for user in ("alice", "bob"):
        with module_store_db.connect(user) as conn, conn.cursor() as cursor:
            cursor.execute(WRITE.replace("% %s", "%% %s"), (KINDS, ROWS))
            assert cursor.fetchone() == (ROWS,)
    admin = module_store_db.admin()
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return module_store_db


def plans_of(client: StoreClient, monkeypatch: pytest.MonkeyPatch, call: Any) -> list[str]:
    """Return the plan of each query that a call sends, as its own user sees it."""
    sent: list[tuple[str, Any]] = []
    fetch_text = client._database.fetch_text

    def keep(text: str, params: Any = ()) -> list[tuple[Any, ...]]:
        sent.append((text, params))
        return fetch_text(text, params)

    monkeypatch.setattr(client._database, "fetch_text", keep)
    call()
    explained = [fetch_text(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {text}", params) for text, params in sent]
    return ["\n".join(row[0] for row in rows) for rows in explained]


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("way", ["query", "count"])
def test_filter_finds_its_rows_by_the_index_of_values(
    two_owners: StoreDatabase, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    client = two_owners.client("alice")
    found = client.query(Trade, FILTERS[name], limit=100) if way == "query" else None
    assert client.count(Trade, FILTERS[name]) == ROWS // KINDS
    if found is not None:
        assert len(found) == ROWS // KINDS
        assert {trade.owner for trade in found} == {"alice"}
    (plan,) = plans_of(client, monkeypatch, lambda: getattr(client, way)(Trade, FILTERS[name]))
    assert "Seq Scan on object_heads" not in plan
    index = re.search(r"Bitmap Index Scan on object_heads_data \(actual rows=(\d+).*\n *Index Cond: (.*)", plan)
    assert index is not None, plan
    assert int(index[1]) == ROWS // KINDS, "the other owner's rows are not so much as looked at"
    assert "acl &&" in index[2] and "data @>" in index[2]
    removed = [int(rows) for rows in re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan)]
    assert sum(removed) == 0, plan


def test_without_the_mark_on_containment_the_index_holds_only_who_may_see(
    two_owners: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = two_owners.client("alice")
    with two_owners.admin() as admin, admin.cursor() as cursor:
        cursor.execute("ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) NOT LEAKPROOF")
    try:
        (plan,) = plans_of(client, monkeypatch, lambda: client.count(Trade, {"symbol": "S7"}))
    finally:
        with two_owners.admin() as admin, admin.cursor() as cursor:
            cursor.execute("ALTER FUNCTION pg_catalog.jsonb_contains(jsonb, jsonb) LEAKPROOF")
    assert not re.search(r"Index Cond: .*data @>", plan), "this is why it is marked"
    assert client.count(Trade, {"symbol": "S7"}) == ROWS // KINDS


def test_common_value_fills_a_page_from_the_next_entities(two_owners: StoreDatabase) -> None:
    client = two_owners.client("bob")
    page = client.query(Trade, {"side": "BUY"}, limit=50)
    assert len(page) == 50
    assert {trade.owner for trade in page} == {"bob"}
    assert page.next_cursor is not None
    after = client.query(Trade, {"side": "BUY"}, limit=50, cursor=page.next_cursor)
    assert not {trade.entity_id for trade in page} & {trade.entity_id for trade in after}
