"""Calls of a client with what is no object of the store, or an object that is not what it seems."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from store.base import Storable
from store.client import StoreClient
from store.errors import InvalidValue, StoreError
from tests.integration.samples import Position, Ticket

pytestmark = pytest.mark.both_servers


@dataclass(frozen=True)
class FixedQuote(Storable):
    symbol: str = "AAPL"
    price: float = 0.0


@pytest.mark.parametrize("thing", [None, 5, "Position", Position, {"quantity": 1}])
@pytest.mark.parametrize("call", ["write", "update", "delete"])
def test_mutating_call_with_something_else_is_a_store_error(client: StoreClient, call: str, thing: Any) -> None:
    with pytest.raises(StoreError, match="Storable"):
        getattr(client, call)(thing)


@pytest.mark.parametrize(
    ("thing", "hint"),
    [(Position, r": write Position\(\.\.\.\)$"), ([Position()], r": write_many\(\) and update_many\(\) take several$")],
)
def test_mutating_call_with_a_class_or_several_objects_says_what_to_write(
    client: StoreClient, thing: Any, hint: str
) -> None:
    with pytest.raises(StoreError, match=hint):
        client.write(thing)


def test_update_of_what_replace_made_of_a_frozen_object_says_why_it_is_unknown(client: StoreClient) -> None:
    quote = FixedQuote("AAPL")
    client.write(quote)
    with pytest.raises(StoreError, match=r"write\(\) it first; .* needs a FixedQuote that is not frozen"):
        client.update(replace(quote, symbol="MSFT"))
    with pytest.raises(StoreError, match=r"write\(\) it first$"):
        client.update(Position())


@pytest.mark.parametrize("call", ["write_many", "update_many"])
def test_call_for_several_objects_with_one_says_how_to_write_it(client: StoreClient, call: str) -> None:
    with pytest.raises(StoreError, match=rf"{call}\(\) takes several objects, not one Position: write"):
        getattr(client, call)(Position())


@pytest.mark.parametrize("thing", [None, 5])
@pytest.mark.parametrize("call", ["write_many", "update_many"])
def test_call_for_several_objects_with_none_is_a_store_error(client: StoreClient, call: str, thing: Any) -> None:
    with pytest.raises(StoreError, match=rf"{call}\(\) takes several objects, not {thing} "):
        getattr(client, call)(thing)


@pytest.mark.parametrize("call", ["write", "update", "update_many", "transition"])
def test_attribute_that_misspells_a_field_is_refused_and_nothing_is_stored(client: StoreClient, call: str) -> None:
    obj = Ticket("one", 1)
    if call != "write":
        client.write(obj)
    obj.quantiy = 200  # type: ignore[attr-defined]
    with pytest.raises(InvalidValue, match=r"Ticket\.quantiy: set, but no field of this class; did you mean"):
        if call == "transition":
            client.transition(obj, "CLOSED")
        else:
            getattr(client, call)([obj] if call == "update_many" else obj)
    assert obj.version == (None if call == "write" else 1)
    del obj.quantiy  # type: ignore[attr-defined]
    obj.seen_by_risk = True  # type: ignore[attr-defined]  # what resembles no field is the program's own
    (client.write if call == "write" else client.update)(obj)
    assert obj.version == (1 if call == "write" else 2)
