"""Listeners: how long a committed event takes to a callback in another process, and how fast a log is caught up."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from typing import Any

import psycopg2

from benchmarks.harness import Pair, Samples, bounded, ratio
from benchmarks.store_scene import PASSWORD, Scene, deepen, load, scene, trade
from store.client import StoreClient
from store.events import ChangeEvent, EventBus
from store.subscriptions import SubscriptionListener

WRITES, WRITES_PER_SECOND = 400, 200
ENTITIES, VERSIONS = 20_000, 5
DEADLINE = 120.0  # seconds

RAW_LOG = """
SELECT e.entity_id::text, e.version, e.event_type, e.type_name, e.updated_by, e.state, e.tx_time, e.valid_from
FROM store.object_events e ORDER BY e.seq
"""


def write_steadily(pipe: Connection, login: dict[str, Any]) -> None:
    """Write trades at a steady rate whenever asked; answer with the time at which each `write` returned, by entity."""
    with StoreClient(**login) as client:
        while pipe.recv():
            returned = {}
            begin = time.monotonic()
            for number in range(WRITES):
                time.sleep(max(0.0, begin + number / WRITES_PER_SECOND - time.monotonic()))
                returned[client.write(trade(number))] = time.monotonic()
            pipe.send(returned)


@bounded("listener: commit to callback, 200 writes/s", p50=0.002, p99=0.010)
def latency() -> Iterator[Samples]:
    """Both clocks are the machine's monotonic one; an event that is there before `write` returned counts as zero."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arrived: dict[str, float] = {}

    def note(event: ChangeEvent) -> None:
        arrived[event.entity_id] = time.monotonic()

    bus = EventBus()
    bus.on_all(note)
    with ExitStack() as opened:
        made = opened.enter_context(scene())
        opened.enter_context(SubscriptionListener(bus, **made.login, subscriber_id="latency"))
        writer = context.Process(target=write_steadily, args=(theirs, made.login), daemon=True)
        writer.start()
        opened.callback(writer.join, 10)
        opened.callback(ours.send, False)

        def take() -> Sequence[float]:
            ours.send(True)
            returned: dict[str, float] = ours.recv()
            deadline = time.monotonic() + DEADLINE
            while not returned.keys() <= arrived.keys():
                if time.monotonic() > deadline:
                    raise AssertionError(f"{len(returned.keys() - arrived.keys())} events did not arrive")
                time.sleep(0.01)
            return [max(0.0, arrived[entity] - moment) for entity, moment in returned.items()]

        yield Samples(take)


def catch_up(login: dict[str, Any], wanted: int) -> None:
    """Start a listener at the log's beginning and return when its callback has had all events."""
    done = threading.Event()
    count = 0

    def callback(event: ChangeEvent) -> None:
        nonlocal count
        count += 1
        if count == wanted:
            done.set()

    bus = EventBus()
    bus.on_all(callback)
    with SubscriptionListener(bus, **login, from_beginning=True):
        if not done.wait(DEADLINE):
            raise AssertionError(f"{count} of {wanted} events in {DEADLINE} s")


def select(login: dict[str, Any], wanted: int) -> None:
    """Read the same facts as the superuser in one SELECT, and call a function with each."""
    count = 0

    def callback(event: ChangeEvent) -> None:
        nonlocal count
        count += 1

    with closing(psycopg2.connect(**login)) as conn, conn.cursor() as cursor:
        cursor.execute(RAW_LOG)
        for row in cursor:
            callback(ChangeEvent(*row))
    assert count == wanted


def catching_up(made: Scene, readers: Sequence[str], user: str) -> Iterator[Pair]:
    with StoreClient(**made.login, readers=readers) as client:
        trades = load(client, ENTITIES)
        for version in range(2, VERSIONS + 1):
            deepen(client, trades, version)
    made.settle()
    events = ENTITIES * VERSIONS
    login = {**made.login, "user": user}
    admin = {**made.where, "user": "postgres"}
    yield Pair(lambda: catch_up(login, events), raw=lambda: select(admin, events), operations=events)


@ratio(
    "listener: catch-up of 100k events", against="raw SELECT, a call for each", aim=0.25, floor=0.15, limit=1 / 20_000
)
def catch_up_as_owner() -> Iterator[Pair]:
    with scene() as made:
        yield from catching_up(made, [], made.login["user"])


@ratio("listener: catch-up as a member of a group", against="raw SELECT, a call for each", aim=None)
def catch_up_as_member() -> Iterator[Pair]:
    """Whether each event was in view at its place is looked up for each."""
    with scene() as made:
        made.server.provision_user("member", PASSWORD)
        made.server.create_group("desk", members=["member"])
        yield from catching_up(made, ["desk"], "member")
