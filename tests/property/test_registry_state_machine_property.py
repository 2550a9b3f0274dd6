"""Random state machines: accepted exactly when every state can be reached, and consistent in all they answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import InvalidTransition
from store.state_machine import StateMachine, StateMachineError, Transition
from tests.rounds import rounds

pytestmark = pytest.mark.fuzz

NAMES = "ABCDE"
EDGES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=8, unique=True)


def reachable(edges: list[tuple[str, str]]) -> set[str]:
    """Close the edges transitively, by brute force: every chain of at most as many edges as there are states."""
    found = {"A"}
    for _ in NAMES:
        found |= {target for source, target in edges if source in found}
    return found


@settings(max_examples=rounds(200, 10_000))
@given(EDGES)
def test_machine_is_accepted_exactly_when_every_state_can_be_reached(edges: list[tuple[str, str]]) -> None:
    attributes: dict[str, Any] = {"initial": "A", "transitions": [Transition(*pair) for pair in edges]}
    mentioned = {state for pair in edges for state in pair}
    if "A" not in mentioned or mentioned - reachable(edges):
        with pytest.raises(StateMachineError):
            type("Drawn", (StateMachine,), attributes)
        return
    machine = type("Drawn", (StateMachine,), attributes)
    assert set(machine.states) == mentioned
    for source in machine.states:
        allowed = machine.allowed_transitions(source)
        assert set(allowed) == {target for start, target in edges if start == source}
        assert set(allowed) | set(allowed.refused) == mentioned
        assert not set(allowed) & set(allowed.refused)
        for target in machine.states:
            if target in allowed:
                assert repr(machine.edge(source, target)) == f"Transition({source!r}, {target!r})"
            else:
                with pytest.raises(InvalidTransition):
                    machine.edge(source, target)
        drawn = f"    {source} --> [*]" in machine.to_mermaid().splitlines()
        assert drawn == (not allowed)
