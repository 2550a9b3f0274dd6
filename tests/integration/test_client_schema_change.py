"""Classes that change while their data stays: new fields, renamed ones, fields that an older class does not know."""

from __future__ import annotations

import gc
import itertools
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import StoreClient
from store.columns import REGISTRY
from store.errors import InvalidFilter, InvalidValue
from tests.integration.samples import UTC, OpenClosed, Side, assert_as_read

REGISTRY.define("probe_label", str, description="A label's newer name", role="attribute", nullable=True)

_numbers = itertools.count(1)


def generations(*bodies: dict[str, Any], **options: Any) -> list[Any]:
    """Return classes of one stored type, oldest first; a body maps a field to its type, or to (type, field())."""
    type_name = f"changing.Type{next(_numbers)}"
    classes = []
    for body in bodies:
        fields = [(name, *(spec if isinstance(spec, tuple) else (spec,))) for name, spec in body.items()]
        made = make_dataclass("Changing", fields, bases=(Storable,), namespace={"_type_name": type_name, **options})
        classes.append(made)
    return classes


QUANTITY = {"quantity": (int, field(default=0))}
HOSTILE = "100% 'sure' \\ %s \u2603"


@pytest.mark.parametrize(
    ("name", "kind", "default", "other"),
    [
        ("label", str, "plain", "other"),
        ("label", str, HOSTILE, "other"),
        ("label", str, "", "other"),
        ("volume", int, 7, 8),
        ("weight", float, 1e23, 2.0),
        ("weight", float, -0.5, 0.5),
        ("active", bool, True, False),
        ("active", bool, False, True),
        ("trade_date", date, date(2026, 1, 1), date(2026, 1, 2)),
        ("ts", datetime, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        ("exact_amount", Decimal, Decimal("1.5"), Decimal(2)),
        ("side", Side, Side.SELL, Side.BUY),
    ],
)
def test_new_field_of_older_entities_reads_filters_and_orders_as_its_default(
    client: StoreClient, name: str, kind: Any, default: Any, other: Any
) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, name: (kind, field(default=default))})
    lacking = client.write(old(quantity=1))
    equal, different = client.write_many([new(quantity=2), new(quantity=3, **{name: other})])
    found = client.read(new, lacking)
    assert (found.quantity, getattr(found, name)) == (1, default)

    def ids(filters: Any) -> set[str]:
        known = {item.entity_id for item in client.query(new, filters, limit=None)}
        assert client.count(new, filters) == len(known)
        assert {item.entity_id for item in client.query(new, filters, tx_time=client.stable_time())} == known
        return known

    constant = default.value if isinstance(default, Enum) else default
    assert ids({name: default}) == ids({name: [default]}) == ids(Field(name) == Const(constant)) == {lacking, equal}
    assert ids({name: other}) == ids(Field(name) != Const(constant)) == {different}
    assert ids({name: [default, other]}) == {lacking, equal, different}
    assert ids({name: None}) == ids(Field(name).is_null()) == set()
    assert ids({name: default, "quantity": 1}) == {lacking}
    ordered = [getattr(item, name) for item in client.query(new, order_by=name)]
    plain = [item.value if isinstance(item, Enum) else item for item in ordered]
    assert plain == sorted(plain) and len(plain) == 3


def test_new_field_of_entities_that_an_older_program_writes_meanwhile_filters_as_its_default(
    client: StoreClient,
) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, "label": (str, field(default="plain"))})
    client.write(new(label="other"))
    lacking = {client.write(old()), *client.write_many([old(), old()])}
    assert {item.entity_id for item in client.query(new, {"label": "plain"})} == lacking


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [("tags", list, ["a", {"b": 1}]), ("extra", dict, {"k": [None]}), ("tags", list, []), ("extra", dict, {})],
)
def test_new_field_with_a_default_factory_filters_as_what_it_makes(
    client: StoreClient, name: str, kind: type, default: Any
) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, name: (kind, field(default_factory=lambda: default))})
    lacking = client.write(old())
    client.write(new(**{name: kind()} if default else {name: ["x"] if kind is list else {"x": 1}}))
    wanted = [default] if isinstance(default, list) else default
    assert [item.entity_id for item in client.query(new, {name: wanted})] == [lacking]


def test_new_optional_field_of_older_entities_is_missing(client: StoreClient) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, "label": (str | None, field(default=None))})
    lacking = client.write(old())
    client.write(new(label="x"))
    for filters in ({"label": None}, Field("label").is_null(), {"label": [None, "y"]}):
        assert [item.entity_id for item in client.query(new, filters)] == [lacking]
    assert [item.label for item in client.query(new, order_by="label")] == ["x", None]


def test_default_that_cannot_be_stored_is_read_but_matches_nothing(client: StoreClient) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, "symbol": (str, field(default=None))})
    lacking = client.write(old())
    assert client.read(new, lacking).symbol is None
    assert client.query(new, {"symbol": "AAPL"}).items == []
    assert [item.entity_id for item in client.query(new, {"symbol": None}, order_by="symbol")] == [lacking]


def test_new_field_is_stored_once_it_is_changed(client: StoreClient) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, "label": (str, field(default="new"))})
    entity_id = client.write(old(quantity=1))
    found = client.read(new, entity_id)
    found.quantity = 2
    client.update(found)
    assert client.audit(entity_id)[-1]["changes"].keys() == {"quantity"}
    found.label = "set"
    client.update(found)
    assert client.audit(entity_id)[-1]["changes"] == {"label": {"old": None, "new": "set"}}
    assert_as_read(client, found)
    assert [item.label for item in client.history(new, entity_id)] == ["new", "new", "set"]


def test_new_field_named_in_an_update_is_stored_at_its_default(client: StoreClient) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, "label": (str, field(default="new"))})
    entity_id = client.write(old())
    found = client.read(new, entity_id)
    client.update(found, fields=["label"])
    assert client.audit(entity_id)[-1]["changes"] == {"label": {"old": None, "new": "new"}}


def test_new_field_without_default_is_told_to_need_one(client: StoreClient) -> None:
    old, new = generations(QUANTITY, {"label": str, **QUANTITY})
    entity_id = client.write(old())
    for call in (
        lambda: client.read(new, entity_id),
        lambda: client.query(new),
        lambda: client.history(new, entity_id),
    ):
        with pytest.raises(InvalidValue, match="give the field a default or former_names"):
            call()


def test_unknown_fields_survive_all_that_an_older_class_does(client: StoreClient) -> None:
    newer = {**QUANTITY, "label": (str, field(default="")), "tags": (list, field(default_factory=list))}
    old, new = generations(QUANTITY, newer, _state_machine=OpenClosed)
    entity_id = client.write(new(quantity=1, label="kept", tags=["kept"]))
    found = client.read(old, entity_id)
    found.quantity = 2
    client.update(found)
    found.quantity = 3
    client.transition(found, "CLOSED")
    client.update(found, fields=["quantity"])
    assert_as_read(client, found)
    now = client.read(new, entity_id)
    assert (now.quantity, now.label, now.tags, now.state, now.version) == (3, "kept", ["kept"], "CLOSED", 4)
    client.delete(found)
    assert [item.label for item in client.history(new, entity_id)] == ["kept"] * 5


RENAMED = {**QUANTITY, "probe_label": (str, field(default="none", metadata={"former_names": ("label",)}))}


def test_renamed_field_reads_filters_and_orders_under_its_new_name(client: StoreClient) -> None:
    old, new = generations({**QUANTITY, "label": (str, field(default=""))}, RENAMED)
    a, b = client.write_many([old(label="b"), old(label="a")])
    c = client.write(new(probe_label="c"))
    assert [client.read(new, entity_id).probe_label for entity_id in (a, b, c)] == ["b", "a", "c"]
    assert [item.entity_id for item in client.query(new, order_by="probe_label")] == [b, a, c]
    for filters in ({"probe_label": "a"}, {"probe_label": ["a"]}, Field("probe_label") == Const("a")):
        assert [item.entity_id for item in client.query(new, filters)] == [b]
    assert client.count(new, {"probe_label": "c"}) == 1
    assert client.count(new, {"probe_label": "none"}) == 0
    with pytest.raises(InvalidFilter, match="label"):
        client.query(new, {"label": "a"})


def test_renamed_field_once_updated_prefers_its_new_name(client: StoreClient) -> None:
    old, new = generations({**QUANTITY, "label": (str, field(default=""))}, RENAMED)
    entity_id = client.write(old(label="before"))
    found = client.read(new, entity_id)
    found.probe_label = "after"
    client.update(found)
    assert_as_read(client, found)
    assert client.count(new, {"probe_label": "after"}) == 1
    assert client.count(new, {"probe_label": "before"}) == 0
    assert [item.probe_label for item in client.history(new, entity_id)] == ["before", "after"]


def test_renamed_field_of_a_type_without_either_name_takes_its_default(client: StoreClient) -> None:
    oldest, _, new = generations(QUANTITY, {**QUANTITY, "label": (str, field(default=""))}, RENAMED)
    entity_id = client.write(oldest())
    assert client.read(new, entity_id).probe_label == "none"
    assert [item.entity_id for item in client.query(new, {"probe_label": "none"})] == [entity_id]


def test_cursor_still_fits_after_an_older_class_wrote_between_pages(client: StoreClient) -> None:
    old, new = generations(QUANTITY, {**QUANTITY, "label": (str, field(default="x"))})
    objects = [new(quantity=number) for number in range(6)]
    client.write_many(objects)
    for query in ({"filters": {"label": "x"}, "order_by": "label"}, {"filters": Field("label") == "x"}):
        seen: list[Any] = []
        cursor = None
        for _ in range(20):
            page = client.query(new, limit=2, cursor=cursor, **query)
            seen += [item.entity_id for item in page]
            client.write(old(quantity=100))
            cursor = page.next_cursor
            if cursor is None:
                break
        assert {obj.entity_id for obj in objects} <= set(seen)
        assert len(seen) == len(set(seen))


class Narrow(Enum):
    SELL = "SELL"


def test_value_that_the_newer_class_has_no_member_for_is_told_and_stays_in_the_audit(client: StoreClient) -> None:
    old, new = generations({"side": (Side, field(default=Side.SELL))}, {"side": (Narrow, field(default=Narrow.SELL))})
    entity_id = client.write(old(side=Side.BUY))
    for call in (
        lambda: client.read(new, entity_id),
        lambda: client.query(new),
        lambda: client.history(new, entity_id),
    ):
        with pytest.raises(InvalidValue, match=rf"{entity_id}: .*side") as caught:
            call()
        assert [violation.field for violation in caught.value.violations] == ["side"]
    assert client.audit(entity_id)[0]["changes"] == {"side": {"old": None, "new": "BUY"}}


def test_audit_without_the_class_at_hand_shows_values_as_json(client: StoreClient) -> None:
    classes = generations({"trade_date": (date, field(default=date(2026, 1, 1)))})
    entity_id = client.write(classes[0]())
    assert client.audit(entity_id)[0]["changes"]["trade_date"]["new"] == date(2026, 1, 1)
    classes.clear()
    gc.collect()  # nobody holds the class any more, as in a process that never imported it
    assert client.audit(entity_id)[0]["changes"]["trade_date"]["new"] == "2026-01-01"


def test_class_defined_anew_replaces_the_one_of_that_name(client: StoreClient) -> None:
    @dataclass
    class Notebook(Storable):
        quantity: int = 0

    first = Notebook
    entity_id = client.write(Notebook(quantity=1))

    @dataclass
    class Notebook(Storable):  # type: ignore[no-redef]
        quantity: int = 0
        label: str = "again"

    found = client.read(Notebook, entity_id)
    assert found == Notebook(quantity=1)
    assert client.read(first, entity_id) == first(quantity=1)
