"""Many processes at once: what listeners cost the writers, and how commits grow with the writers."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

import psycopg2

from benchmarks.harness import Pair, ratio
from benchmarks.store_scene import Scene, data_of, insert_event, scene, trade
from store.client import StoreClient
from store.subscriptions import EventBus, SubscriptionListener

COMMITS = 800
RAW_USER, RAW_PASSWORD = "raw", "raw_pw"
DEADLINE = 60.0  # seconds for a listener to receive what was committed


def write_on_demand(pipe: Connection, login: dict[str, Any]) -> None:
    """Write as many trades as the parent says, one by one, and answer each order when it is done."""
    with StoreClient(**login) as client:
        pipe.send("ready")
        while commits := pipe.recv():
            for number in range(commits):
                client.write(trade(number))
            pipe.send(commits)


def insert_on_demand(pipe: Connection, login: dict[str, Any], first_seq: int) -> None:
    """Do the same with a plain INSERT into the plain log."""
    seqs = count(first_seq)
    rows = data_of([trade(number) for number in range(COMMITS)])
    conn = psycopg2.connect(**login)
    conn.autocommit = True
    pipe.send("ready")
    while commits := pipe.recv():
        for number in range(commits):
            insert_event(conn, next(seqs), rows[number])
        pipe.send(commits)
    conn.close()


def listen_on_demand(pipe: Connection, login: dict[str, Any], subscriber_id: str) -> None:
    """Listen while the parent says so, from the log's end; answer once as many events came as the parent asks for."""
    pipe.send("ready")
    while pipe.recv():
        events: list[object] = []
        bus = EventBus()
        bus.on_all(events.append)
        with SubscriptionListener(bus, **login, subscriber_id=subscriber_id) as listener:
            # What was committed while it was away comes first, unmeasured.
            await_no_lag(listener)
            events.clear()
            pipe.send("listening")
            await_events(events, pipe.recv())
        pipe.send(len(events))


def await_no_lag(listener: SubscriptionListener) -> None:
    """Return when the listener has delivered everything, or after the deadline."""
    wait_until(lambda: listener.lag().events == 0)


def await_events(events: list[object], wanted: int) -> None:
    """Return when there are as many events, or after the deadline."""
    wait_until(lambda: len(events) >= wanted)


def wait_until(done: Callable[[], bool]) -> None:
    """Return when it is done, or after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)


@contextmanager
def children(target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> Iterator[list[Connection]]:
    """Start one process for each set of arguments and yield their pipes; end them all."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for given in arguments:
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(theirs, *given), daemon=True)
            process.start()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            pipe.recv()
        yield pipes
        for pipe in pipes:
            pipe.send(0)
        for process in processes:
            process.join(timeout=10)
    finally:
        for process in processes:
            process.kill()


def share_out(pipes: Sequence[Connection]) -> float:
    """Have the processes do all commits between them and return the seconds that it took."""
    begin = time.perf_counter()
    for pipe in pipes:
        pipe.send(COMMITS // len(pipes))
    for pipe in pipes:
        pipe.recv()
    return time.perf_counter() - begin


@ratio("commits with 8 writers and 3 listeners", against="8 writers alone", aim=0.6)
def commits_with_listeners() -> Iterator[Pair]:
    with (
        scene() as made,
        children(write_on_demand, [(made.login,)] * 8) as writers,
        children(listen_on_demand, [(made.login, f"listener {number}") for number in range(3)]) as listeners,
    ):

        def with_listeners() -> float:
            for listener in listeners:
                listener.send(True)
            for listener in listeners:
                listener.recv()
            seconds = share_out(writers)
            for listener in listeners:
                listener.send(COMMITS)
            for listener in listeners:
                received = listener.recv()
                if received != COMMITS:
                    raise AssertionError(f"a listener received {received} of {COMMITS} events in {DEADLINE} s")
            return seconds

        yield Pair(with_listeners, raw=lambda: share_out(writers), operations=COMMITS)


def commits_by(writers: int) -> Iterator[Pair]:
    """Yield the commits of some writer processes, ours and plain ones."""
    with scene() as made:
        made.plain_table("raw_events", like="object_events")
        login = plain_login(made)
        blocks = [(login, number * 10_000_000 + 1) for number in range(writers)]
        with (
            children(write_on_demand, [(made.login,)] * writers) as ours,
            children(insert_on_demand, blocks) as raw,
        ):
            yield Pair(lambda: share_out(ours), lambda: share_out(raw), operations=COMMITS)


def plain_login(made: Scene) -> dict[str, Any]:
    """Make a user who may insert into the plain log, and return its login."""
    made.execute(
        f"CREATE ROLE {RAW_USER} LOGIN PASSWORD '{RAW_PASSWORD}'; GRANT INSERT, SELECT ON raw_events TO {RAW_USER};"
        f" GRANT CONNECT ON DATABASE {made.where['dbname']} TO {RAW_USER}; GRANT USAGE ON SCHEMA public TO {RAW_USER}"
    )
    return {**made.where, "user": RAW_USER, "password": RAW_PASSWORD}


@ratio("commits, 1 writer process", against="as many with raw INSERT", aim=None)
def commits_by_1() -> Iterator[Pair]:
    yield from commits_by(1)


@ratio("commits, 2 writer processes", against="as many with raw INSERT", aim=None)
def commits_by_2() -> Iterator[Pair]:
    yield from commits_by(2)


@ratio("commits, 4 writer processes", against="as many with raw INSERT", aim=None)
def commits_by_4() -> Iterator[Pair]:
    yield from commits_by(4)


@ratio("commits, 8 writer processes", against="as many with raw INSERT", aim=None)
def commits_by_8() -> Iterator[Pair]:
    yield from commits_by(8)
