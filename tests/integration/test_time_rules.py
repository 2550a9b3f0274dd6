"""The bi-temporal rules on their worked example and on three published cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from store.base import Storable
from store.client import StoreClient
from store.columns import REGISTRY
from tests.fix_postgres import StoreDatabase
from tests.waiting import in_time, wait_until

pytestmark = pytest.mark.both_servers

REGISTRY.define("owner_name", str, description="Owner of a property", role="attribute")
REGISTRY.define("entry_point", str, description="Where a person crossed the border", role="attribute")
REGISTRY.define("departed", bool, description="Whether a person has left", role="attribute")
REGISTRY.define("address", str, description="Where a person lives", role="attribute")


@dataclass
class Holding(Storable):
    quantity: int = 0
    price: float = 0.0


@dataclass
class Property(Storable):
    owner_name: str = ""


@dataclass
class Crossing(Storable):
    entry_point: str = ""
    departed: bool = False


@dataclass
class Resident(Storable):
    address: str = ""


def day(number: float) -> datetime:
    """Day 1 of the example's calendar is far enough in the past for every range to lie there."""
    return datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(days=number)


def recorded(client: StoreClient, cls: type[Storable], entity_id: str) -> datetime:
    """Return when an entity's newest event was recorded."""
    return client.audit(entity_id)[-1]["tx_time"]


@pytest.fixture
def worked(store_db: StoreDatabase) -> Callable[[float | None, float | None], Any]:
    """The worked example of the rules; asks for quantity/price at a day of transaction and of valid time."""
    client = store_db.client()
    known: dict[float, datetime] = {}
    holding = Holding(quantity=100, price=5.0)
    entity_id = client.write(holding, valid_from=day(10))
    known[10] = recorded(client, Holding, entity_id)
    for at, field, value, since in ((12, "quantity", 150, 20), (30, "price", 6.0, 15), (31, "quantity", 120, 15)):
        setattr(holding, field, value)
        client.update(holding, valid_from=day(since), fields=[field])
        known[at] = recorded(client, Holding, entity_id)

    def ask(tx: float | None, valid: float | None) -> Any:
        tx_time = None if tx is None else max(moment for number, moment in known.items() if number <= tx)
        found = client.as_of(Holding, entity_id, tx_time, None if valid is None else day(valid))
        return None if found is None else (found.quantity, found.price)

    return ask


@pytest.mark.parametrize(
    ("tx", "valid", "expected"),
    [
        (None, None, (120, 6.0)),
        (None, 17, (120, 6.0)),
        (25, 25, (150, 5.0)),
        (11, 25, (100, 5.0)),
        (12, 25, (150, 5.0)),
        (30, 17, (100, 6.0)),
        (30, 25, (150, 6.0)),
        (15, 15, (100, 5.0)),
        (None, 9, None),
        (31, 12, (100, 5.0)),
    ],
)
def test_as_of_worked_example_gives_the_table(
    worked: Callable[[float | None, float | None], Any], tx: float | None, valid: float | None, expected: Any
) -> None:
    assert worked(tx, valid) == expected


def test_history_a_correction_that_ends_where_a_later_change_begins_leaves_that_alone(store_db: StoreDatabase) -> None:
    client = store_db.client()
    holding = Holding(quantity=100, price=5.0)
    entity_id = client.write(holding, valid_from=day(10))
    for field, value, since, until in (
        ("quantity", 150, day(20), None),
        ("quantity", 120, day(15), day(20)),
        ("price", 6.0, day(20), None),
    ):
        setattr(holding, field, value)
        client.update(holding, valid_from=since, valid_to=until, fields=[field])
    left = [(each.quantity, each.price) for each in client.history(Holding, entity_id)]
    assert left == [(100, 5.0), (150, 5.0), (120, 5.0), (150, 6.0)]


def test_property_ownership_of_snodgrass(store_db: StoreDatabase) -> None:
    client = store_db.client()
    known: dict[int, datetime] = {}
    estate = Property(owner_name="Eva")
    entity_id = client.write(estate, valid_from=day(10))
    known[10] = recorded(client, Property, entity_id)

    def change(at: int, owner_name: str | None, valid_from: int, valid_to: int | None = None) -> None:
        until = None if valid_to is None else day(valid_to)
        if owner_name is None:
            client.delete(estate, valid_from=day(valid_from), valid_to=until)
        else:
            estate.owner_name = owner_name
            client.update(estate, valid_from=day(valid_from), valid_to=until, fields=["owner_name"])
        known[at] = recorded(client, Property, entity_id)

    change(15, "Peter", 15)
    change(20, None, 20)
    change(23, "Eva", 3, 10)
    change(26, None, 3, 5)
    change(28, "Peter", 12, 15)

    def owners(at: int) -> list[str | None]:
        tx_time = max(moment for number, moment in known.items() if number <= at)
        found = [client.as_of(Property, entity_id, tx_time, day(number)) for number in range(1, 25)]
        return [None if obj is None else obj.owner_name for obj in found]

    none: list[str | None] = [None]
    assert owners(28) == none * 4 + ["Eva"] * 7 + ["Peter"] * 8 + none * 5
    assert owners(25) == none * 2 + ["Eva"] * 12 + ["Peter"] * 5 + none * 5
    assert owners(22) == none * 9 + ["Eva"] * 5 + ["Peter"] * 5 + none * 5
    assert owners(27) == none * 4 + ["Eva"] * 10 + ["Peter"] * 5 + none * 5


def test_border_crossings_of_goh(store_db: StoreDatabase) -> None:
    client = store_db.client()
    people: dict[str, Crossing] = {}
    new_year = datetime(2001, 1, 1, tzinfo=timezone.utc)

    def moment(number: int) -> datetime:
        return new_year + timedelta(days=number - 1)

    def arrives(person: str, entry_point: str, on: int) -> None:
        if person in people:
            people[person].entry_point, people[person].departed = entry_point, False
            client.update(people[person], valid_from=moment(on), fields=["entry_point", "departed"])
        else:
            people[person] = Crossing(entry_point=entry_point)
            client.write(people[person], valid_from=moment(on))

    def departs(person: str, on: int, departed: bool = True) -> None:
        people[person].departed = departed
        client.update(people[person], valid_from=moment(on), fields=["departed"])

    arrives("p2", "SFO", 0)
    arrives("p3", "LA", 0)
    arrives("p4", "NY", 2)
    departs("p4", 3)
    third = client.stable_time()
    arrives("p1", "NY", 0)
    departs("p1", 3)
    arrives("p1", "LA", 4)
    departs("p3", 4)
    departs("p2", 5)
    departs("p3", 4, departed=False)
    departs("p3", 7)
    arrives("p3", "SFO", 8)
    arrives("p4", "LA", 8)
    departs("p3", 8)
    arrives("p5", "LA", 10)
    arrives("p7", "NY", 11)

    def entered(tx_time: datetime | None) -> set[str]:
        found = client.query(Crossing, {"departed": False}, tx_time=tx_time, valid_time=moment(2))
        names = {obj.entity_id: name for name, obj in people.items()}
        return {names[obj.entity_id] for obj in found}

    assert entered(third) == {"p2", "p3", "p4"}
    assert entered(None) == {"p1", "p2", "p3", "p4"}


def test_scheduled_address_of_xtdb(store_db: StoreDatabase) -> None:
    client = store_db.client()
    september = datetime(2025, 9, 1, tzinfo=timezone.utc)
    resident = Resident(address="123 London Road")
    entity_id = client.write(resident, valid_from=datetime(2019, 11, 18, tzinfo=timezone.utc))
    resident.address = "84 Bank Street"
    client.update(resident, valid_from=september, fields=["address"])
    known_in_august = recorded(client, Resident, entity_id)
    resident.address = "123 London Road"
    client.update(resident, valid_from=september, valid_to=september + timedelta(days=14), fields=["address"])
    known_in_september = recorded(client, Resident, entity_id)

    def address(tx_time: datetime, month: int, number: int) -> str:
        found = client.as_of(Resident, entity_id, tx_time, datetime(2025, month, number, tzinfo=timezone.utc))
        assert found is not None
        return found.address

    assert address(known_in_august, 8, 25) == "123 London Road"
    assert address(known_in_august, 9, 10) == "84 Bank Street"
    assert address(known_in_september, 9, 10) == "123 London Road"
    assert address(known_in_september, 9, 20) == "84 Bank Street"


def test_entity_that_lapsed_and_begins_anew_keeps_nothing_of_changes_that_lapsed_with_it(
    store_db: StoreDatabase,
) -> None:
    client = store_db.client()

    def attempt(soon: datetime) -> tuple[Holding, str]:
        holding = Holding(quantity=1, price=5.0)
        entity_id = client.write(holding, valid_to=soon)
        holding.price = 6.0
        client.update(holding, valid_to=soon)
        return holding, entity_id

    soon, (holding, entity_id) = in_time(attempt)
    wait_until(lambda: client.read(Holding, entity_id) is None, message="the end of the valid range")
    holding.quantity = 2
    client.update(holding, valid_from=soon + timedelta(days=1), valid_to=soon + timedelta(days=2), fields=["quantity"])
    holding.quantity = 3
    client.update(holding, fields=["quantity"])
    assert client.read(Holding, entity_id) == Holding(quantity=3, price=5.0) == holding
