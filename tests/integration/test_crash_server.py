"""PostgreSQL killed under load: what was acknowledged is there, the rest whole or not at all, and clients go on."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store.server import ObjectStoreServer
from tests.fix_children import Child, Children
from tests.integration.server_ends import kill_backend, kill_postmaster, stop_fast
from tests.integration.workers.telling import start, told
from tests.rounds import rounds
from tests.waiting import wait_until

ROUNDS = rounds(2, 10)
WRITERS = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ObjectStoreServer]:
    """A server of this test alone, as a user has it: what was acknowledged has reached the disk."""
    with ObjectStoreServer(tmp_path / "data") as server:
        server.provision_user("alice", "alice_pw")
        with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
            cursor.execute("SHOW fsync")
            assert cursor.fetchone() == ("on",)
        yield server


def await_acks(writers: list[Child], more: int) -> None:
    """Wait until every writer has had some more calls acknowledged."""
    before = [len(told(writer, "acked")) for writer in writers]

    def moved() -> bool:
        return all(len(told(writer, "acked")) >= n + more for writer, n in zip(writers, before, strict=True))

    wait_until(moved, 60, lambda: "\n".join(writer.output[-1000:] for writer in writers))


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("end", [kill_postmaster, kill_backend, stop_fast])
def test_server_ended_under_load_keeps_what_was_acknowledged_and_clients_go_on(
    server: ObjectStoreServer,
    children: Children,
    tmp_path: Path,
    end: Callable[[ObjectStoreServer, Path], None],
) -> None:
    login = {**server.conn_info(), "user": "alice", "password": "alice_pw"}
    writers = [start(children, "steady_writer", login=login, name=f"w{n}", seed=n) for n in range(WRITERS)]
    for _ in range(ROUNDS):
        await_acks(writers, 20)
        end(server, tmp_path / "data")
    await_acks(writers, 20)
    for writer in writers:
        writer.send(signal.SIGTERM)
    assert [writer.wait() for writer in writers] == [0] * WRITERS, "\n".join(w.output[-1000:] for w in writers)

    assert [fact["wrong"] for writer in writers for fact in told(writer, "wrong")] == []
    sent = {fact["sent"]: fact["events"] for writer in writers for fact in told(writer, "sent")}
    acked = {fact["acked"] for writer in writers for fact in told(writer, "acked")}
    failed = {fact["failed"]: fact for writer in writers for fact in told(writer, "failed")}
    assert acked | failed.keys() == sent.keys()
    with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT changes->>'strategy', count(*) FROM store.object_events GROUP BY 1")
        stored = dict(cursor.fetchall())
        cursor.execute("SELECT * FROM store.differences()")
        assert cursor.fetchall() == []
    assert {key: stored.get(key) for key in acked} == {key: sent[key] for key in acked}
    torn = {key for key in failed if stored.get(key, 0) not in (0, sent[key])}
    assert torn == set()
    # An error that does not leave the outcome open means that nothing was stored.
    assert [failed[key] for key in failed if key in stored and not failed[key]["ambiguous"]] == []
    assert [fact for fact in failed.values() if fact["error"] != "ConnectionLost"] == []
    ambiguous = [fact for fact in failed.values() if fact["ambiguous"]]
    assert not [fact for fact in ambiguous if "cannot connect" in fact["message"]]
    verify = children.run("-m", "store", "--data-dir", str(tmp_path / "data"), "verify")
    assert verify.wait() == 0, verify.output
    print(
        f"{ROUNDS} times {end.__name__}: {len(acked)} calls acknowledged, {len(failed)} failed, of them "
        f"{len(ambiguous)} left open ({sum(fact['failed'] in stored for fact in ambiguous)} were stored); "
        f"{Counter(fact['message'][:60] for fact in failed.values()).most_common(6)}"
    )
