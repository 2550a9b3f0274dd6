"""`stable_time`: an as-of answer at or before it never changes, whatever is still under way."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest

from store.client import StoreClient
from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.waiting import wait_until

pytestmark = pytest.mark.both_servers


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def test_stable_time_includes_what_was_written_before_and_not_what_comes_after(store_db: StoreDatabase) -> None:
    client = store_db.client()
    before = trade(1)
    client.write(before)
    moment = client.stable_time()
    after = trade(2)
    client.write(after)
    assert before.tx_time is not None and after.tx_time is not None
    assert before.tx_time <= moment < after.tx_time
    assert [obj.quantity for obj in client.query(Trade, tx_time=moment)] == [1]


def test_stable_time_waits_behind_an_open_transaction_of_anybody(store_db: StoreDatabase) -> None:
    alice, bob = store_db.client("alice"), store_db.client("bob")
    with bob.transaction():
        pending = trade(1)
        bob.write(pending)
        alice.write(trade(2))
        moment = alice.stable_time()
        assert pending.tx_time is not None
        assert moment < pending.tx_time
        assert bob.stable_time() < pending.tx_time
    assert alice.stable_time() > pending.tx_time


def test_answers_at_stable_times_stay_the_same_while_many_write(store_db: StoreDatabase) -> None:
    reader = store_db.client("alice")
    stop = threading.Event()

    def write(number: int) -> None:
        with StoreClient(**store_db.login("alice")) as client:
            while not stop.is_set():
                with client.transaction():
                    first = trade(1 + number)
                    client.write(first)
                    second = trade(2 + number)
                    client.write(second)
                    first.quantity += 100
                    client.update(first)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    answers: list[tuple[datetime, list[tuple[str | None, int | None, int]]]] = []

    def ask(moment: datetime) -> list[tuple[str | None, int | None, int]]:
        return [(obj.entity_id, obj.version, obj.quantity) for obj in reader.query(Trade, limit=None, tx_time=moment)]

    def sample() -> bool:
        moment = reader.stable_time()
        answers.append((moment, ask(moment)))
        return len(answers) >= 15 and len(answers[-1][1]) > len(answers[0][1])

    try:
        wait_until(sample, message="samples while the store grows")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for moment, answer in answers:
        assert ask(moment) == answer
        assert len(answer) % 2 == 0, "a transaction's two objects appear together"
