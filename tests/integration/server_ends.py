"""Ways in which a PostgreSQL server ends under its users, each followed by its coming back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from store.server import ObjectStoreServer
from tests.waiting import wait_until


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0]))


def has_ended(process: psutil.Process) -> bool:
    """Say whether a process has ended, though in a container without a reaper nobody may have taken note of it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill_postgres(data_dir: Path, before: Callable[[], object] = lambda: None) -> None:
    """Kill the server's first process, and leave it at that.

    Args:
        data_dir: Its data directory.
        before: Done once it is known which process that is.
    """
    main = postmaster(data_dir)
    before()
    main.kill()
    wait_until(lambda: has_ended(main))


def kill_postmaster(server: ObjectStoreServer, data_dir: Path) -> None:
    """Kill the server's first process, and start it again as its owner would."""
    kill_postgres(data_dir)
    server.stop()
    server.start()


def kill_backend(server: ObjectStoreServer, data_dir: Path) -> None:
    """Kill a process that serves a writer: PostgreSQL then throws out everybody and recovers by itself."""
    with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
        conn.autocommit = True

        def busiest() -> tuple[int] | None:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'alice' ORDER BY state = 'active' DESC LIMIT 1"
            )
            found: tuple[int] | None = cursor.fetchone()
            return found

        found = wait_until(busiest, message="a session of a writer")
    assert found is not None
    [pid] = found
    os.kill(pid, signal.SIGKILL)


def stop_fast(server: ObjectStoreServer, data_dir: Path) -> None:
    """Shut the server down properly under its users, and start it again."""
    postmaster(data_dir).send_signal(signal.SIGINT)
    wait_until(lambda: not (data_dir / "postgres" / "postmaster.pid").exists())
    server.stop()
    server.start()


@contextmanager
def hanging(data_dir: Path) -> Iterator[None]:
    """Stop every process of the server for the length of the block: its sockets stay open, and nothing answers."""
    main = postmaster(data_dir)
    main.suspend()  # first, or it makes new ones
    stopped = [main]
    try:
        for child in main.children():
            child.suspend()
            stopped.append(child)
        at_rest = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)  # nobody takes note now of one that has just ended
        wait_until(lambda: all(process.status() in at_rest for process in stopped))
        yield
    finally:
        for process in reversed(stopped):
            process.resume()
