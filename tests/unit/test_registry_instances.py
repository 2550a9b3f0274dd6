"""Checking values: types and constraints of an object, all violations at once."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from store.base import Storable, record_schema
from store.columns import REGISTRY
from store.constraints import is_isin
from store.errors import InvalidValue, RegistryError, StoreError
from store.registry import ColumnRegistry
from store.wording import is_slip

UTC = timezone.utc
REGISTRY.define(
    "probe_amount",
    Decimal,
    description="Exact amount of the tests",
    role="measure",
    unit="USD",
    min_value=Decimal("0.10"),
    max_value=9,
)
REGISTRY.define(
    "probe_since",
    datetime,
    description="Instant of the tests",
    role="attribute",
    min_value=datetime(2026, 1, 1, tzinfo=UTC),
    nullable=True,
)
REGISTRY.define(
    "probe_on", date, description="Day of the tests", role="attribute", max_value=date(2026, 12, 31), nullable=True
)


@dataclass
class Checked(Storable):
    symbol: str = "AAPL"
    quantity: int = 1
    price: float = 1.0
    side: str = "BUY"
    isin: str | None = None
    strength: float = 0.0
    probe_amount: Decimal = Decimal(1)
    probe_since: datetime | None = None
    probe_on: date | None = None
    tags: list[str] = field(default_factory=list)


def violations(**values: Any) -> list[tuple[str, str]]:
    try:
        REGISTRY.validate_instance(Checked(**values))
    except RegistryError as error:
        return [(violation.field, violation.rule) for violation in error.violations]
    return []


def test_validate_instance_of_valid_object_returns_none() -> None:
    REGISTRY.validate_instance(Checked(isin="US0378331005"))
    assert violations() == []


@pytest.mark.parametrize(
    ("field_name", "value", "rule"),
    [
        ("symbol", "", "pattern"),
        ("symbol", "aapl", "pattern"),
        ("symbol", "AAPL\n", "pattern"),
        ("symbol", "A" * 13, "max_length"),
        ("symbol", None, "nullable"),
        ("symbol", "A\x00", "value"),
        ("symbol", "\ud800", "value"),
        ("symbol", 5, "value"),
        ("quantity", 1.0, "value"),
        ("quantity", True, "value"),
        ("quantity", None, "nullable"),
        ("price", -0.01, "min_value"),
        ("price", "1", "value"),
        ("price", float("nan"), "value"),
        ("price", float("inf"), "value"),
        ("price", Decimal(1), "value"),
        ("price", True, "value"),
        ("side", "", "enum"),
        ("side", "buy", "enum"),
        ("isin", "US0378331006", "check"),
        ("isin", "us0378331005", "pattern"),
        ("isin", "US03783310055", "max_length"),
        ("strength", 1.0000001, "max_value"),
        ("strength", -2, "min_value"),
        ("probe_amount", Decimal("0.0999999999999999999999"), "min_value"),
        ("probe_amount", Decimal("9.0000000000000000000001"), "max_value"),
        ("probe_amount", Decimal("NaN"), "value"),
        ("probe_amount", 1.5, "value"),
        ("probe_since", datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "min_value"),
        ("probe_since", datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), "min_value"),
        ("probe_since", datetime(2026, 2, 1), "value"),
        ("probe_on", date(2027, 1, 1), "max_value"),
        ("probe_on", datetime(2026, 1, 1, tzinfo=UTC), "value"),
    ],
)
def test_validate_instance_broken_value_names_field_and_rule(field_name: str, value: Any, rule: str) -> None:
    assert violations(**{field_name: value}) == [(field_name, rule)]


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("symbol", "BRK/B"),
        ("symbol", "A" * 12),
        ("price", 0),
        ("price", 3),
        ("strength", 1),
        ("strength", -1.0),
        ("probe_amount", Decimal("0.1")),
        ("probe_amount", Decimal("9.000")),
        ("probe_amount", 5),
        ("probe_since", datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        ("probe_on", date(2026, 12, 31)),
        ("isin", None),
    ],
)
def test_validate_instance_value_on_the_bound_is_accepted(field_name: str, value: Any) -> None:
    assert violations(**{field_name: value}) == []


def test_validate_instance_lists_every_violation_in_field_order() -> None:
    obj = Checked(symbol="aapl", price=-1.0, side="HOLD", tags=["a", 3])  # type: ignore[list-item]
    with pytest.raises(InvalidValue) as caught:
        REGISTRY.validate_instance(obj)
    error = caught.value
    assert [violation.field for violation in error.violations] == ["symbol", "price", "side", "tags[1]"]
    assert "Checked: 4 violations" in str(error)
    assert "Checked.side: expected one of ['BUY', 'SELL'], found 'HOLD' (str)" in str(error)
    assert (error.type_name, error.field, error.value) == ("Checked", "symbol", "aapl")
    assert isinstance(error, (StoreError, TypeError))
    assert isinstance(error, ValueError)


def test_validate_instance_error_survives_pickling() -> None:
    with pytest.raises(InvalidValue) as caught:
        REGISTRY.validate_instance(Checked(side="HOLD"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.violations == caught.value.violations


def test_validate_instance_deleted_attribute_is_a_violation() -> None:
    obj = Checked(tags=[])
    del obj.tags
    with pytest.raises(InvalidValue, match="tags: expected a value, found none"):
        REGISTRY.validate_instance(obj)


def test_validate_instance_of_a_value_with_broken_repr_still_reports_it() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(InvalidValue, match=r"<repr failed: RuntimeError> \(Hostile\)"):
        REGISTRY.validate_instance(Checked(symbol=Hostile()))  # type: ignore[arg-type]


def test_validate_instance_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidValue) as caught:
        REGISTRY.validate_instance(Checked(symbol="A" * 100_000))
    assert len(str(caught.value)) < 300


def test_validate_instance_of_an_unbound_plain_object_checks_its_class() -> None:
    registry = ColumnRegistry()
    registry.define("fee", float, description="Fee", role="measure", unit="USD", min_value=0)

    @dataclass
    class Plain:
        fee: float = 0.0

    registry.validate_instance(Plain(1.0))
    with pytest.raises(RegistryError, match="at least 0"):
        registry.validate_instance(Plain(-1.0))


def test_encode_valid_refuses_what_validate_instance_refuses() -> None:
    schema = record_schema(Checked)
    assert schema.encode_valid(Checked()) == schema.encode(Checked())
    with pytest.raises(InvalidValue) as caught:
        schema.encode_valid(Checked(side="HOLD", price=-1))
    assert [violation.rule for violation in caught.value.violations] == ["min_value", "enum"]


@pytest.mark.parametrize(
    "isin", ["US0378331005", "AU0000XVGZA3", "GB0002634946", "DE0007164600", "US5949181045", "FR0000131104"]
)
def test_isin_published_number_is_valid_and_no_other_digit_is(isin: str) -> None:
    assert [digit for digit in "0123456789" if is_isin(isin[:-1] + digit)] == [isin[-1]]


@pytest.mark.parametrize("text", ["", "US037833100", "US03783310055", "0S0378331005", "US037833100A", "ÜS0378331005"])
def test_isin_malformed_text_is_invalid(text: str) -> None:
    assert not is_isin(text)


def test_validate_instance_names_an_attribute_that_nearly_is_a_field() -> None:
    checked = Checked()
    checked.symbl = "MSFT"  # type: ignore[attr-defined]
    checked._symbo = "MSFT"  # type: ignore[attr-defined]  # a program's own, as the underscore says
    with pytest.raises(InvalidValue, match=r"Checked\.symbl: set, but no field of this class") as caught:
        REGISTRY.validate_instance(checked)
    assert [(found.field, found.rule, found.suggestions[0]) for found in caught.value.violations] == [
        ("symbl", "unknown", "symbol")
    ]
    with pytest.raises(InvalidValue, match="did you mean 'symbol'"):
        record_schema(Checked).encode(checked)


@pytest.mark.parametrize("written", ["quantiy", "quantiyt", "quantitty", "quentity", "Quantity", "uantity"])
def test_is_slip_one_letter_or_two_exchanged(written: str) -> None:
    assert is_slip(written, "quantity")


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("filled_quantity", "quantity"),
        ("quantity_2", "quantity"),
        ("prices", "price"),
        ("price2", "price"),
        ("order_id", "order_type"),
        ("ask", "bid"),
        ("big", "bid"),
        ("", "side"),
        ("ytitnauq", "quantity"),
    ],
)
def test_is_slip_leaves_a_name_of_its_own(written: str, known: str) -> None:
    assert not is_slip(written, known)
