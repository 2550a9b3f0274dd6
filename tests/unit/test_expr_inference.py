"""Kinds of fields and nodes: what classes declare, what binding refuses, and expressions that live with their class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest

from reactive.errors import CycleError, ExpressionError, ExpressionTypeError, UnknownFieldError, UnsupportedNode
from reactive.expr import Coalesce, Const, Expr, Field, Func, If, from_json
from reactive.expr.inference import Inference
from reactive.expr.kinds import Declared, declared
from reactive.expr.named import named_expression, named_expressions, with_named


class Side(Enum):
    BUY = "B"


class Level(IntEnum):
    LOW = 1


class Mixed(Enum):
    ONE = 1
    TWO = "two"


@pytest.mark.parametrize(
    ("annotation", "kind", "nullable"),
    [
        (int, "int", False),
        (float, "float", False),
        (bool, "bool", False),
        (str, "str", False),
        (Decimal, "decimal", False),
        (date, "date", False),
        (datetime, "datetime", False),
        (UUID, "str", False),
        (Side, "str", False),
        (Level, "int", False),
        (Mixed, "json", False),
        (float | None, "float", True),
        (Optional[str], "str", True),  # noqa: UP045
        (int | str, "json", False),
        (Annotated[float, "USD"], "float", False),
        (NewType("Price", float), "float", False),
        (Literal["BUY", "SELL"], "str", False),
        (list[str], "json", False),
        (dict[str, int], "json", False),
        (Any, None, None),
        ("float", "float", None),
        (None, None, None),
    ],
)
def test_declared_reads_annotations(annotation: object, kind: str | None, nullable: bool | None) -> None:
    assert declared(annotation) == Declared(kind, nullable)


def test_declared_refuses_a_text_that_is_no_kind() -> None:
    with pytest.raises(TypeError, match="'flot' is not a kind of value"):
        declared("flot")


@dataclass
class Base:
    symbol: str = ""

    @property
    def state(self) -> str | None:
        return None

    @property
    def _hidden(self) -> int:
        return 0


@dataclass
class Position(Base):
    quantity: int = 0
    price: float | None = None
    amount: Decimal = Decimal(0)
    settled: bool = False
    tags: list[str] = field(default_factory=list)
    at: datetime | None = None

    expressions = {  # noqa: RUF012
        "value": Field("price") * Field("quantity"),
        "rich": Field("value") > 1000,
        "label": If(Field("rich"), Field("symbol"), "-"),
    }


def test_field_of_knows_the_declared_type() -> None:
    assert repr(Field.of(Position, "price")) == "Field('price', 'float', nullable=True)"
    assert repr(Field.of(Position, "symbol")) == "Field('symbol', 'str', nullable=False)"
    assert repr(Field.of(Position, "state")) == "Field('state', 'str', nullable=True)"
    assert repr(Field.of({"x": int}, "x")) == "Field('x', 'int', nullable=False)"


def test_annotations_that_cannot_be_resolved_here_tell_nothing() -> None:
    class Local:
        pass

    @dataclass
    class Holder(Base):
        price: float = 0.0
        local: Local | None = None

        @property
        def other(self) -> Local:
            return Local()

    assert repr(Field.of(Holder, "price")) == "Field('price', 'float', nullable=False)"
    assert repr(Field.of(Holder, "symbol")) == "Field('symbol', 'str', nullable=False)"
    assert repr(Field.of(Holder, "local")) == "Field('local')"
    assert repr(Field.of(Holder, "other")) == "Field('other')"


def test_field_of_an_unknown_name_shows_the_nearest() -> None:
    with pytest.raises(UnknownFieldError, match=r"Position has no field 'prise' \(did you mean 'price'\?\)") as caught:
        Field.of(Position, "prise")
    assert caught.value.name == "prise"
    assert "_hidden" not in caught.value.known
    with pytest.raises(LookupError, match="the mapping of types has no field"):
        Field.of({"x": int}, "y")


def test_bind_refuses_what_is_no_schema() -> None:
    with pytest.raises(ExpressionTypeError, match="expected a dataclass"):
        Field("x").bind(5)


ILL_TYPED: list[tuple[Callable[[Callable[[str], Field]], Expr], str]] = [
    (lambda f: f("symbol") + 1, "takes numbers, but Field\\('symbol'.* is str"),
    (lambda f: -f("settled"), "takes a number, but .* is bool"),
    (lambda f: Func("sqrt", f("at")), "takes numbers, but .* is datetime"),
    (lambda f: f("quantity") & f("settled"), "takes conditions, but .* is int"),
    (lambda f: ~f("price"), "takes a condition"),
    (lambda f: If(f("price"), 1, 2), "the condition is float, not bool"),
    (lambda f: If(f("settled"), f("quantity"), f("symbol")), "its values are int and str"),
    (lambda f: Coalesce([f("symbol"), 0]), "its values are str and int"),
    (lambda f: f("quantity").length(), "takes strings, but .* is int"),
    (lambda f: f("symbol").concat(f("quantity")), "takes strings, but .* is int"),
    (lambda f: f("symbol") > 5, "str and int do not compare with >"),
    (lambda f: f("at") == date(2026, 2, 22), "datetime and date do not compare with =="),
    (lambda f: f("settled") > f("settled"), "bool and bool do not compare with >"),
    (lambda f: f("tags") == "a", "json and str do not compare with =="),
    (lambda f: f("tags").length(), "is json"),
    (lambda f: If(f("symbol").contains("a"), f("symbol"), None) * 2, "is str"),
]


@pytest.mark.parametrize(("build", "message"), ILL_TYPED)
def test_bind_refuses_ill_typed_trees_with_the_node(
    build: Callable[[Callable[[str], Field]], Expr], message: str
) -> None:
    expr = build(Field)
    with pytest.raises(ExpressionTypeError, match=message) as caught:
        (expr.is_null() | False).bind(Position)
    assert caught.value.node is not None
    assert not caught.value.node.equals(expr.is_null())


@pytest.mark.parametrize(("build", "message"), ILL_TYPED)
def test_ill_typed_node_of_declared_fields_is_refused_when_it_is_built(
    build: Callable[[Callable[[str], Field]], Expr], message: str
) -> None:
    with pytest.raises(ExpressionTypeError, match=message):
        build(lambda name: Field.of(Position, name))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Field("x") + "a", r"takes numbers, but Const\('a'\) is str; strings are joined by concat"),
        (lambda: 2 * Field("s").upper(), "takes numbers, but .* is str"),
        (lambda: Field("s").contains("a") + 1, "is bool"),
        (lambda: (Field("price") + 1).upper(), "is float"),
        (lambda: If(Field("f"), 1, "a"), "its values are int and str"),
        (lambda: Field("f") > False, "None and bool do not compare with >"),
        (lambda: Field("f") & 5, "takes conditions, but .* is int"),
        (lambda: Field("s").contains(5), "takes strings, but .* is int"),
        (lambda: from_json('{"version": 1, "expr": {"node": "UnaryOp", "op": "neg", "args": '
                           '[{"node": "Const", "value": "a"}]}}'), "expr: .*takes a number"),
    ],
)  # fmt: skip
def test_ill_typed_node_of_constants_is_refused_when_it_is_built(build: Callable[[], Expr], message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        build()


@pytest.mark.parametrize(
    ("expr", "kind"),
    [
        (Field("quantity") * 2, "float"),
        (Coalesce([Field("quantity"), 0]), "int"),
        (If(Field("settled"), Field("amount"), Field("quantity")), "decimal"),
        (If(Field("settled"), Field("amount"), 0.5), "float"),
        (Field("symbol").length(), "int"),
        (Field("symbol").concat("x"), "str"),
        (Field("tags").is_null(), "bool"),
        (Field("at") > Field("at"), "bool"),
        (Const(None), None),
        (Coalesce([None, Field("at")]), "datetime"),
    ],
)
def test_kind_of_a_bound_tree(expr: Expr, kind: str | None) -> None:
    assert Inference().kind(expr.bind(Position)) == kind


def test_node_of_somebody_elses_is_refused_when_it_is_built() -> None:
    class Odd(Expr):
        def __init__(self) -> None:
            self._init((Field("x"),))

    with pytest.raises(UnsupportedNode, match="Odd is not a node of this library"):
        Odd()


@pytest.mark.parametrize("variable", ["", "$", "a b", "$pos;", "$pos.x", "1a", None])
def test_to_pure_refuses_what_is_no_variable(variable: Any) -> None:
    with pytest.raises(ExpressionError, match="is not a variable"):
        Field("x").to_pure(variable)


def test_named_expressions_are_put_into_one_another() -> None:
    assert named_expressions(Position).keys() == {"value", "rich", "label"}
    label = named_expression(Position, "label")
    assert label.fields() == {"price", "quantity", "symbol"}
    assert label.bind(Position).eval({"price": 20.0, "quantity": 100, "symbol": "X"}) == "X"


def test_named_expressions_of_a_subclass_win_over_its_bases() -> None:
    class Special(Position):
        expressions = {"value": Field("quantity") * 2}  # noqa: RUF012

    assert named_expression(Special, "rich").fields() == {"quantity"}
    assert named_expression(Position, "rich").fields() == {"price", "quantity"}


def test_named_expression_that_is_missing_circular_or_none() -> None:
    class Circular:
        expressions = {"a": Field("b") + 1, "b": Field("a")}  # noqa: RUF012

    class Wrong:
        expressions = {"a": 5}  # noqa: RUF012

    with pytest.raises(UnknownFieldError, match="did you mean 'value'"):
        named_expression(Position, "valeu")
    with pytest.raises(CycleError, match="a -> b -> a"):
        named_expression(Circular, "a")
    with pytest.raises(ExpressionTypeError, match=r"Wrong\.expressions\['a'\] is not an expression"):
        named_expressions(Wrong)


def test_named_expressions_are_read_by_eval_and_put_in_by_bind() -> None:
    position = Position(symbol="X", quantity=100, price=20.0)
    assert Field("label").eval(position) == "X"
    assert (Field("value") / 2).eval(position) == 1000.0
    assert Field("rich").bind(Position).fields() == {"price", "quantity"}
    with pytest.raises(UnknownFieldError, match=r"has no field 'lable' \(did you mean 'label'\?\)"):
        Field("lable").eval(position)


def test_name_of_a_field_and_of_an_expression_is_the_fields() -> None:
    @dataclass
    class Both(Position):
        value: float = 7.0

    assert Field("value").eval(Both(quantity=2, price=3.0)) == 7.0
    assert named_expression(Both, "value").eval({"price": 3.0, "quantity": 2}) == 6.0
    assert named_expression(Both, "rich").fields() == {"value"}
    assert with_named(Field("value") > 1, Both).fields() == {"value"}
