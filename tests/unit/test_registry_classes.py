"""Enforcement when a class is defined: which fields, which types, in which kinds of class."""

# The spellings of types are what is tested.

import dataclasses
import gc
import warnings
import weakref
from dataclasses import KW_ONLY, InitVar, dataclass, field, make_dataclass
from typing import Any, ClassVar

import pytest

from store.base import Storable, record_schema, types_by_name
from store.columns import REGISTRY
from store.registry import METADATA_NAMES, RESERVED_NAMES, ColumnRegistry, RegistryError
from tests.unit.declared import declaring_in

declare, refusal = declaring_in(__name__)


def test_class_of_registered_columns_is_accepted() -> None:
    @dataclass
    class Trade(Storable):
        symbol: str = ""
        trader_name: str = ""
        price: float = 0.0

    assert [column.name for column in REGISTRY.columns_for(Trade)] == ["symbol", "name", "price"]


def test_class_with_a_rogue_and_a_mistyped_column_is_refused_with_both() -> None:
    with pytest.raises(RegistryError) as caught:

        @dataclass
        class Bad(Storable):
            foo: str = ""
            price: str = ""

    assert "Bad.foo: not in registry" in str(caught.value)
    assert "Bad.price: expected float, found str (type str ≠ float" in str(caught.value)
    assert [(violation.field, violation.rule) for violation in caught.value.violations] == [
        ("foo", "unknown"),
        ("price", "type"),
    ]
    assert caught.value.type_name == "Bad"
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("name", "suggestion"), [("pirce", "price"), ("ticker", "symbol"), ("trader_nam", "trader_name"), ("p_l", "pnl")]
)
def test_class_with_a_misspelt_column_is_told_the_nearest_name(name: str, suggestion: str) -> None:
    error = refusal(**{name: str})
    assert suggestion in error.suggestions
    assert f"did you mean {error.suggestions[0]!r}" in str(error)


def test_class_with_an_unapproved_prefix_is_told_the_approved_ones() -> None:
    error = refusal(random_name=str)
    assert "'random' is no approved prefix of column 'name' (trader, salesperson, client)" in str(error)


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_class_with_a_reserved_column_is_refused(name: str) -> None:
    error = refusal(**{name: str})
    assert error.violations[0].rule == "reserved"


def test_storable_public_attributes_are_all_reserved() -> None:
    assert {name for name in vars(Storable) if not name.startswith("_")} == RESERVED_NAMES
    assert all(isinstance(vars(Storable)[name], property) for name in METADATA_NAMES)


def test_class_with_non_columns_is_accepted() -> None:
    @dataclass
    class Order(Storable):
        price: float
        limit_of: ClassVar[int] = 3
        named: "ClassVar[str]" = ""
        scale: InitVar[float] = 1.0
        _: KW_ONLY
        symbol: str = ""
        expressions = {"notional": 1}  # noqa: RUF012 - a plain class attribute, as users write it

        def __post_init__(self, scale: float) -> None:
            self.price *= scale

    assert list(record_schema(Order).fields) == ["price", "symbol"]
    assert record_schema(Order).encode(Order(2.0, scale=3.0)) == {"price": 6.0, "symbol": ""}


def test_class_with_annotated_private_attribute_is_told_about_classvar() -> None:
    assert "ClassVar" in str(refusal(_cache=dict))


def test_class_with_slots_is_checked_and_stored_once() -> None:
    @dataclass(slots=True)
    class Slotted(Storable, type_name="fx.Slotted"):
        price: float = 0.0

    assert Slotted.type_name() == "fx.Slotted"
    assert types_by_name["fx.Slotted"] is Slotted
    assert REGISTRY.entities().count(Slotted) == 1
    assert not hasattr(Slotted(), "__weakref_slot__")
    assert "price" in Slotted.__slots__  # type: ignore[attr-defined]


def test_class_inherits_fields_of_storables_and_mixins() -> None:
    @dataclass
    class Priced:
        price: float = 0.0

    @dataclass
    class Base(Priced, Storable):
        symbol: str = ""

    @dataclass
    class Derived(Base):
        quantity: int = 0

    assert list(record_schema(Derived).fields) == ["price", "symbol", "quantity"]
    assert [column.name for column in REGISTRY.columns_for(Derived)] == ["price", "symbol", "quantity"]


def test_class_inheriting_a_rogue_column_is_refused() -> None:
    @dataclass
    class Mixin:
        foo: int = 0

    with pytest.raises(RegistryError, match=r"Derived\.foo: not in registry"):

        class Derived(Mixin, Storable):
            symbol: str = ""


@pytest.mark.parametrize("annotation", [ClassVar[str], InitVar[str]])
def test_class_that_makes_an_inherited_field_no_field_stores_it_no_more(annotation: Any) -> None:
    @dataclass
    class Base(Storable):
        symbol: str = ""
        price: float = 1.0

    child = dataclass(type("Child", (Base,), {"__annotations__": {"symbol": annotation}, "symbol": "lower case"}))
    assert [column.name for column in REGISTRY.columns_for(child)] == ["price"]
    REGISTRY.validate_instance(child())
    assert record_schema(child).encode_valid(child()) == {"price": 1.0}


@pytest.mark.parametrize("former", ["old", 5, [5]])
def test_class_with_former_names_that_are_none_is_refused(former: Any) -> None:
    @dataclass
    class Quote(Storable):
        price: float = field(default=1.0, metadata={"former_names": former})

    with pytest.raises(RegistryError, match="expected former_names as a tuple of names"):
        record_schema(Quote)


def test_class_inheriting_from_an_undecorated_class_takes_no_fields_from_it() -> None:
    class Plain(Storable):
        symbol: str = ""

    @dataclass
    class Derived(Plain):
        price: float = 0.0

    assert list(record_schema(Derived).fields) == ["price"]
    with pytest.raises(RegistryError, match="write @dataclass above class Plain"):
        record_schema(Plain)

    class Between(Derived):
        quantity: int

    @dataclass
    class Last(Between):
        symbol: str = "A"

    assert [column.name for column in REGISTRY.columns_for(Last)] == ["price", "symbol"]
    REGISTRY.validate_instance(Last())


def test_class_made_by_make_dataclass_is_checked() -> None:
    assert make_dataclass("Made", [("price", float, 0.0)], bases=(Storable,))
    with pytest.raises(RegistryError, match="not in registry"):
        make_dataclass("Made", [("rogue", float, 0.0)], bases=(Storable,))


def test_class_redefined_replaces_the_earlier_one() -> None:
    def define() -> type[Storable]:
        @dataclass
        class Redefined(Storable):
            price: float = 0.0

        return Redefined

    first, second = define(), define()
    assert types_by_name["Redefined"] is second
    assert REGISTRY.entities().count(second) == 1
    assert first not in REGISTRY.entities()


def test_class_refused_is_not_known_by_its_name() -> None:
    with pytest.raises(RegistryError):

        class NeverKnown(Storable):
            rogue: int = 0

    assert "NeverKnown" not in types_by_name


def test_class_dropped_is_forgotten() -> None:
    def define() -> "weakref.ref[type]":
        @dataclass
        class Dropped(Storable):
            price: float = 0.0
            tags: list[str] = field(default_factory=list)

        record_schema(Dropped).encode(Dropped())
        REGISTRY.validate_instance(Dropped())
        return weakref.ref(Dropped)

    reference = define()
    gc.collect()
    assert reference() is None
    assert "Dropped" not in types_by_name
    assert "Dropped" not in [cls.__name__ for cls in REGISTRY.entities()]


@pytest.mark.parametrize("type_name", ["", "a b", "1st", ".x", "x.", 'x"y', None, 3])
def test_class_with_bad_type_name_is_refused(type_name: Any) -> None:
    if type_name is None:
        assert declare().type_name() == "Declared"  # type: ignore[attr-defined]
        return
    with pytest.raises(RegistryError, match="type_name"):

        class Named(Storable, type_name=type_name):
            symbol: str = ""


def test_class_type_name_is_not_inherited() -> None:
    class Base(Storable, type_name="fx.Base"):
        symbol: str = ""

    class Derived(Base):
        price: float = 0.0

    assert (Base.type_name(), Derived.type_name()) == ("fx.Base", "Derived")


def test_class_with_a_deprecated_column_warns_at_the_class_statement() -> None:
    registry = ColumnRegistry()
    registry.define("fee", float, description="Fee", role="measure", unit="USD", deprecated="use cost")

    @dataclass
    class Old:
        fee: float = 0.0

    with pytest.warns(DeprecationWarning, match=r"Old\.fee: column 'fee' is deprecated: use cost") as caught:
        registry.validate_class(Old)
    assert caught[0].filename == __file__


def test_storable_with_a_deprecated_column_warns_at_the_class_statement() -> None:
    REGISTRY.define("probe_old", float, description="Old figure", role="attribute", deprecated=True)
    with pytest.warns(DeprecationWarning, match=r"probe_old: column 'probe_old' is deprecated$") as caught:

        class Old(Storable):
            probe_old: float = 0.0

    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataclass(type("Derived", (dataclass(Old),), {"__module__": __name__}))


def test_validate_class_of_a_plain_dataclass_remembers_it() -> None:
    registry = ColumnRegistry()
    registry.define("fee", float, description="Fee", role="measure", unit="USD")

    @dataclass
    class Plain:
        fee: float = 0.0

    registry.validate_class(Plain)
    assert registry.entities() == [Plain]
    assert registry.columns_for("Plain") == [registry.get("fee")]


def test_record_schema_of_no_storable_is_refused() -> None:
    with pytest.raises(RegistryError, match="write class Plain"):
        record_schema(dataclasses.make_dataclass("Plain", []))


def test_class_that_holds_another_entity_is_told_to_hold_its_id() -> None:
    @dataclass
    class Other(Storable):
        price: float = 0.0

    with pytest.raises(RegistryError, match="hold its entity_id instead"):
        ColumnRegistry().define("other", Other, description="Another entity", role="attribute")
