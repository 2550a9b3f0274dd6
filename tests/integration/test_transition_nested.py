"""Transitions made by the side effects of transitions: of the object itself, and of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from reactive.expr import Const, Field
from store.base import Storable
from store.client import StoreClient
from store.errors import GuardFailure, InvalidTransition, StoreError
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import whole


class Desk:
    client: ClassVar[StoreClient]
    other: ClassVar[Any] = None
    log: ClassVar[list[tuple[str, str]]] = []


def go_on(obj: Any, from_state: str, to_state: str) -> None:
    Desk.client.transition(obj, "CHECKED")


def go_on_and_fail(obj: Any, from_state: str, to_state: str) -> None:
    go_on(obj, from_state, to_state)
    Desk.client.transition(Desk.other, "SENT")
    raise RuntimeError("refused")


def note(obj: Any, from_state: str, to_state: str) -> None:
    Desk.log.append((to_state, obj.state))


class Lifecycle(StateMachine):
    initial = "NEW"
    transitions = (
        Transition("NEW", "SENT", on_enter=note),
        Transition("NEW", "TAKEN", action=go_on, on_enter=note),
        Transition("NEW", "REFUSED", action=go_on_and_fail, on_enter=note),
        Transition("TAKEN", "CHECKED", on_enter=note),
        Transition("REFUSED", "CHECKED", on_enter=note),
        Transition("CHECKED", "CLOSED", on_enter=lambda obj, f, t: Desk.client.transition(obj, "NEW")),
        Transition("CLOSED", "NEW", on_enter=note),
    )


@dataclass
class Ticket(Storable, state_machine=Lifecycle):
    symbol: str = "AAPL"


@pytest.fixture
def client(module_store_db: StoreDatabase) -> Iterator[StoreClient]:
    Desk.client, Desk.log = module_store_db.client(), []
    yield Desk.client


def written(client: StoreClient) -> Ticket:
    obj = Ticket()
    client.write(obj)
    return obj


def states(client: StoreClient, obj: Ticket) -> list[str | None]:
    return [entry["state"] for entry in client.audit(str(obj.entity_id))]


def test_action_that_moves_its_object_on_commits_both_states_at_once(client: StoreClient) -> None:
    obj = written(client)
    client.transition(obj, "TAKEN")
    assert (obj.state, obj.version) == ("CHECKED", 3)
    first, second, third = client.history(Ticket, str(obj.entity_id))
    assert (first.state, second.state, third.state) == ("NEW", "TAKEN", "CHECKED")
    assert Desk.log == [("TAKEN", "CHECKED"), ("CHECKED", "CHECKED")]  # after the one commit, in order


def test_action_that_fails_after_transitions_takes_all_of_them_back(client: StoreClient) -> None:
    obj, Desk.other = written(client), written(client)
    before = whole(obj), whole(Desk.other)
    with pytest.raises(RuntimeError):
        client.transition(obj, "REFUSED")
    assert (whole(obj), whole(Desk.other)) == before
    assert states(client, obj) == states(client, Desk.other) == ["NEW"]
    assert Desk.log == []


def test_hook_that_moves_its_object_on_does_so_in_a_transaction_of_its_own(client: StoreClient) -> None:
    obj = written(client)
    client.transition(obj, "TAKEN")
    client.transition(obj, "CLOSED")
    assert (obj.state, obj.version) == ("NEW", 5)
    assert states(client, obj) == ["NEW", "TAKEN", "CHECKED", "CLOSED", "NEW"]


def test_transition_of_what_is_no_stored_object_is_refused(client: StoreClient) -> None:
    with pytest.raises(StoreError, match="the store holds instances of Storable classes, not 'x'"):
        client.transition("x", "SENT")  # type: ignore[arg-type]


def test_guard_over_a_missing_value_does_not_let_through(client: StoreClient) -> None:
    class Guarded(StateMachine):
        initial = "NEW"
        transitions = (Transition("NEW", "SENT", guard=Field("strength") > Const(0)),)

    @dataclass
    class Idea(Storable, state_machine=Guarded):
        strength: float | None = None

    idea = Idea()
    client.write(idea)
    with pytest.raises(GuardFailure, match="strength=None"):
        client.transition(idea, "SENT")
    idea.strength = 0.5
    client.transition(idea, "SENT")
    with pytest.raises(InvalidTransition, match="'SENT' is final"):
        client.transition(idea, "NEW")
