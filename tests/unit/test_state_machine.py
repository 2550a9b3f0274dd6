"""State machines: what a definition may say, and what is allowed from where."""

# A list on the class is how machines are written.
# ruff: noqa: RUF012

from __future__ import annotations

import functools
import pickle
from typing import Any

import pytest

from reactive.expr import Const, Field
from store.errors import StoreError
from store.state_machine import (
    AllowedTransitions,
    GuardFailure,
    InvalidTransition,
    StateMachine,
    StateMachineError,
    Transition,
    TransitionNotPermitted,
)
from tests.unit.orders import (
    Desk,
    Order,
    OrderLifecycle,
    calls,
    hidden,
    order,
    settlement_workflow,
    wrapped_workflow,
)


async def notify(order: Order, from_state: str, to_state: str) -> None:
    """Never run: a transition does not wait for it."""


class Notifier:
    async def __call__(self, order: Order, from_state: str, to_state: str) -> None:
        """Never run either."""


def settle_nothing() -> None:
    """Not of an entity."""


def with_client(function: Any) -> Any:
    @functools.wraps(function)
    def called(obj: Any, from_state: str, to_state: str) -> Any:
        return function("client", obj, from_state, to_state)

    return called


@with_client
def handed_a_client(client: Any, obj: Any, from_state: str, to_state: str) -> None:
    """Takes three arguments, although what it wraps takes four."""


def problems(**attributes: Any) -> tuple[str, ...]:
    with pytest.raises(StateMachineError) as caught:
        type("Broken", (StateMachine,), attributes)
    assert "Broken" in str(caught.value)
    return caught.value.problems


def test_machine_knows_states_in_order() -> None:
    assert OrderLifecycle.states == ("PENDING", "FILLED", "CANCELLED", "SETTLED")
    assert OrderLifecycle.initial == "PENDING"
    assert [repr(edge) for edge in OrderLifecycle.transitions] == [
        "Transition('PENDING', 'FILLED')",
        "Transition('PENDING', 'CANCELLED')",
        "Transition('FILLED', 'SETTLED')",
    ]


def test_machine_keeps_what_a_transition_declares() -> None:
    edge = OrderLifecycle.edge("PENDING", "FILLED")
    calls.clear()
    for hook in (edge.action, edge.on_exit, edge.on_enter):
        assert hook is not None
        hook(None, "a", "b")
    assert calls == [("action", "a", "b"), ("exit", "a", "b"), ("enter", "a", "b")]
    assert edge.start_workflow is settlement_workflow
    assert OrderLifecycle.edge("PENDING", "CANCELLED").allowed_by == ("risk_manager",)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({}, "initial: expected the name of a state, found None"),
        ({"initial": ""}, "initial: expected the name of a state"),
        ({"initial": "A\x00", "transitions": []}, "initial: expected the name of a state"),
        ({"initial": "A", "transitions": "A"}, "transitions: expected a list of Transition"),
        ({"initial": "A", "transitions": None}, "transitions: expected a list of Transition"),
        ({"initial": "A", "transitions": [("A", "B")]}, "transitions: expected Transition, found ('A', 'B') (tuple)"),
        (
            {"initial": "A", "transitions": [Transition("A", "B"), Transition("A", "B")]},
            "transitions: the edge 'A' -> 'B' is given twice",
        ),
        (
            {"initial": "OPENED", "transitions": [Transition("OPEN", "DONE")]},
            "initial: unknown state 'OPENED'; did you mean 'OPEN'?",
        ),
        (
            {"initial": "A", "transitions": [Transition("A", "B"), Transition("C", "B")]},
            "states: 'C' cannot be reached from 'A'",
        ),
        (
            {"initial": "A", "transitions": [Transition("A", "B"), Transition("C", "D"), Transition("D", "C")]},
            "states: 'C' cannot be reached from 'A'",
        ),
        (
            {"initial": "A", "states": ["A", "DONE"], "transitions": [Transition("A", "DNOE")]},
            "transitions: unknown state 'DNOE'; did you mean 'DONE'?",
        ),
        (
            {"initial": "A", "states": ["A", "B", "C"], "transitions": [Transition("A", "B")]},
            "states: 'C' cannot be reached from 'A'",
        ),
        ({"initial": "A", "states": "AB", "transitions": []}, "states: expected a list of names"),
        ({"initial": "A", "states": ["B"], "transitions": []}, "initial: unknown state 'A'"),
        ({"initial": "A", "states": ["A", "A"], "transitions": []}, "states: expected a list of names"),
    ],
)
def test_machine_malformed_is_refused_when_it_is_defined(attributes: dict[str, Any], problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(**attributes)), problems(**attributes)


def test_machine_malformed_in_several_ways_lists_all() -> None:
    edges = [Transition("A", "B"), Transition("C", "D"), Transition("A", "B"), 5]
    assert len(problems(initial="", transitions=edges)) == 3


def test_machine_with_a_single_state_is_accepted() -> None:
    class Single(StateMachine):
        initial = "ONLY"

    assert (Single.states, Single.allowed_transitions("ONLY")) == (("ONLY",), [])


def test_machine_with_a_loop_and_a_self_edge_is_accepted() -> None:
    class Loop(StateMachine):
        initial = "A"
        transitions = [Transition("A", "A"), Transition("A", "B"), Transition("B", "A")]

    assert Loop.allowed_transitions("A") == ["A", "B"]


def test_machine_derived_extends_only_by_saying_so() -> None:
    class Extended(OrderLifecycle):
        transitions = [*OrderLifecycle.transitions, Transition("CANCELLED", "ARCHIVED")]

    assert Extended.states[-1] == "ARCHIVED"
    assert "ARCHIVED" not in OrderLifecycle.states
    with pytest.raises(InvalidTransition):
        OrderLifecycle.edge("CANCELLED", "ARCHIVED")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("", "B"), "from_state: expected the name of a state"),
        (("A", None), "to_state: expected the name of a state"),
        (("A", "B\x00"), "to_state: expected the name of a state"),
        (("A\ud800", "B"), "from_state: expected the name of a state"),
        (("A", "é" * 128), "to_state: expected at most 255 bytes, found 256"),
    ],
)
def test_transition_with_a_bad_state_is_refused(arguments: Any, problem: str) -> None:
    with pytest.raises(StateMachineError, match=problem):
        Transition(*arguments)


@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("guard", lambda obj: True, "guard: expected an expression"),
        ("guard", True, "guard: expected an expression"),
        ("guard", Field, "guard: expected an expression"),
        ("action", "log", "action: expected a function"),
        ("action", notify, "action: expected a plain function, found an async one"),
        ("on_exit", Notifier(), "on_exit: expected a plain function, found an async one"),
        ("on_enter", functools.partial(notify), "on_enter: expected a plain function, found an async one"),
        ("on_exit", 5, "on_exit: expected a function"),
        ("action", lambda obj: None, "action: expected a function of (obj, from_state, to_state), found <function"),
        ("on_enter", lambda *, obj: None, "on_enter: expected a function of (obj, from_state, to_state)"),
        ("start_workflow", settle_nothing, "start_workflow: expected a function of (entity_id), found <function"),
        ("on_enter", [], "on_enter: expected a function"),
        ("start_workflow", "settle", "start_workflow: expected a function"),
        ("start_workflow", lambda entity_id: None, "is a lambda and cannot be imported after a restart"),
        ("start_workflow", functools.partial(settlement_workflow), "has no module and name"),
        ("start_workflow", Desk().settle_here, "is not what importing that name gives"),
        ("start_workflow", hidden, "is not what importing that name gives"),
        ("allowed_by", "risk_manager", "write ['risk_manager']"),
        ("allowed_by", [], "at least one user name"),
        ("allowed_by", ["a", None], "at least one user name"),
        ("allowed_by", 5, "expected a list of user names"),
        ("allowed_by", ["a\x00"], "at least one user name"),
        ("allowed_by", ["\ud800"], "at least one user name"),
    ],
)
def test_transition_with_a_bad_argument_is_refused(attribute: str, value: Any, problem: str) -> None:
    with pytest.raises(StateMachineError) as caught:
        Transition("A", "B", **{attribute: value})
    assert problem in str(caught.value)
    assert len(caught.value.problems) == 1


def test_transition_with_a_local_workflow_is_refused() -> None:
    def local(entity_id: str) -> None: ...

    with pytest.raises(StateMachineError, match="local to a function"):
        Transition("A", "B", start_workflow=local)


@pytest.mark.parametrize(
    "hook", [print, functools.partial(max, 0), lambda *states: None, lambda obj, one, other, more=0: 0, handed_a_client]
)
def test_transition_with_a_hook_that_takes_its_three_arguments_is_accepted(hook: Any) -> None:
    assert Transition("A", "B", action=hook).action is hook


@pytest.mark.parametrize("workflow", [settlement_workflow, wrapped_workflow, Desk.settle])
def test_transition_with_an_importable_workflow_is_accepted(workflow: Any) -> None:
    assert Transition("A", "B", start_workflow=workflow).start_workflow is workflow


def test_edge_missing_says_where_one_can_go() -> None:
    with pytest.raises(InvalidTransition) as caught:
        OrderLifecycle.edge("PENDING", "SETTLED")
    error = caught.value
    assert str(error) == (
        "OrderLifecycle: no transition 'PENDING' -> 'SETTLED'; from 'PENDING' it can go to FILLED, CANCELLED"
    )
    assert (error.machine, error.from_state, error.to_state) == ("OrderLifecycle", "PENDING", "SETTLED")
    assert error.allowed == ("FILLED", "CANCELLED")
    assert isinstance(error, (StoreError, ValueError))


@pytest.mark.parametrize(
    ("state", "target", "told"),
    [
        ("SETTLED", "PENDING", "'SETTLED' is final"),
        ("GONE", "PENDING", "the object stands in 'GONE', which OrderLifecycle does not have"),
        ("PENDING", "FILED", "did you mean 'FILLED'?"),
        ("PENDING", "x", "the states are PENDING, FILLED, CANCELLED, SETTLED"),
        (None, "FILLED", "write() puts it into 'PENDING'"),
    ],
)
def test_edge_missing_for_other_reasons_says_which(state: str | None, target: str, told: str) -> None:
    with pytest.raises(InvalidTransition) as caught:
        OrderLifecycle.edge(state, target)
    assert told in str(caught.value)


def test_check_transition_that_passes_returns_the_edge() -> None:
    edge = OrderLifecycle.check_transition(order(quantity=5), "FILLED", user="anybody")
    assert edge is OrderLifecycle.edge("PENDING", "FILLED")
    assert OrderLifecycle().check_transition(order(quantity=5), "FILLED") is edge


@pytest.mark.parametrize(("quantity", "shown"), [(0, "quantity=0"), (-1, "quantity=-1"), (None, "quantity=None")])
def test_check_transition_with_a_guard_not_true_fails_with_the_values(quantity: Any, shown: str) -> None:
    with pytest.raises(GuardFailure) as caught:
        OrderLifecycle.check_transition(order(quantity=quantity), "FILLED")
    assert shown in str(caught.value)
    assert "is not true" in str(caught.value)
    assert caught.value.values == {"quantity": quantity}
    assert "quantity" in caught.value.guard


def test_check_transition_with_a_guard_that_raises_fails_closed() -> None:
    class Fragile:
        def eval(self, ctx: Any) -> Any:
            raise ZeroDivisionError("no")

        def fields(self) -> set[str]:
            return {"price"}

    class Machine(StateMachine):
        initial = "A"
        transitions = [Transition("A", "B", guard=Fragile())]

    with pytest.raises(GuardFailure, match="failed with ZeroDivisionError: no") as caught:
        Machine.check_transition(order("A"), "B")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_check_transition_by_another_user_is_not_permitted() -> None:
    with pytest.raises(TransitionNotPermitted) as caught:
        OrderLifecycle.check_transition(order(), "CANCELLED", user="alice")
    error = caught.value
    assert str(error) == "OrderLifecycle: 'alice' may not take 'PENDING' -> 'CANCELLED'; allowed: risk_manager"
    assert (error.user, error.allowed_by) == ("alice", ("risk_manager",))
    assert isinstance(error, PermissionError)
    assert OrderLifecycle.check_transition(order(), "CANCELLED", user="risk_manager")


def test_check_transition_asks_permission_before_the_guard() -> None:
    class Machine(StateMachine):
        initial = "A"
        transitions = [Transition("A", "B", guard=Field("price") > Const(0), allowed_by=["bob"])]

    with pytest.raises(TransitionNotPermitted):
        Machine.check_transition(order("A"), "B", user="alice")


@pytest.mark.parametrize("kind", [InvalidTransition, GuardFailure, TransitionNotPermitted])
def test_transition_errors_survive_pickling(kind: type[Exception]) -> None:
    facts = {"from_state": "A", "to_state": "B"}
    copy: Any = pickle.loads(pickle.dumps(kind("told", **facts)))  # type: ignore[call-arg]
    assert (str(copy), copy.from_state, copy.to_state) == ("told", "A", "B")


def test_allowed_transitions_of_a_state_name_are_its_edges() -> None:
    allowed = OrderLifecycle.allowed_transitions("PENDING")
    assert allowed == ["FILLED", "CANCELLED"]
    assert isinstance(allowed, AllowedTransitions)
    assert set(allowed.refused) == {"PENDING", "SETTLED"}


def test_allowed_transitions_of_an_object_explain_each_refusal() -> None:
    allowed = OrderLifecycle.allowed_transitions(order(quantity=0), user="alice")
    assert allowed == []
    assert allowed.refused["FILLED"].startswith("guard of 'PENDING' -> 'FILLED' is not true")
    assert allowed.refused["CANCELLED"] == "'alice' may not take 'PENDING' -> 'CANCELLED'; allowed: risk_manager"
    assert allowed.refused["SETTLED"].startswith("no transition 'PENDING' -> 'SETTLED'")
    assert set(allowed.refused) == set(OrderLifecycle.states)


def test_allowed_transitions_of_an_object_that_may_go_are_listed() -> None:
    assert OrderLifecycle.allowed_transitions(order(quantity=1), user="risk_manager") == ["FILLED", "CANCELLED"]


def test_allowed_transitions_of_an_unwritten_object_are_none() -> None:
    allowed = OrderLifecycle.allowed_transitions(order(None, quantity=1))
    assert allowed == []
    assert all("write() puts it into 'PENDING'" in reason for reason in allowed.refused.values())


def test_allowed_transitions_of_an_unknown_state_are_an_error() -> None:
    with pytest.raises(InvalidTransition, match="did you mean 'PENDING'"):
        OrderLifecycle.allowed_transitions("PENDNG")


@pytest.mark.parametrize("target", [["FILLED"], {}, None, 5])
def test_edge_to_what_is_no_name_is_refused(target: Any) -> None:
    with pytest.raises(InvalidTransition, match="no state"):
        OrderLifecycle.edge("PENDING", target)


@pytest.mark.parametrize("found", [None, 5, ["PENDING"]])
def test_allowed_transitions_of_what_is_no_object_is_refused(found: Any) -> None:
    with pytest.raises(StateMachineError, match="expected a stored object or the name of a state"):
        OrderLifecycle.allowed_transitions(found)
