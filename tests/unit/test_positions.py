"""Which trades of a store bear on a position, and on which."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone
from typing import Any

import pytest

from server.errors import TradeLeftOut
from server.positions import Contract, execution_of, fold
from store.base import Metadata
from store.models import Trade

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
EARLIER = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)


def stored(**values: Any) -> Trade:
    fields = {"symbol": "AAPL", "quantity": 100, "price": 150.0, "side": "BUY", "book": "EQ-US"} | values
    trade = Trade(**fields)
    trade._bind(Metadata("id", 1, "alice", "alice", NOON, NOON, None, None, "CREATED"), {})
    return trade


def test_contract_names_of_different_contracts_differ() -> None:
    option = Contract("AAPL", "CALL", 240.0, date(2026, 3, 20))
    others = [
        Contract("AAPL"),
        option._replace(option_type="PUT"),
        option._replace(strike=240.0000001),
        option._replace(expiry_date=date(2126, 3, 20)),
        option._replace(symbol="MSFT"),
    ]
    assert option.name == "AAPL 260320C240"
    assert len({contract.name for contract in (option, *others)}) == 6


def test_execution_is_signed_by_the_side_and_timed_by_the_timestamp() -> None:
    bought, sold = execution_of(stored()), execution_of(stored(side="SELL", timestamp=EARLIER))
    assert (bought.quantity, bought.price, bought.time) == (100.0, 150.0, NOON)
    assert (sold.quantity, sold.time) == (-100.0, EARLIER)
    assert bought.key == ("EQ-US", Contract("AAPL"), "USD")


def test_execution_of_an_option_counts_a_hundred_shares() -> None:
    terms = {"option_type": "PUT", "strike": 140, "expiry_date": date(2026, 6, 19)}
    open_, close = (
        stored(**terms, price=3.0),
        stored(**terms, price=5.0, side="SELL", timestamp=datetime.now(timezone.utc)),
    )
    ((key, held),) = fold([execution_of(open_), execution_of(close)]).items()
    assert key.contract.name == "AAPL 260619P140"
    assert (held.quantity, held.realized_pnl) == (0.0, 20_000.0)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"side": ""}, "side is ''"),
        ({"side": None}, "side is None"),
        ({"quantity": None}, "quantity is None"),
        ({"quantity": 2**53 + 1}, "quantity is 9007199254740993"),
        ({"price": None}, "price is None"),
        ({"price": float("nan")}, "price is nan"),
        ({"price": 1e300}, "price is 1e+300"),
        ({"timestamp": datetime(2026, 1, 1)}, "not one with a time zone"),
        ({"symbol": None}, "no text"),
        ({"option_type": "CALL"}, "an option has all three"),
        ({"strike": 5.0, "expiry_date": date(2026, 6, 19)}, "an option has all three"),
        ({"option_type": "CALL", "strike": -1.0, "expiry_date": date(2026, 6, 19)}, "an option has all three"),
    ],
)
def test_trade_that_cannot_be_counted_is_left_out_with_a_reason(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(TradeLeftOut, match="trade id is left out of the positions") as caught:
        execution_of(stored(**values))
    assert problem in str(caught.value)
    assert caught.value.entity_id == "id"


def test_trade_that_was_not_stored_is_left_out() -> None:
    with pytest.raises(TradeLeftOut, match="it is not stored"):
        execution_of(replace(Trade("AAPL", 1, 1.0, "BUY")))
