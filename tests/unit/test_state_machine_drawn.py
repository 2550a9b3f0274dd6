"""State machines as diagrams: what Mermaid draws."""

# A list on the class is how machines are written.
# ruff: noqa: RUF012

from __future__ import annotations

import enum

from store.state_machine import StateMachine, Transition
from tests.unit.orders import OrderLifecycle


def test_to_mermaid_draws_states_edges_and_conditions() -> None:
    lines = OrderLifecycle.to_mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> PENDING"]
    assert "    PENDING --> CANCELLED : by risk_manager" in lines
    assert "    SETTLED --> [*]" in lines
    (filled,) = [line for line in lines if line.startswith("    PENDING --> FILLED : ")]
    assert "quantity" in filled
    assert filled.endswith("starts settlement_workflow")
    assert "    FILLED --> [*]" not in lines


def test_to_mermaid_quotes_names_that_are_no_identifiers() -> None:
    class Machine(StateMachine):
        initial = 'on "hold"'
        transitions = [Transition('on "hold"', "end;\n[*] --> X")]

    lines = Machine.to_mermaid().splitlines()
    assert lines == [
        "stateDiagram-v2",
        '    state "on #34;hold#34;" as state1',
        '    state "end#59;#10;[*] --#62; X" as state2',
        "    [*] --> state1",
        "    state1 --> state2",
        "    state2 --> [*]",
    ]


def test_to_mermaid_keeps_words_of_its_own_apart_from_states() -> None:
    class Machine(StateMachine):
        initial = "on hold"
        transitions = [Transition("on hold", "state1"), Transition("state1", "NOTE"), Transition("NOTE", "a\rb")]

    assert Machine.to_mermaid().splitlines() == [
        "stateDiagram-v2",
        '    state "on hold" as state1',
        '    state "state1" as state2',
        '    state "NOTE" as state3',
        '    state "a#13;b" as state4',
        "    [*] --> state1",
        "    state1 --> state2",
        "    state2 --> state3",
        "    state3 --> state4",
        "    state4 --> [*]",
    ]


def test_to_mermaid_of_states_from_an_enum_writes_their_values() -> None:
    class State(str, enum.Enum):
        OPEN = "OPEN"
        DONE = "DONE"

    class Machine(StateMachine):
        initial = State.OPEN
        transitions = [Transition(State.OPEN, State.DONE)]

    assert Machine.to_mermaid().splitlines()[1:] == ["    [*] --> OPEN", "    OPEN --> DONE", "    DONE --> [*]"]
