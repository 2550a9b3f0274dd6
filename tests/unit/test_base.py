"""Storable: metadata, copies, pickles and JSON."""

from __future__ import annotations

import copy
import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any, Generic, TypeVar

import pytest

from store.base import Metadata, Storable, record_schema, types_by_name
from store.errors import InvalidValue, RegistryError
from store.registry import METADATA_NAMES

NOON = datetime(2026, 2, 22, 12, tzinfo=timezone.utc)
METADATA = Metadata("e-1", 3, "alice", "bob", NOON, NOON, None, "PENDING", "UPDATED")
T = TypeVar("T")


@dataclass
class PlainDeal(Storable):
    symbol: str = "AAPL"
    price: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FrozenDeal(Storable):
    symbol: str = "AAPL"
    price: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SlottedDeal(Storable):
    symbol: str = "AAPL"
    price: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FrozenSlottedDeal(Storable):
    symbol: str = "AAPL"
    price: float = 0.0
    tags: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class KeywordDeal(Storable):
    symbol: str
    price: float = 0.0
    tags: list[str] = field(default_factory=list)


KINDS = [PlainDeal, FrozenDeal, SlottedDeal, FrozenSlottedDeal, KeywordDeal]


def bound(cls: type[Storable]) -> Any:
    made = cls(symbol="MSFT", price=2.0, tags=["a"])  # type: ignore[call-arg]
    made._bind(METADATA, {"symbol": "MSFT", "price": 2.0, "tags": ["a"]})
    return made


@pytest.mark.parametrize("name", METADATA_NAMES)
def test_metadata_before_the_first_write_is_none(name: str) -> None:
    assert getattr(PlainDeal(), name) is None


@pytest.mark.parametrize("cls", KINDS)
def test_metadata_once_bound_is_readable_and_read_only(cls: type[Storable]) -> None:
    obj = bound(cls)
    assert tuple(getattr(obj, name) for name in METADATA_NAMES) == METADATA
    for name in METADATA_NAMES:
        # Before Python 3.12, a frozen dataclass with slots raises TypeError for what is no field.
        with pytest.raises((AttributeError, TypeError)):
            setattr(obj, name, "forged")
        assert getattr(obj, name) == getattr(METADATA, name)


@pytest.mark.parametrize("cls", KINDS)
def test_equality_repr_and_fields_ignore_metadata(cls: Any) -> None:
    fresh = cls(symbol="MSFT", price=2.0, tags=["a"])
    assert bound(cls) == fresh
    assert repr(bound(cls)) == repr(fresh)
    assert "e-1" not in repr(bound(cls))


@pytest.mark.parametrize("cls", KINDS)
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, *(lambda o, p=p: pickle.loads(pickle.dumps(o, p)) for p in range(6))],
    ids=["copy", "deepcopy", *(f"pickle{p}" for p in range(6))],
)
def test_copy_keeps_data_and_metadata(cls: type[Storable], duplicate: Callable[[Any], Any]) -> None:
    obj = bound(cls)
    made = duplicate(obj)
    assert made is not obj
    assert made == obj
    assert made._metadata == METADATA
    assert made._stored == obj._stored


@pytest.mark.parametrize("cls", KINDS)
def test_deepcopy_shares_no_mutable_part(cls: type[Storable]) -> None:
    obj = bound(cls)
    made = copy.deepcopy(obj)
    made.tags.append("b")
    made._stored["tags"].append("b")
    assert (obj.tags, obj._stored["tags"]) == (["a"], ["a"])


@pytest.mark.parametrize("cls", KINDS)
def test_copy_of_an_unwritten_object_is_unwritten(cls: type[Storable]) -> None:
    made = pickle.loads(pickle.dumps(cls(symbol="MSFT")))  # type: ignore[call-arg]
    assert (made._metadata, made._stored, made.entity_id) == (None, None, None)


def test_pickle_keeps_attributes_that_are_no_fields() -> None:
    obj = bound(PlainDeal)
    obj.cached = {"a": 1}
    assert pickle.loads(pickle.dumps(obj)).cached == {"a": 1}


@dataclass
class ReducedDeal(Storable):
    price: float = 0.0

    def __reduce__(self) -> Any:
        return (ReducedDeal, (7.0,))


def test_pickle_of_a_class_with_its_own_reduce_uses_it() -> None:
    assert pickle.loads(pickle.dumps(ReducedDeal(1.0))) == ReducedDeal(7.0)


@pytest.mark.parametrize("cls", KINDS)
def test_json_round_trip_keeps_data_and_metadata(cls: type[Storable]) -> None:
    obj = bound(cls)
    made: Any = cls.from_json(obj.to_json())
    assert made == obj
    assert made._metadata == METADATA
    assert made._stored == obj._stored


def test_json_has_type_data_and_metadata() -> None:
    document = json.loads(bound(PlainDeal).to_json())
    assert document["type"] == "PlainDeal"
    assert document["data"] == {"symbol": "MSFT", "price": 2.0, "tags": ["a"]}
    assert document["metadata"]["tx_time"] == "2026-02-22T12:00:00.000000+00:00"
    assert list(document["metadata"]) == list(METADATA_NAMES)
    assert set(json.loads(PlainDeal().to_json())) == {"type", "data"}


def test_json_of_an_object_with_unsaved_changes_keeps_them_unsaved() -> None:
    obj = bound(PlainDeal)
    obj.price = 3.0
    made = PlainDeal.from_json(obj.to_json())
    assert made.price == 3.0
    assert made._stored is not None
    assert made._stored["price"] == 2.0


def test_json_called_on_storable_finds_the_class_by_its_type_name() -> None:
    assert isinstance(Storable.from_json(bound(PlainDeal).to_json()), PlainDeal)
    assert PlainDeal.from_json({"type": "PlainDeal", "data": {}}) == PlainDeal()


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '{"type": "PlainDeal"}',
        '{"type": "PlainDeal", "data": 5}',
        '{"type": "Other", "data": {}}',
        '{"type": ["PlainDeal"], "data": {}}',
        '{"data": {}}',
        '{"type": "PlainDeal", "data": {"price": "x"}}',
        '{"type": "PlainDeal", "data": {"price": NaN}}',
        '{"type": "PlainDeal", "data": {"price": Infinity}}',
        '{"type": "PlainDeal", "data": {}, "metadata": {"version": 1}}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_json_malformed_is_refused(source: Any) -> None:
    with pytest.raises(InvalidValue):
        PlainDeal.from_json(source)


def test_json_nested_deeper_than_python_follows_is_refused() -> None:
    @dataclass
    class Loose(Storable):
        tags: list = field(default_factory=list)  # type: ignore[type-arg]

    with pytest.raises(InvalidValue, match="nested too deep"):
        Loose.from_json('{"type": "Loose", "data": {"tags": ' + "[" * 900 + "]" * 900 + "}}")


def test_json_with_a_forged_metadata_value_is_refused() -> None:
    document = json.loads(bound(PlainDeal).to_json())
    document["metadata"]["version"] = "3"
    with pytest.raises(InvalidValue, match="metadata version: expected a whole JSON number"):
        PlainDeal.from_json(document)


def test_json_of_an_unknown_type_is_refused_on_storable() -> None:
    with pytest.raises(InvalidValue, match="the name of a defined class"):
        Storable.from_json('{"type": "Nobody", "data": {}}')


def test_storable_mixes_with_abstract_and_generic_bases() -> None:
    class Instrument(Storable, ABC):
        @abstractmethod
        def cash_flow(self) -> float: ...

    @dataclass
    class Bond(Instrument, Generic[T]):
        face_value: float = 100.0

        def cash_flow(self) -> float:
            return self.face_value

    assert Bond().cash_flow() == 100.0
    assert list(record_schema(Bond).fields) == ["face_value"]
    with pytest.raises(TypeError, match="abstract"):
        Instrument()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("given", "example"), [(PlainDeal(), "PlainDeal"), ("PlainDeal", "Order"), (None, "Order"), (list[int], "Order")]
)
def test_record_schema_of_what_is_no_class_says_to_pass_one(given: Any, example: str) -> None:
    with pytest.raises(RegistryError, match=f"is no Storable: pass a class, as {example}$"):
        record_schema(given)


def test_storable_with_a_cooperative_base_passes_its_class_arguments() -> None:
    seen: list[str] = []

    class Registered:
        def __init_subclass__(cls, colour: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            seen.append(colour)

    class Painted(Storable, Registered, type_name="art.Painted", colour="red"):
        price: float = 0.0

    assert seen == ["red"]
    assert types_by_name["art.Painted"] is Painted


@dataclass
class Versioned(Storable):
    symbol: str
    quantity: int = field(default=1, metadata={"former_names": ("qty", "size")})
    tags: list[str] = field(default_factory=list)
    trade_date: date | None = None

    def __post_init__(self) -> None:
        self.quantity *= 100


def test_decode_missing_fields_take_their_defaults_afresh() -> None:
    schema = record_schema(Versioned)
    one, other = schema.decode({"symbol": "A"}), schema.decode({"symbol": "A"})
    assert (one.quantity, one.tags, one.trade_date) == (1, [], None)
    assert one.tags is not other.tags


def test_decode_restores_what_was_stored_without_running_init() -> None:
    assert record_schema(Versioned).decode({"symbol": "A", "quantity": 5}).quantity == 5


@pytest.mark.parametrize("former", ["qty", "size"])
def test_decode_former_name_is_read(former: str) -> None:
    assert record_schema(Versioned).decode({"symbol": "A", former: 7}).quantity == 7


def test_decode_present_name_wins_over_former_ones() -> None:
    assert record_schema(Versioned).decode({"symbol": "A", "qty": 7, "quantity": 8, "size": 9}).quantity == 8
    assert record_schema(Versioned).decode({"symbol": "A", "size": 9, "qty": 7}).quantity == 7


def test_decode_unknown_fields_are_ignored() -> None:
    assert not hasattr(record_schema(Versioned).decode({"symbol": "A", "later": 1}), "later")


def test_decode_missing_field_without_default_says_what_to_do() -> None:
    with pytest.raises(InvalidValue, match=r"Versioned\.symbol: .* give the field a default or former_names"):
        record_schema(Versioned).decode({})


def test_decode_value_of_another_form_names_class_and_field() -> None:
    with pytest.raises(InvalidValue, match=r"Versioned\.tags\[0\]: the stored data does not fit the class") as caught:
        record_schema(Versioned).decode({"symbol": "A", "tags": [1]})
    assert (caught.value.type_name, caught.value.field, caught.value.value) == ("Versioned", "tags[0]", 1)


def test_decoded_object_shares_no_mutable_part_with_the_stored_data() -> None:
    stored: dict[str, Any] = {"symbol": "A", "tags": ["a"]}
    record_schema(Versioned).decode(stored).tags.append("b")
    assert stored["tags"] == ["a"]


def test_former_names_as_a_bare_string_are_refused() -> None:
    @dataclass
    class Careless(Storable):
        quantity: int = field(default=0, metadata={"former_names": "qty"})

    with pytest.raises(RegistryError, match=r'write \("qty",\)'):
        record_schema(Careless)


def test_record_schema_is_compiled_once_per_class() -> None:
    @dataclass
    class Derived(PlainDeal):
        quantity: int = 0

    assert record_schema(PlainDeal) is record_schema(PlainDeal)
    assert list(record_schema(Derived).fields) == ["symbol", "price", "tags", "quantity"]
    assert list(record_schema(PlainDeal).fields) == ["symbol", "price", "tags"]


def test_record_schema_of_a_class_made_anew_with_slots_is_its_own() -> None:
    plain = dataclass(type("Early", (Storable,), {"__annotations__": {"price": "float"}, "__module__": __name__}))
    early = record_schema(plain)
    slotted = dataclass(slots=True)(plain)
    assert record_schema(slotted) is not early
    assert type(record_schema(slotted).decode({"price": 1.0})) is slotted


def test_record_schema_fields_say_what_they_are() -> None:
    spec = record_schema(Versioned).fields["quantity"]
    assert (spec.name, spec.annotation, spec.base_type, spec.nullable) == ("quantity", int, int, False)
    assert (spec.column.name, spec.former_names) == ("quantity", ("qty", "size"))
    assert record_schema(Versioned).fields["tags"].base_type is list
    assert record_schema(Versioned).fields["trade_date"].nullable


def test_encode_value_and_decode_value_convert_one_field() -> None:
    schema = record_schema(Versioned)
    assert schema.encode_value("trade_date", date(2026, 1, 1)) == "2026-01-01"
    assert schema.decode_value("trade_date", "2026-01-01") == date(2026, 1, 1)
    with pytest.raises(InvalidValue, match=r"Versioned\.quantity: expected int, found 'x'"):
        schema.encode_value("quantity", "x")
    with pytest.raises(InvalidValue, match=r"Versioned\.quantity: the stored data"):
        schema.decode_value("quantity", "x")


def test_encode_value_of_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(RegistryError) as caught:
        record_schema(Versioned).encode_value("quantty", 1)
    assert caught.value.suggestions == ("quantity",)


def test_encode_lists_every_field_that_does_not_fit() -> None:
    with pytest.raises(InvalidValue) as caught:
        record_schema(Versioned).encode(Versioned(symbol=5, tags=(), trade_date=NOON))  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == ["symbol", "tags", "trade_date"]
