"""Classes in a module with postponed annotations: every annotation arrives as a string."""

from __future__ import annotations

from dataclasses import KW_ONLY, InitVar, dataclass, field
from enum import Enum
from typing import ClassVar, Optional

import pytest

from store.base import Storable, record_schema
from store.registry import RegistryError


class Side(Enum):
    BUY = "BUY"
    SELL = "SELL"


@dataclass
class Order(Storable):
    symbol: str = ""
    side: Optional[Side] = None  # noqa: UP045 - the spelling under test
    tags: list[str] = field(default_factory=list)
    scale: InitVar[int] = 1
    default_side: ClassVar[Side] = Side.BUY
    _: KW_ONLY
    quantity: int | None = None


def test_module_class_with_postponed_annotations_is_read() -> None:
    assert list(record_schema(Order).fields) == ["symbol", "side", "tags", "quantity"]
    assert record_schema(Order).fields["side"].base_type is Side


@pytest.mark.parametrize("options", [{}, {"slots": True}, {"frozen": True}, {"slots": True, "frozen": True}])
def test_local_class_with_postponed_annotations_is_read(options: dict[str, bool]) -> None:
    class LocalSide(Enum):
        SELL = "SELL"

    @dataclass(**options)
    class Local(Storable):
        side: LocalSide = LocalSide.SELL
        quantity: int | None = None

    assert record_schema(Local).decode({"side": "SELL", "quantity": 2}) == Local(quantity=2)


def test_local_class_derived_elsewhere_keeps_what_its_annotations_meant() -> None:
    def define_base() -> type[Storable]:
        class HiddenSide(Enum):
            SELL = "SELL"

        @dataclass
        class Base(Storable):
            side: HiddenSide = HiddenSide.SELL

        return Base

    base = define_base()
    derived = dataclass(
        type("Derived", (base,), {"__module__": __name__, "__annotations__": {"price": "float"}, "price": 0.0})
    )
    assert record_schema(derived).encode(derived()) == {"side": "SELL", "price": 0.0}


def test_class_with_wrong_postponed_type_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"Bad\.price: expected float, found str"):

        @dataclass
        class Bad(Storable):
            price: str = ""
