"""Starting a data directory: from several processes, after a crash, and killed half-way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.fix_children import Children
from tests.integration.server_ends import has_ended
from tests.integration.workers.telling import let_off, start, told
from tests.rounds import rounds
from tests.waiting import wait_until


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory to be made; not pytest's own, whose access rights every run of pytest on the machine sets anew."""
    parent = Path(tempfile.mkdtemp(prefix="store-test-"))
    yield parent / "data"
    server = postmaster_of(parent / "data")
    if server is not None:
        server.kill()
        wait_until(lambda: has_ended(server))
    shutil.rmtree(parent)


def postmaster_of(data_dir: Path) -> psutil.Process | None:
    """Return the running server of a data directory, found among the processes and not by what a file says."""
    for process in psutil.process_iter(["name", "cmdline"]):
        command = process.info["cmdline"] or []
        if process.info["name"] == "postgres" and str(data_dir / "postgres") in command:
            return process
    return None


def check_sound(data_dir: Path, trades: int) -> None:
    """Open the directory here: every trade is there, nobody gets in without a password, nothing is left lying about."""
    with ObjectStoreServer(data_dir) as server, closing(server.admin_conn()) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.object_heads")
        assert cursor.fetchone() == (trades,)
        cursor.execute("SELECT * FROM store.differences()")
        assert cursor.fetchall() == []
        cursor.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules ORDER BY 1")
        assert cursor.fetchall() == [("peer",), ("scram-sha-256",)]
    assert sorted(path.name for path in data_dir.iterdir()) == [".lock", "admin.password", "postgres"]
    assert postmaster_of(data_dir) is None


def test_server_started_by_four_processes_at_once_is_one(children: Children, data_dir: Path, tmp_path: Path) -> None:
    openers = [
        start(
            children,
            "opener",
            data_dir=str(data_dir),
            name=f"user{n}",
            times=1,
            hold=True,
            begin=str(tmp_path / "begin"),
        )
        for n in range(4)
    ]
    let_off(openers, tmp_path / "begin")
    for opener in openers:
        opener.wait_for_line('"wrote"')
    assert len({str(told(opener, "opened")[0]) for opener in openers}) == 1
    for opener in openers:
        assert postmaster_of(data_dir) is not None
        opener.send(signal.SIGTERM)
        assert opener.wait() == 0, opener.output
    assert postmaster_of(data_dir) is None, "the last to leave ends the server"
    check_sound(data_dir, trades=4)


@pytest.mark.stress
def test_server_opened_and_left_by_several_processes_is_there_for_each(
    children: Children, data_dir: Path, tmp_path: Path
) -> None:
    times = rounds(6, 40)
    openers = [
        start(children, "opener", data_dir=str(data_dir), name=f"user{n}", times=times, begin=str(tmp_path / "begin"))
        for n in range(3)
    ]
    let_off(openers, tmp_path / "begin")
    assert [opener.wait(timeout=240) for opener in openers] == [0] * 3, "\n".join(o.output for o in openers)
    check_sound(data_dir, trades=3 * times)


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "making_the_directory": lambda data_dir: (data_dir / ".lock").exists(),
    "initdb_began": lambda data_dir: any(data_dir.glob("postgres.new*/PG_VERSION")),
    "initdb_half_way": lambda data_dir: any(data_dir.glob("postgres.new*/base/1/PG_VERSION")),
    "initdb_near_its_end": lambda data_dir: any(data_dir.glob("postgres.new*/base/5")),
    "cluster_in_place": lambda data_dir: (data_dir / "postgres").exists(),
    "server_starting": lambda data_dir: (data_dir / "postgres" / "postmaster.pid").exists(),
    "making_the_store": lambda data_dir: (data_dir / "admin.password").exists(),
}


# Each moment with the process alone killed, and with the initdb or pg_ctl that it runs; a few of them in a usual run.
CASES = [(moment, who) for who in ("process", "process_group") for moment in MOMENTS][:: rounds(4, 1)]


@pytest.mark.stress
@pytest.mark.parametrize(("moment", "who"), CASES)
def test_server_whose_first_start_was_killed_starts_afterwards(
    children: Children, data_dir: Path, moment: str, who: str
) -> None:
    first = start(children, "opener", data_dir=str(data_dir), name="first", times=1, hold=True)
    wait_until(lambda: MOMENTS[moment](data_dir), message=lambda: first.output)
    if who == "process_group":
        os.killpg(first.pid, signal.SIGKILL)
    first.kill()
    second = start(children, "opener", data_dir=str(data_dir), name="second", times=1)
    assert second.wait() == 0, second.output
    wait_until(lambda: postmaster_of(data_dir) is None)
    check_sound(data_dir, trades=len(told(first, "wrote")) + 1)


def test_server_whose_owner_was_killed_is_joined_and_ended_by_the_next(children: Children, data_dir: Path) -> None:
    first = start(children, "opener", data_dir=str(data_dir), name="first", times=1, hold=True)
    first.wait_for_line('"wrote"')
    running = postmaster_of(data_dir)
    first.kill()
    with ObjectStoreServer(data_dir):
        assert postmaster_of(data_dir) == running
    check_sound(data_dir, trades=1)


def test_server_start_on_the_same_object_after_a_crash_recovers(data_dir: Path) -> None:
    with ObjectStoreServer(data_dir) as server:
        server.provision_user("alice", "alice_pw")
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            entity_id = client.write(Trade(symbol="AAPL", quantity=7, price=1.0, side="BUY"))
            running = postmaster_of(data_dir)
            assert running is not None
            running.kill()
            wait_until(lambda: has_ended(running))
            server.start()
            trade = client.read(Trade, entity_id)
            assert trade is not None
            assert trade.quantity == 7
    check_sound(data_dir, trades=1)


def test_server_whose_mark_names_another_program_starts(data_dir: Path) -> None:
    with ObjectStoreServer(data_dir):
        mark = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (data_dir / "postgres" / "postmaster.pid").write_text("\n".join([str(other.pid), *mark[1:]]) + "\n")
        check_sound(data_dir, trades=0)
        assert other.poll() is None
    finally:
        other.communicate(b"\n")


def test_server_killed_in_a_container_without_a_reaper_starts_again(children: Children, data_dir: Path) -> None:
    first = start(children, "first_process", data_dir=str(data_dir))
    assert first.wait() == 0, first.output
    assert told(first, "restarted") == [{"restarted": True, "read": 7}]
    check_sound(data_dir, trades=1)
