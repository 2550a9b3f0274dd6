"""Enforcement when a class is defined: how a field may spell its column's type."""

# The spellings of types are what is tested.
# ruff: noqa: UP007, UP045

import sys
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest

from store.base import Storable, record_schema
from store.columns import REGISTRY
from store.registry import ColumnRegistry
from tests.unit.declared import declaring_in

declare, refusal = declaring_in(__name__)


@pytest.mark.parametrize(
    "annotation",
    [int, str, bool, Any, object, Union[int, str], Union[float, int], list[float], Literal[1], "float | int", None],
)
def test_class_with_another_type_is_refused(annotation: Any) -> None:
    assert refusal(price=annotation).violations[0].rule == "type"


@pytest.mark.parametrize("annotation", [Optional[str], "Optional[str]", "str | None", "None | str", "Union[str, None]"])
def test_class_with_optional_of_a_nullable_column_is_accepted(annotation: Any) -> None:
    bound = REGISTRY.binding(declare(probe_code=annotation)).fields["probe_code"]
    assert (bound.annotation, bound.nullable) == (str, True)


def test_class_with_optional_of_a_required_column_is_refused() -> None:
    error = refusal(symbol=Optional[str])
    assert error.violations[0].rule == "nullable"
    assert "'symbol' is not nullable; declare str" in str(error)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is new in Python 3.12")
def test_class_with_a_type_alias_is_read_as_the_type() -> None:
    namespace: dict[str, Any] = {}
    exec("type Price = float\ntype Maybe = str | None", namespace)
    fields = REGISTRY.binding(declare(price=namespace["Price"], probe_code=namespace["Maybe"])).fields
    assert (fields["price"].annotation, fields["probe_code"].nullable) == (float, True)


Money = NewType("Money", float)


@pytest.mark.parametrize("annotation", [Money, "Money", "Money | float"])
def test_class_with_a_new_type_is_read_as_the_type(annotation: Any) -> None:
    assert REGISTRY.binding(declare(price=annotation)).fields["price"].annotation is float


@pytest.mark.parametrize("annotation", [Annotated[float, "per share"], "Annotated[float, 'per share']"])
def test_class_with_annotated_type_is_read_as_the_type(annotation: Any) -> None:
    assert REGISTRY.binding(declare(price=annotation)).fields["price"].annotation is float


@pytest.mark.parametrize("annotation", [list, list[str], "list[str]", "list"])
def test_class_with_any_list_for_a_bare_list_column_is_accepted(annotation: Any) -> None:
    assert declare(tags=annotation)


def test_class_with_another_element_type_is_refused() -> None:
    assert declare(probe_list=list[str])
    assert refusal(probe_list=list[int]).expected == "list[str]"
    assert refusal(probe_list=list).expected == "list[str]"


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


class Rank(Enum):
    HIGH = 1


class Direction(str, Enum):
    LEFT = "LEFT"


@pytest.mark.parametrize("annotation", [Side, "Side", Optional[Side], Literal["BUY"]])
def test_class_with_enum_of_allowed_values_is_accepted(annotation: Any) -> None:
    assert declare(side=annotation)


def test_class_with_enum_of_values_of_another_type_is_refused() -> None:
    assert refusal(side=Rank).violations[0].rule == "type"


def test_class_with_enum_value_outside_the_column_is_refused() -> None:
    error = refusal(side=Direction)
    assert error.violations[0].rule == "enum"
    assert "'LEFT'" in str(error)
    assert "Direction" in str(error)


def test_class_with_unresolvable_annotation_says_so() -> None:
    error = refusal(price="Nowhere")
    assert error.violations[0].rule == "annotation"
    assert "NameError" in str(error)


def test_class_local_to_a_function_resolves_string_annotations() -> None:
    class LocalSide(Enum):
        BUY = "BUY"

    @dataclass
    class Order(Storable):
        side: "LocalSide" = LocalSide.BUY
        tags: "list[str]" = field(default_factory=list)

    assert record_schema(Order).encode(Order()) == {"side": "BUY", "tags": []}


def test_class_with_nested_enum_resolves_string_annotations() -> None:
    @dataclass
    class Order(Storable):
        class Way(Enum):
            SELL = "SELL"

        side: "Way" = Way.SELL

    assert record_schema(Order).encode(Order()) == {"side": "SELL"}


def test_class_whose_field_shadows_its_type_resolves_to_the_type() -> None:
    registry = ColumnRegistry()
    registry.define("date", date, description="Day of the tests", role="attribute", nullable=True)
    cls = type("Shadow", (), {"__annotations__": {"date": "date"}, "__module__": __name__, "date": None})
    assert registry.binding(cls).fields["date"].annotation is date


def test_class_defined_in_executed_code_resolves_string_annotations() -> None:
    source = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from enum import Enum\n"
        "from store.base import Storable\n"
        "class Way(Enum):\n    BUY = 'BUY'\n"
        "@dataclass\nclass Executed(Storable):\n    side: Way | None = None\n"
    )
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    assert [column.name for column in REGISTRY.columns_for(namespace["Executed"])] == ["side"]
