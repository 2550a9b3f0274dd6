"""A disk that is full: a clear error, nothing half-written, and all is well once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from store.client import StoreClient
from store.errors import ConnectionLost, StoreError
from store.models import Trade
from store.server import ObjectStoreServer
from tests.waiting import wait_until

BATCH = 1_000


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 150 MB in memory; only root can make one."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("needs root, to mount a small file system")
    path = Path(tempfile.mkdtemp(prefix="store-disk-"))
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=150m,mode=755", "tmpfs", path], capture_output=True, text=True
    )
    if made.returncode != 0:
        path.rmdir()
        pytest.skip(f"needs to mount a small file system: {made.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)
        path.rmdir()


def fill(disk: Path, leave: int) -> Callable[[], None]:
    """Take all room on a disk but some bytes; return what gives it back."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - leave)
    return filler.unlink


def batch(name: str) -> list[Trade]:
    return [Trade(symbol="AAPL", quantity=n, price=1.0, side="BUY", strategy=name) for n in range(1, BATCH + 1)]


def check_batches(server: ObjectStoreServer, done: set[str], open_ones: set[str]) -> None:
    """Check that the log and the projection hold each batch that is done, and the open ones whole or not at all."""
    with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT changes->>'strategy', count(*) FROM store.object_events GROUP BY 1")
        found = dict(cursor.fetchall())
        cursor.execute("SELECT * FROM store.differences()")
        assert cursor.fetchall() == []
    assert set(found.values()) == {BATCH}
    assert done <= found.keys() <= done | open_ones


@pytest.mark.stress
def test_write_many_on_a_full_disk_says_so_and_stores_nothing(small_disk: Path) -> None:
    with ObjectStoreServer(small_disk / "data") as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            client.write_many(batch("before"))
            with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
                conn.autocommit = True
                for _ in range(2):  # each leaves a file of the write-ahead log to be used again
                    cursor.execute("SELECT pg_switch_wal()")
                    cursor.execute("CHECKPOINT")
            make_room = fill(small_disk, leave=3_000_000)
            done = {"before"}
            with pytest.raises(StoreError, match="No space left on device") as caught:
                for number in range(20):
                    refused = batch(f"while {number}")
                    client.write_many(refused)
                    done.add(f"while {number}")
            assert not isinstance(caught.value, ConnectionLost)
            assert {trade.entity_id for trade in refused} == {None}
            assert client.count(Trade) == BATCH * len(done)
            make_room()
            client.write_many(refused)
        check_batches(server, done | {f"while {len(done) - 1}"}, set())


@pytest.mark.stress
def test_server_that_found_no_room_for_its_log_recovers_once_there_is(small_disk: Path) -> None:
    """Without room for its write-ahead log PostgreSQL gives up, and cannot recover before there is room."""
    with ObjectStoreServer(small_disk / "data") as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            client.write_many(batch("before"))
            make_room = fill(small_disk, leave=3_000_000)
            done, left_open = {"before"}, set()
            with closing(server.admin_conn()) as conn, conn.cursor() as cursor, pytest.raises(ConnectionLost) as caught:
                conn.autocommit = True
                for number in range(60):
                    left_open = {f"while {number}"}
                    try:
                        client.write_many(batch(f"while {number}"))
                        done |= left_open
                    except ConnectionLost:
                        raise
                    except StoreError as error:  # there was no room for the tables before there was none for the log
                        assert "No space left on device" in str(error)
                    with suppress(psycopg2.Error):  # the server may give up here, and the next batch is not sent
                        cursor.execute("SELECT pg_switch_wal()")
            if not caught.value.ambiguous:
                left_open = set()
            mark = small_disk / "data" / "postgres" / "postmaster.pid"
            wait_until(lambda: not mark.exists(), message="the end of a server that cannot recover")
            try:
                server.start()  # what the dying server left unfinished may have given back enough room to recover
            except StoreError as error:
                assert "No space left on device" in str(error)
            make_room()
            server.start()
            client.write_many(batch("after"))
        check_batches(server, done | {"after"}, left_open)


def test_server_without_room_for_a_new_store_says_so_and_starts_once_there_is(small_disk: Path) -> None:
    make_room = fill(small_disk, leave=20_000_000)
    with pytest.raises(StoreError, match="No space left on device"):
        ObjectStoreServer(small_disk / "data").start()
    make_room()
    with ObjectStoreServer(small_disk / "data") as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            client.write_many(batch("after"))
        check_batches(server, {"after"}, set())
