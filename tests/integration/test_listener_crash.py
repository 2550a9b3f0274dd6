"""Listeners killed and servers restarted under many writers: nothing lost, order kept, repeats inside the window."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg2.extensions import connection as Connection

from store.server import ObjectStoreServer
from store.subscriptions import CHECKPOINT_EVENTS
from tests.fix_children import Child, Children
from tests.integration.server_ends import kill_backend, kill_postmaster, stop_fast
from tests.integration.workers.telling import start, told
from tests.rounds import rounds
from tests.waiting import wait_until

WRITERS = 4
EVENTS = rounds(2_000, 20_000)
KILLS = rounds(2, 20)
ENDS: list[Callable[[ObjectStoreServer, Path], None]] = [kill_postmaster, kill_backend, stop_fast]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectStoreServer]:
    """A server of this test alone, as a user has it: what was acknowledged has reached the disk."""
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        yield server


class Notes:
    """What a listener noted, run by run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0

    def next(self) -> Path:
        """Return the file for the next run."""
        self._runs += 1
        return self._folder / f"run_{self._runs}"

    def runs(self) -> list[list[tuple[str, int]]]:
        return [self._read(number) for number in range(1, self._runs + 1)]

    def count(self) -> int:
        """Return how many events the run under way has noted."""
        path = self._folder / f"run_{self._runs}"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def newest(self) -> tuple[str, int]:
        """Return the event noted last."""
        return [event for run in self.runs() for event in run[-1:]][-1]

    def _read(self, number: int) -> list[tuple[str, int]]:
        path = self._folder / f"run_{number}"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(entity, int(version)) for entity, version in map(str.split, lines)]


def log_of(conn: Connection) -> list[tuple[str, int]]:
    with conn.cursor() as cursor:
        cursor.execute("SELECT entity_id::text, version FROM store.object_events ORDER BY seq")
        return cursor.fetchall()


def check(runs: list[list[tuple[str, int]]], log: list[tuple[str, int]]) -> list[int]:
    """Compare what the runs got with the log; return how many events each run repeated."""
    places = {event: number for number, event in enumerate(log)}
    assert len(places) == len(log)
    reached = 0
    repeats = []
    for run in (run for run in runs if run):
        first = places[run[0]]
        assert run == log[first : first + len(run)], "a run follows the log, without gaps and in its order"
        assert first <= reached, f"{first - reached} events were lost between two runs"
        repeats.append(reached - first)
        reached = first + len(run)
    assert reached == len(log), "the last run came to the log's end"
    return repeats


@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("restarts", [0, rounds(1, 3)], ids=["listener", "listener_and_server"])
def test_killed_listener_loses_nothing_and_repeats_little(
    server: ObjectStoreServer, children: Children, tmp_path: Path, restarts: int
) -> None:
    chance = random.Random(restarts)
    login = {**server.conn_info(), "user": "alice", "password": "alice_pw"}
    notes = Notes(tmp_path)

    def listen() -> Child:
        child = start(children, "event_listener", login=login, subscriber_id="stressed", notes=str(notes.next()))
        wait_until(lambda: told(child, "listening"), 120, lambda: child.output)
        return child

    def await_notes(count: int) -> None:
        """Wait until the run under way has noted so many events, or there are no more."""

        def enough() -> bool:
            return notes.count() >= count or all(writer.process.poll() is not None for writer in writers)

        wait_until(enough, 300, lambda: f"{notes.count()} events of {count}")

    begin = time.monotonic()
    writers = [start(children, "event_writer", login=login, events=EVENTS, seed=number) for number in range(WRITERS)]
    listener = listen()
    disturbances: list[Callable[[ObjectStoreServer, Path], None] | None] = [None] * KILLS + ENDS[:restarts]
    chance.shuffle(disturbances)
    share = WRITERS * EVENTS // (len(disturbances) + 1)
    for end in disturbances:
        await_notes(share * chance.randint(40, 100) // 100)  # anywhere, not only behind a checkpoint
        if end is None:
            listener.kill()
            listener = listen()
        else:
            before = notes.count()
            end(server, tmp_path / "data")
            await_notes(before + 1)
    assert [writer.wait(900) for writer in writers] == [0] * WRITERS, "\n".join(w.output[-1000:] for w in writers)
    seconds = time.monotonic() - begin
    made = sum(fact["made"] for writer in writers for fact in told(writer, "made"))
    with closing(server.admin_conn()) as conn:
        log = log_of(conn)
    assert len(log) >= made >= WRITERS * EVENTS
    wait_until(lambda: notes.newest() == log[-1], 300, lambda: listener.output)
    listener.kill()
    repeats = check(notes.runs(), log)
    assert max(repeats) <= CHECKPOINT_EVENTS
    print(
        f"{len(log)} events of {WRITERS} writers in {seconds:.0f} s, listener killed {KILLS} times, server ended "
        f"{restarts} times: repeats {sorted(repeats[1:])}, calls failed "
        f"{sum(fact['lost'] for writer in writers for fact in told(writer, 'lost'))}"
    )
