"""Publishing a type again, and using it through a class that is not the one that is published."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg2
import pytest

from store.base import Storable
from store.columns import REGISTRY
from store.errors import (
    IncompatiblePublication,
    InvalidValue,
    SchemaDrift,
    StoreError,
)
from store.permissions import unshare
from store.publishing import Publication, misfits, publish, retire
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from tests.integration.tickets import Lifecycle, new, published, sent, ticket
from tests.integration.workers.command_line import by_url

pytestmark = pytest.mark.both_servers


# ---- publishing again


def test_publishing_the_same_again_changes_nothing(store_db: StoreDatabase) -> None:
    cls = ticket(state_machine=Lifecycle)
    assert published(store_db, cls) == [Publication("Ticket", 1, True, ())]
    assert published(store_db, cls) == [Publication("Ticket", 1, False, ())]
    assert published(store_db, ticket(state_machine=Lifecycle)) == [Publication("Ticket", 1, False, ())]


def test_what_was_in_an_open_transaction_when_its_type_was_published_is_told(store_db: StoreDatabase) -> None:
    cls = ticket(state_machine=Lifecycle)
    items = [new("OPEN", price="free"), new("OPEN", price=-1), new("OPEN", odd=1), new("HELD"), new()]
    conn = store_db.connect("bob")
    with closing(store_db.admin()) as admin:
        with conn, conn.cursor() as cursor:
            cursor.execute("SELECT store.create_objects(%s, '{alice}', '{}', false, NULL)", (json.dumps(items),))
            assert publish(admin, cls) == [Publication("Ticket", 1, True, ())]
            assert misfits(admin) == []
        with pytest.raises(StoreError):
            store_db.client().query(cls)
        late = "as written before the type was published so: reads of it may fail"
        told = [
            ("Ticket.price: the value of 1 entity", "breaks a rule of its column"),
            ("Ticket.odd: 1 entity (such as ", "holds this field, which is not published, " + late),
            ("Ticket: 1 entity (such as ", "is in the state 'HELD', which is not published, " + late),
            ("Ticket: 1 entity (such as ", "has no state, as written without a machine"),
            ("Ticket.price: 1 entity (such as ", "has values that are no float, " + late),
        ]
        found = misfits(admin)
        assert len(found) == len(told)
        assert all(text.startswith(start) and rest in text for text, (start, rest) in zip(found, told, strict=True))
        for text in found:
            unshare(admin, text.partition("such as ")[2].partition(")")[0], "alice")
        assert list(store_db.client().query(cls)) == []
        retire(admin, "Ticket")
        assert misfits(admin) == found
    verified = by_url(store_db, "postgres").run("verify")
    assert (verified.returncode, verified.stderr.splitlines()) == (0, found)


def test_what_a_colleague_wrote_beforehand_keeps_nobody_from_publishing(store_db: StoreDatabase) -> None:
    sent(store_db, "bob", "create_objects", [new("HELD", price="free", odd=1)])
    cls = ticket(state_machine=Lifecycle)
    with pytest.raises(
        IncompatiblePublication, match=r"Ticket\.price: the log holds .* publish all the same"
    ) as caught:
        published(store_db, cls)
    with closing(store_db.admin()) as admin:
        [publication] = publish(admin, cls, despite_misfits=True)
        assert publication.changed
        assert publication.notes == tuple(violation.message for violation in caught.value.violations)
        assert [text.partition(" entity")[0] for text in misfits(admin)] == [
            "Ticket.odd: 1",
            "Ticket: 1",
            "Ticket.price: 1",
        ]
    with pytest.raises(psycopg2.Error, match=r"Ticket\.price"):
        sent(store_db, "bob", "create_objects", [new("OPEN", price="free")])
    client = store_db.client()
    client.write(cls())
    assert client.count(cls) == 1


def test_names_that_a_colleague_gave_fields_fill_no_message(store_db: StoreDatabase) -> None:
    odd = {f"x\x1b[2J\n{number} {'y' * 1000}": 1 for number in range(1000)}
    sent(store_db, "bob", "create_objects", [new(**odd)])
    with pytest.raises(IncompatiblePublication, match=r"x\\u001b\[2J\\n0 yyy") as caught:
        published(store_db, ticket())
    assert len(caught.value.violations) == 20
    assert str(caught.value).count("\n") == 20 and "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 20_000
    listed = [violation.message.partition(" (so it is with ")[2] for violation in caught.value.violations]
    assert listed == [""] * 19 + ["980 more fields)"]


def test_field_that_was_removed_stays_removed_when_the_type_is_published_once_more(store_db: StoreDatabase) -> None:
    older = ticket()
    published(store_db, older)
    obj = older()
    store_db.client().write(obj)

    @dataclass
    class Shorter(Storable, type_name="Ticket"):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0

    assert published(store_db, Shorter) == [Publication("Ticket", 2, True, ())]
    assert published(store_db, Shorter) == [Publication("Ticket", 2, False, ())]

    @dataclass
    class Other(Storable, type_name="Ticket"):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0
        strategy: str | None = None

    assert published(store_db, Other) == [Publication("Ticket", 3, True, ())]
    with closing(store_db.admin()) as admin:
        assert misfits(admin) == []
    assert store_db.client().read(Other, str(obj.entity_id)) is not None


def test_publishing_a_field_more_keeps_older_classes_working(store_db: StoreDatabase) -> None:
    older = ticket()
    published(store_db, older)
    client = store_db.client()
    first = older()
    client.write(first)

    @dataclass
    class Ticket(older):  # type: ignore[misc, valid-type]
        strategy: str | None = None

    assert published(store_db, Ticket) == [Publication("Ticket", 2, True, ())]
    newer = Ticket(strategy="carry")
    client.write(newer)
    restarted = store_db.client()
    restarted.write(older())
    found = restarted.read(older, str(newer.entity_id))
    assert found is not None and found.price == 1.0
    found.price = 5.0
    restarted.update(found)
    again = client.read(Ticket, str(newer.entity_id))
    assert again is not None and (again.price, again.strategy) == (5.0, "carry")
    assert client.read(Ticket, str(first.entity_id)).strategy is None


def test_publishing_a_field_without_default_is_refused_where_objects_lack_it(store_db: StoreDatabase) -> None:
    older = ticket()
    published(store_db, older)

    @dataclass(kw_only=True)
    class Ticket(older):  # type: ignore[misc, valid-type]
        strategy: str | None

    published(store_db, Ticket)  # there is nothing yet
    published(store_db, older)
    obj = older()
    store_db.client().write(obj)
    with pytest.raises(IncompatiblePublication) as caught:
        published(store_db, Ticket)
    assert str(caught.value) == (
        f"nothing was published: Ticket.strategy: 1 entity (such as {obj.entity_id}) without this field: give it a"
        " default, with which such entities are read"
    )


@pytest.mark.parametrize("first", [True, False])
def test_publishing_another_type_is_refused_where_the_log_holds_values_of_the_old_one(
    store_db: StoreDatabase, first: bool
) -> None:
    older = ticket()
    if not first:
        published(store_db, older)
    obj = older(side="SELL")
    client = store_db.client()
    client.write(obj)
    obj.side = "BUY"
    client.update(obj)

    @dataclass
    class Narrow(Storable, type_name="Ticket"):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0
        side: Literal["BUY"] = "BUY"
        book: str | None = None

    with pytest.raises(IncompatiblePublication, match=r"Ticket\.side: the log holds values that are no Literal"):
        published(store_db, Narrow)
    assert client.read(older, str(obj.entity_id)) == obj


def test_publishing_without_a_field_that_data_use_names_the_ways_out(store_db: StoreDatabase) -> None:
    older = ticket()
    published(store_db, older)
    client = store_db.client()
    with_book, without = older(book="EQ"), older()
    client.write_many([with_book, without])

    @dataclass
    class Ticket(Storable):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0
        side: str = "BUY"

    with pytest.raises(
        IncompatiblePublication, match="holds a value in this field, which the class no longer"
    ) as caught:
        published(store_db, Ticket)
    [violation] = caught.value.violations
    assert (violation.field, violation.rule, violation.value) == ("book", "lost", with_book.entity_id)
    with pytest.raises(SchemaDrift, match=r"Ticket\.book: published as str \| None, the class has no such field"):
        store_db.client().read(Ticket, str(without.entity_id))

    @dataclass
    class Renamed(Storable, type_name="Ticket"):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0
        side: str = "BUY"
        strategy: str | None = field(default=None, metadata={"former_names": ("book",)})

    with_book.book = None
    client.update(with_book)
    assert published(store_db, Ticket)[0].revision == 2
    published(store_db, older)
    with_book.book = "EQ"
    client.update(with_book)
    assert published(store_db, Renamed)[0].changed
    found = store_db.client().read(Renamed, str(with_book.entity_id))
    assert found is not None and found.strategy == "EQ"
    found.price = 9.0
    store_db.client().update(found)


def test_publishing_a_new_name_for_values_of_another_type_is_refused(store_db: StoreDatabase) -> None:
    older = ticket()
    published(store_db, older)
    client = store_db.client()
    obj = older(book="EQ")
    client.write(obj)

    @dataclass
    class Ticket(Storable):
        symbol: str = "AAPL"
        quantity: int = 1
        price: float = 1.0
        side: str = "BUY"
        strike: float | None = field(default=None, metadata={"former_names": ("book",)})

    with pytest.raises(IncompatiblePublication, match=r"Ticket\.strike: the log holds values that are no float"):
        published(store_db, Ticket)


def test_publishing_without_a_state_that_entities_are_in_is_refused(store_db: StoreDatabase) -> None:
    cls = ticket(state_machine=Lifecycle)
    published(store_db, cls)
    client = store_db.client()
    obj = cls()
    client.write(obj)
    client.transition(obj, "DONE")

    class Short(StateMachine):
        initial = "OPEN"
        transitions = (Transition("OPEN", "VETOED"),)

    for machine, told in (
        (Short, "is in the state 'DONE', which Short does not have"),
        (None, "is in the state 'DONE', and the class has no state machine"),
    ):
        cls._state_machine = machine
        with pytest.raises(IncompatiblePublication, match=told):
            published(store_db, cls)


def test_publishing_stricter_rules_reports_what_breaks_them(store_db: StoreDatabase) -> None:
    cls = ticket()
    client = store_db.client()
    sent(store_db, "alice", "create_objects", [new(price=-1.0, side="BUY"), new(price=-2.0), new(price=2.0)])
    sent(store_db, "alice", "create_objects", [new("HELD")])
    [entity_id] = [obj.entity_id for obj in client.query(cls) if obj.price == -1.0]
    cls._state_machine = Lifecycle
    with pytest.raises(IncompatiblePublication, match="in the state 'HELD'"):
        published(store_db, cls)
    cls._state_machine = None
    with pytest.raises(IncompatiblePublication, match="in the state 'HELD', and the class has no state machine"):
        published(store_db, cls)
    with_held = type("Held", (Lifecycle,), {"transitions": (*Lifecycle.transitions, Transition("OPEN", "HELD"))})
    cls._state_machine = with_held
    [publication] = published(store_db, cls)
    assert publication.notes[0].startswith("Ticket.price: the value of 2 entities (such as ")
    assert "have no state, as written without a machine" in publication.notes[1]
    assert any(str(obj.entity_id) in publication.notes[0] for obj in client.query(cls) if obj.price < 0)
    found = client.read(cls, str(entity_id))
    assert found is not None and found.price == -1.0
    found.side = "SELL"
    with pytest.raises(InvalidValue, match="price"):
        client.update(found)
    found.price = 1.0
    client.update(found)


def test_publishing_several_classes_is_all_or_none(store_db: StoreDatabase) -> None:
    @dataclass
    class Note(Storable):
        symbol: str = ""

    cls = ticket()
    sent(store_db, "alice", "create_objects", [new(price="free")])
    with pytest.raises(IncompatiblePublication, match=r"Ticket\.price"):
        published(store_db, Note, cls)
    sent(store_db, "alice", "create_objects", [new(type_name="Note", anything=1)])
    with pytest.raises(IncompatiblePublication, match=r"\n  - Note\.anything.*\n  - Ticket\.price"):
        published(store_db, Note, cls)


# ---- drift


def drifted(**annotations: Any) -> type[Any]:
    """Return a class of the stored name Ticket with other fields."""
    fields = {"symbol": str, "quantity": int, "price": float, "side": str, "book": str | None} | annotations
    kept = {name: kind for name, kind in fields.items() if kind is not None}
    body: dict[str, Any] = {"__annotations__": kept, "__module__": __name__}
    defaults = {"symbol": "AAPL", "quantity": 1, "price": 1.0, "side": "BUY"}
    body |= {name: defaults.get(name) for name in kept}
    return dataclass(type("Ticket", (Storable,), body))


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({"book": None}, r"Ticket\.book: published as str \| None, the class has no such field"),
        ({"book": str}, r"Ticket\.book: published as str \| None, the class says str\n"),
        ({"side": Literal["BUY", "SELL"]}, r"Ticket\.side: published as str, the class says Literal"),
        (
            {"strategy": str | None},
            r"Ticket\.strategy: the class has this field \(str \| None\), and it",
        ),
    ],
)
def test_class_that_does_not_fit_what_is_published_is_refused_at_first_use(
    module_store_db: StoreDatabase, annotations: dict[str, Any], told: str
) -> None:
    published(module_store_db, ticket())
    cls = drifted(**annotations)
    client = module_store_db.client()
    obj = cls()
    missing = "01890000-0000-7000-8000-000000000000"
    for call in (
        lambda: client.write(obj),
        lambda: client.write_many([obj]),
        lambda: client.read(cls, missing),
        lambda: client.as_of(cls, missing),
        lambda: client.history(cls, missing),
        lambda: client.query(cls),
        lambda: client.count(cls),
    ):
        with pytest.raises(SchemaDrift, match=told) as caught:
            call()
        assert "python -m store publish" in str(caught.value)
        assert caught.value.type_name == "Ticket"
    assert obj.entity_id is None


def test_class_with_fewer_guarantees_of_its_own_fits(module_store_db: StoreDatabase) -> None:
    published(module_store_db, ticket())
    cls = drifted()
    assert REGISTRY.columns_for(cls)
    client = module_store_db.client()
    obj = cls()
    client.write(obj)
    assert client.read(cls, str(obj.entity_id)) == obj
