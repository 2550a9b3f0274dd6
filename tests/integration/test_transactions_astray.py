"""Transactions that do not end where they began: in another thread, task or process, or in another order."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager

import pytest

from store.client import StoreClient
from store.errors import StoreError
from store.models import Trade
from tests.fix_postgres import StoreDatabase

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def trade(quantity: int = 100) -> Trade:
    return Trade(symbol="AAPL", quantity=quantity, price=150.0, side="BUY")


def in_thread(function: Callable[[], object]) -> BaseException | None:
    """Call a function in a thread of its own, and return what it raised."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def in_child(function: Callable[[], object]) -> str:
    """Call a function in a forked process, and return what it returned or raised, as text."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = repr(function())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(write_end, told.encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with open(read_end, encoding="utf-8") as pipe:
        return pipe.read()


def assert_sound(client: StoreClient) -> None:
    """Require that this thread is in no transaction, and can have one."""
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.write(trade())
        raise ZeroDivisionError
    before = client.count(Trade)
    with client.transaction():
        client.write(trade())
    assert client.count(Trade) == before + 1
    assert client.stats().pool.in_use == 0


def opened(client: StoreClient, obj: Trade) -> Generator[None, None, None]:
    """A generator that is suspended inside a transaction, as those of web frameworks are."""
    with client.transaction():
        client.write(obj)
        yield


def test_transaction_ended_by_another_thread_is_undone_and_leaves_both_threads_sound(store_db: StoreDatabase) -> None:
    client, obj = store_db.client(), trade()
    generator = opened(client, obj)
    next(generator)
    raised = in_thread(lambda: next(generator, None))
    assert isinstance(raised, StoreError)
    assert "another thread, task or process" in str(raised)
    assert obj.entity_id is None
    assert client.count(Trade) == 0
    assert_sound(client)
    assert in_thread(lambda: assert_sound(client)) is None


def test_transaction_closed_by_another_thread_is_undone_without_an_error(store_db: StoreDatabase) -> None:
    client, obj = store_db.client(), trade()
    generator = opened(client, obj)
    next(generator)
    assert in_thread(generator.close) is None
    assert obj.entity_id is None
    assert client.count(Trade) == 0
    assert_sound(client)


def test_transaction_ended_by_another_task_is_undone(store_db: StoreDatabase) -> None:
    client, obj = store_db.client(), trade()

    async def begun() -> AsyncIterator[None]:
        with client.transaction():
            client.write(obj)
            yield

    async def main() -> None:
        generator = begun()

        async def advance() -> None:
            await anext(generator, None)

        await asyncio.create_task(advance())
        with pytest.raises(StoreError, match="another thread, task or process"):
            await asyncio.create_task(advance())

    asyncio.run(main())
    assert obj.entity_id is None
    assert client.count(Trade) == 0
    assert_sound(client)


@contextmanager
def outlived(client: StoreClient, outer: Trade, inner: Trade) -> Iterator[Generator[None, None, None]]:
    """Write in a transaction and in one nested in it that is still open when it ends, which is an error."""
    generator = opened(client, inner)
    with pytest.raises(StoreError, match="nested in this one is still open"), client.transaction():
        client.write(outer)
        next(generator)
        yield generator


def assert_undone(client: StoreClient, *objects: Trade) -> None:
    assert [each.entity_id for each in objects] == [None] * len(objects)
    assert client.count(Trade) == 0
    assert_sound(client)


def test_transaction_that_ends_before_one_nested_in_it_undoes_both(store_db: StoreDatabase) -> None:
    client, outer, inner = store_db.client(), trade(1), trade(2)
    with outlived(client, outer, inner) as generator:
        pass
    with pytest.raises(StoreError, match="has ended before it"):
        next(generator)
    assert_undone(client, outer, inner)


def test_nested_transaction_ended_by_another_thread_undoes_the_outer_one(store_db: StoreDatabase) -> None:
    client, outer, inner = store_db.client(), trade(1), trade(2)
    with outlived(client, outer, inner) as generator:
        assert isinstance(in_thread(lambda: next(generator, None)), StoreError)
    assert_undone(client, outer, inner)


def test_nested_transactions_that_end_in_the_wrong_order_are_errors_and_undone(store_db: StoreDatabase) -> None:
    client, first, second = store_db.client(), trade(1), trade(2)
    one, two = opened(client, first), opened(client, second)
    with client.transaction():
        next(one)
        next(two)
        with pytest.raises(StoreError, match="nested in this one is still open"):
            next(one)
        with pytest.raises(StoreError, match="has ended before it"):
            next(two)
        client.write(kept := trade(3))
    assert first.entity_id is None and second.entity_id is None
    assert client.query(Trade).items == [kept]
    assert_sound(client)


def test_forked_child_does_not_join_the_transaction_of_its_parent(store_db: StoreDatabase) -> None:
    client, obj = store_db.client(), trade(1)
    with client.transaction():
        entity_id = client.write(obj)
        assert in_child(lambda: client.read(Trade, entity_id)) == "None"
        assert in_child(lambda: client.count(Trade)) == "0"
        client.write(trade(2))
    assert client.count(Trade) == 2


def test_block_of_a_transaction_that_a_forked_child_ends_too_is_the_parents(store_db: StoreDatabase) -> None:
    client, obj = store_db.client(), trade(1)
    generator = opened(client, obj)
    next(generator)
    assert "another thread, task or process" in in_child(lambda: next(generator, None))
    assert in_child(generator.close) == "None"
    assert next(generator, "ended") == "ended"
    assert client.read(Trade, str(obj.entity_id)) == obj


def test_connection_of_a_client_is_another_one_in_a_forked_child(store_db: StoreDatabase) -> None:
    client = store_db.client()

    def backend() -> int:
        with client.conn.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])  # type: ignore[index]

    before = backend()
    assert int(in_child(backend)) != before
    assert in_child(client.close) == "None"
    assert backend() == before
