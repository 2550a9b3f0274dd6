"""SQL where a client takes a name, a value, a filter, an order, a cursor or a key: it is never run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from reactive.expr import Const, Field, from_json
from store.base import Storable
from store.client import StoreClient
from store.connection import run
from store.errors import RegistryError, StoreError, TypeMismatch, UnknownPrincipal
from store.models import Trade
from store.permissions import list_shared_with, share_read, unshare
from store.subscriptions import EventBus, SubscriptionListener
from tests.integration.hostile.conftest import Scene

SQL = [
    "'; DROP TABLE store.object_events; --",
    "x' OR '1'='1",
    'x" OR ""="',
    "') UNION SELECT entity_id, data FROM store.object_heads --",
    "\\'; SELECT pg_sleep(100); --",
    "$$; SELECT 1; $$",
    "%s %(name)s %%",
    "{0} {data}",
    "/* */ ; --\n SELECT 1",
    "\u02bc OR 1=1 \uff07",
]


def forged_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([text] * 3).encode()).decode()


@pytest.fixture(scope="module")
def bob(scene: Scene) -> StoreClient:
    return scene.db.client("bob")


@pytest.mark.parametrize("text", SQL)
def test_value_is_stored_found_and_compared_as_it_is(scene: Scene, bob: StoreClient, text: str) -> None:
    before = scene.state()
    trade = Trade(symbol="MINE", quantity=1, price=1.0, side="BUY", trader_name=text)
    entity_id = bob.write(trade, idempotency_key=text)
    for filters in (
        {"trader_name": text},
        {"trader_name": [text, "other"]},
        Field("trader_name") == Const(text),
        Field("trader_name").contains(text),
        Field("trader_name").starts_with(text) & (Field("symbol") == Const("MINE")),
    ):
        assert [trade.entity_id for trade in bob.query(Trade, filters)] == [entity_id]
        assert bob.count(Trade, filters) == 1
    read = bob.read(Trade, entity_id)
    assert read == trade
    bob.delete(trade, idempotency_key=f"{text} gone")
    assert scene.state() == before


@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize(
    "call",
    [
        lambda client, text: client.query(Trade, {text: "x"}),
        lambda client, text: client.query(Trade, {"symbol": text, text: None}),
        lambda client, text: client.query(Trade, order_by=text),
        lambda client, text: client.query(Trade, order_by=f"symbol{text}"),
        lambda client, text: client.query(Trade, order_by=f"-{text}"),
        lambda client, text: client.query(Trade, cursor=text),
        lambda client, text: client.query(
            Trade, cursor=base64.urlsafe_b64encode(json.dumps([text] * 3).encode()).decode()
        ),
        lambda client, text: client.query(Trade, limit=text),
        lambda client, text: client.query(Trade, tx_time=text),
        lambda client, text: client.query(Trade, Field(text) == Const(1)),
        lambda client, text: client.count(Trade, from_json(Field(text).to_json()) == Const(1)),
        lambda client, text: client.query(Trade, {"version": text}),
        lambda client, text: client.query(Trade, {"entity_id": text}),
        lambda client, text: client.read(Trade, text),
        lambda client, text: client.history(Trade, text),
        lambda client, text: client.audit(text),
        lambda client, text: client.as_of(Trade, text),
        lambda client, text: client.diff(Trade, text, 1, 2),
        lambda client, text: share_read(client.conn, text, "carol"),
        lambda client, text: unshare(client.conn, text, "carol"),
        lambda client, text: list_shared_with(client.conn, text),
    ],
)
def test_name_that_is_no_name_is_refused(scene: Scene, bob: StoreClient, call: Callable[..., Any], text: str) -> None:
    before = scene.state()
    with pytest.raises((StoreError, ValueError, TypeError)):
        call(bob, text)
    assert scene.state() == before


@pytest.mark.parametrize("text", SQL)
def test_principal_that_is_nobody_is_refused(scene: Scene, bob: StoreClient, text: str) -> None:
    entity_id = bob.write(Trade(symbol="MINE", quantity=1, price=1.0, side="BUY"))
    with pytest.raises(UnknownPrincipal):
        share_read(bob.conn, entity_id, text)
    for grants in ({"readers": [text]}, {"writers": [text]}):
        with pytest.raises(UnknownPrincipal):
            scene.db.client("bob", **grants).write(Trade(symbol="MINE", quantity=1, price=1.0, side="BUY"))


def test_error_that_names_what_another_named_is_one_line_that_no_terminal_obeys(scene: Scene, bob: StoreClient) -> None:
    name = "Odd\x1b]0;mine\x07\x1b[2J\nERROR forged\u202e\x9b"
    with scene.db.connect("bob") as conn, conn.cursor() as cursor:
        item = json.dumps([{"type_name": name, "data": {}, "state": name}])
        cursor.execute("SELECT entity_id FROM store.create_objects(%s, '{alice}', '{alice}', false, NULL)", (item,))
        entity_id = str(cursor.fetchone()[0])
    with pytest.raises(TypeMismatch) as caught:
        scene.alice.read(Trade, entity_id)
    assert str(caught.value).isprintable()
    change = {"entity_id": entity_id, "type_name": "Trade", "version": 1, "event_type": "UPDATED", "changes": {}}
    with pytest.raises(TypeMismatch) as refused:
        run(scene.alice.conn, "SELECT FROM store.append_events(%s, false, NULL)", [json.dumps([change])])
    assert str(refused.value).isprintable()
    # A traceback shows what PostgreSQL said as well.
    assert "\x1b" not in str(refused.value.__cause__) and "\nERROR" not in str(refused.value.__cause__)


@pytest.mark.parametrize("text", SQL)
def test_names_of_types_subscribers_and_channels_are_names(scene: Scene, bob: StoreClient, text: str) -> None:
    before = scene.state()
    with pytest.raises(RegistryError, match="dotted words"):

        class Odd(Storable, type_name=text):
            pass

    with scene.db.connect("bob") as conn, conn.cursor() as cursor:
        item = json.dumps([{"type_name": text, "data": {text: text}, "state": text}])
        cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (item,))
    assert text in bob.list_types()
    with SubscriptionListener(EventBus(), **scene.db.login("bob"), subscriber_id=text, types=[text]):
        pass
    assert scene.state() == before
