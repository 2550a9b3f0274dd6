"""State machines attached to classes: by attribute, class argument and class body."""

# A list on the class is how machines are written.
# ruff: noqa: RUF012

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.state_machine import StateMachine, StateMachineError, Transition
from tests.unit.orders import Order, OrderLifecycle


def test_attach_by_attribute_class_argument_and_class_body_is_the_same() -> None:
    @dataclass
    class ByArgument(Order, state_machine=OrderLifecycle):
        pass

    @dataclass(slots=True)
    class ByArgumentWithSlots(Order, state_machine=OrderLifecycle):
        pnl: float = 0.0

    @dataclass
    class ByBody(Order):
        _state_machine = OrderLifecycle

    @dataclass
    class ByAttribute(Order):
        pass

    ByAttribute._state_machine = OrderLifecycle
    for cls in (ByArgument, ByArgumentWithSlots, ByBody, ByAttribute):
        assert cls._state_machine is OrderLifecycle
    assert Order._state_machine is None


def test_attach_of_an_instance_or_none_is_accepted() -> None:
    @dataclass
    class Attached(Order):
        pass

    machine = OrderLifecycle()
    Attached._state_machine = machine
    assert Attached._state_machine is machine
    Attached._state_machine = None
    assert Attached._state_machine is None


def test_attach_of_the_engine_is_left_alone() -> None:
    @dataclass
    class Attached(Order):
        pass

    Attached._workflow_engine = engine = object()
    assert Attached._workflow_engine is engine


@pytest.mark.parametrize("machine", [StateMachine, "OrderLifecycle", object(), dict, Transition("A", "B")])
def test_attach_of_no_machine_is_refused(machine: Any) -> None:
    @dataclass
    class Attached(Order):
        pass

    with pytest.raises(StateMachineError, match="expected a subclass of StateMachine"):
        Attached._state_machine = machine
    assert Attached._state_machine is None


def test_attach_of_a_machine_whose_guard_reads_an_unknown_field_is_refused() -> None:
    class Machine(StateMachine):
        initial = "A"
        transitions = [Transition("A", "B", guard=Field("quantty") > Const(0))]

    @dataclass
    class Attached(Order):
        pass

    with pytest.raises(
        StateMachineError, match=r"reads 'quantty', which Attached does not have; did you mean 'quantity'"
    ):
        Attached._state_machine = Machine
    with pytest.raises(StateMachineError, match="quantty"):

        class ByArgument(Order, state_machine=Machine):
            pass

    with pytest.raises(StateMachineError, match="quantty"):

        class ByBody(Order):
            _state_machine = Machine


def test_subclass_inherits_the_machine() -> None:
    class Base(Order, state_machine=OrderLifecycle):
        pass

    class Derived(Base):
        pass

    assert Derived._state_machine is OrderLifecycle
