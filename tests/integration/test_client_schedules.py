"""Changes that fall due or end while somebody reads: unseen before, seen everywhere after."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pytest

from reactive.expr import Field
from store.base import Storable
from store.client import StoreClient
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import UTC, soon
from tests.waiting import wait_until

R = TypeVar("R")
_numbers = itertools.count(1)


@dataclass
class Desk(Storable):
    symbol: str = "AAPL"
    quantity: int = 0


class Seen:
    """What the client's ways of reading the present show of one type."""

    NOTHING: tuple[Any, ...] = ([], [], 0, 0)

    def __init__(self, client: StoreClient) -> None:
        self.client = client
        # A type of its own: other tests' entities are out of the way.
        self.cls: type[Desk] = dataclass(type(f"Desk{next(_numbers)}", (Desk,), {}))

    def __call__(self) -> tuple[Any, ...]:
        """Return the quantities in order, those found by equality with 2, those beyond 1 by an expression, and all."""
        return (
            [item.quantity for item in self.client.query(self.cls, order_by="-quantity")],
            [item.quantity for item in self.client.query(self.cls, {"quantity": 2})],
            self.client.count(self.cls, Field("quantity") > 1),
            self.client.count(self.cls),
        )


def before_due(client: StoreClient, attempt: Callable[[Seen, datetime], R]) -> tuple[Seen, datetime, R]:
    """Return what an attempt observed before a time came; where the machine was too slow, try with more time."""
    for milliseconds in (300, 3_000, 30_000):
        seen, due = Seen(client), soon(milliseconds)
        observed = attempt(seen, due)
        if datetime.now(UTC) < due:
            return seen, due, observed
    raise AssertionError("thirty seconds were not enough for a few calls")


def test_scheduled_change_is_unseen_until_due_and_then_seen_everywhere(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> tuple[Desk, Any, tuple[Any, ...]]:
        obj = seen.cls(quantity=1)
        entity_id = client.write(obj)
        obj.quantity = 2
        client.update(obj, valid_from=due)
        return obj, client.read(seen.cls, entity_id), seen()

    seen, due, (obj, found, shown) = before_due(client, attempt)
    assert (obj.quantity, obj.version, obj.event_type) == (1, 2, "CREATED")
    assert found == obj
    assert found._metadata == obj._metadata
    assert shown == ([1], [], 0, 1)
    assert obj.entity_id is not None
    then = client.as_of(seen.cls, obj.entity_id, valid_time=due)
    assert then is not None and then.quantity == 2
    wait_until(lambda: client.read(seen.cls, str(obj.entity_id)) == then)
    assert seen() == ([2], [2], 1, 1)
    found = client.read(seen.cls, obj.entity_id)
    assert (found.version, found.event_type, found.valid_from) == (2, "UPDATED", due)
    assert len(client.audit(obj.entity_id)) == 2  # falling due is no event


def test_scheduled_change_that_fell_due_takes_its_place_in_order_and_pages(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> list[str]:
        low, middle = seen.cls(symbol="LOW", quantity=1), seen.cls(symbol="MID", quantity=5)
        client.write_many([low, middle])
        low.quantity = 9
        client.update(low, valid_from=due)
        return [item.symbol for item in client.query(seen.cls, order_by="quantity")]

    seen, _, before = before_due(client, attempt)
    assert before == ["LOW", "MID"]
    wait_until(lambda: [item.symbol for item in client.query(seen.cls, order_by="quantity")] == ["MID", "LOW"])
    page = client.query(seen.cls, order_by="quantity", limit=1)
    rest = client.query(seen.cls, order_by="quantity", limit=1, cursor=page.next_cursor)
    assert [item.symbol for item in (*page, *rest)] == ["MID", "LOW"]


def test_bounded_change_is_seen_at_once_and_gone_when_it_ends(client: StoreClient) -> None:
    def attempt(seen: Seen, end: datetime) -> tuple[Desk, tuple[Any, ...]]:
        obj = seen.cls(quantity=1)
        client.write(obj)
        obj.quantity = 2
        client.update(obj, valid_to=end)
        return obj, seen()

    seen, end, (obj, shown) = before_due(client, attempt)
    assert (obj.quantity, obj.valid_to) == (2, end)
    assert shown == ([2], [2], 1, 1)
    wait_until(lambda: seen() == ([1], [], 0, 1), message=lambda: str(seen()))
    then = client.query(seen.cls, {"quantity": 2}, tx_time=obj.tx_time)  # as a query at that moment showed it
    assert [item.quantity for item in then] == [2]
    assert client.count(seen.cls, {"quantity": 1}, tx_time=obj.tx_time) == 0


def test_change_scheduled_for_a_while_comes_and_goes(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> tuple[Any, ...]:
        obj = seen.cls(quantity=1)
        client.write(obj)
        obj.quantity = 2
        client.update(obj, valid_from=due, valid_to=soon(10**9))
        obj.quantity = 1
        client.update(obj, valid_from=soon(10**8), fields=["quantity"])
        return seen()

    seen, _, shown = before_due(client, attempt)
    assert shown == ([1], [], 0, 1)
    wait_until(lambda: seen() == ([2], [2], 1, 1), message=lambda: str(seen()))


def test_entity_written_for_later_appears_when_due(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> tuple[Desk, tuple[Any, ...]]:
        obj = seen.cls(quantity=2)
        client.write(obj, valid_from=due)
        return obj, seen()

    seen, due, (obj, shown) = before_due(client, attempt)
    assert (obj.quantity, obj.version, obj.event_type, obj.valid_from) == (2, 1, "CREATED", due)
    assert shown == Seen.NOTHING
    wait_until(lambda: seen() == ([2], [2], 1, 1), message=lambda: str(seen()))
    assert client.read(seen.cls, str(obj.entity_id)) == obj


def test_entity_written_for_a_while_disappears_when_it_ends(client: StoreClient) -> None:
    def attempt(seen: Seen, end: datetime) -> tuple[Any, ...]:
        client.write(seen.cls(quantity=2), valid_to=end)
        return seen()

    seen, _, shown = before_due(client, attempt)
    assert shown == ([2], [2], 1, 1)
    wait_until(lambda: seen() == Seen.NOTHING, message=lambda: str(seen()))


def test_scheduled_delete_is_unseen_until_due(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> tuple[Desk, tuple[Any, ...]]:
        obj = seen.cls(quantity=2)
        client.write(obj)
        client.delete(obj, valid_from=due)
        return obj, seen()

    seen, due, (obj, shown) = before_due(client, attempt)
    assert (obj.event_type, obj.valid_from, obj.quantity) == ("DELETED", due, 2)
    assert shown == ([2], [2], 1, 1)
    wait_until(lambda: seen() == Seen.NOTHING, message=lambda: str(seen()))
    assert client.read(seen.cls, str(obj.entity_id)) is None


def test_pages_without_an_order_show_what_fell_due_since(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> list[int]:
        objects = [seen.cls(quantity=number % 2) for number in range(8)]
        client.write_many(objects)
        for obj in objects[:4]:
            obj.quantity = 2
        client.update_many(objects[:4], valid_from=due)
        client.delete(objects[4], valid_from=due)
        client.write(seen.cls(quantity=2), valid_from=due)
        return [len(client.query(seen.cls, {"quantity": quantity}, limit=2)) for quantity in (0, 1, 2)]

    seen, _, before = before_due(client, attempt)
    assert before == [2, 2, 0]
    wait_until(lambda: client.count(seen.cls, {"quantity": 2}) == 5)
    for filters, expected in (({"quantity": 2}, 5), (None, 8), ({"quantity": [0, 1]}, 3)):
        found: list[Any] = []
        cursor = None
        while cursor or not found:
            page = client.query(seen.cls, filters, limit=2, cursor=cursor)
            found, cursor = [*found, *page], page.next_cursor
        assert len(found) == len({item.entity_id for item in found}) == expected


def test_update_of_an_object_whose_schedule_fell_due_starts_from_the_new_state(client: StoreClient) -> None:
    def attempt(seen: Seen, due: datetime) -> Desk:
        obj = seen.cls(quantity=1)
        client.write(obj)
        obj.quantity = 2
        client.update(obj, valid_from=due)
        return obj

    seen, _, obj = before_due(client, attempt)
    wait_until(lambda: seen() == ([2], [2], 1, 1))
    obj.symbol = "GOOG"  # the object still shows the state of before; falling due was no event
    client.update(obj)
    assert (obj.quantity, obj.symbol, obj.version) == (2, "GOOG", 3)
    assert seen() == ([2], [2], 1, 1)


@pytest.mark.parametrize(
    ("at", "covered", "bound"),
    [(9, False, 10), (10, True, 20), (19, True, 20), (20, False, None), (21, False, None)],
)
def test_a_range_begins_at_its_first_moment_and_ends_before_its_last(
    module_store_db: StoreDatabase, at: int, covered: bool, bound: int | None
) -> None:
    with module_store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT store.covers(b, e, t), nullif(store.next_bound(b, e, t), 'infinity')"
            " FROM (SELECT %s::timestamptz, %s::timestamptz, %s::timestamptz) AS r (b, e, t)",
            (day(10), day(20), day(at)),
        )
        assert cursor.fetchone() == (covered, None if bound is None else day(bound))


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)
