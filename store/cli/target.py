"""Which store a command line means, and the way into it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg2

from store.cli.rendering import Printer
from store.cluster import SUPERUSER
from store.connection import PooledConnection, connect
from store.conninfo import PASSWORD, conninfo, parse_url
from store.errors import AccessDenied, StoreError
from store.server import ObjectStoreServer

__all__ = ["NEW_PASSWORD", "PASSWORD", "Target", "ask_password"]

NEW_PASSWORD = "STORE_NEW_PASSWORD"
_OF_A_STORE_TO_BE = {".lock", "admin.password", "lost+found"}  # of a start that was broken off, or of a disk
NOTHING_THERE = ("3F000", "42P01", "42883")  # PostgreSQL: no such schema, table, function


class Target:
    """The store that the options name, opened when a command needs it.

    Attributes:
        data_dir: The embedded store's directory, None for a server elsewhere.
        user: The login.
        out: What prints the command's output.
    """

    def __init__(self, data_dir: str | None, url: str | None, user: str | None, as_json: bool) -> None:
        """Read the options; connect nothing, and ask for nothing that a command may do without."""
        if data_dir is not None and url is not None:
            raise click.UsageError("name the store with either --data-dir or --url")
        if data_dir is not None and not data_dir.strip():
            # A variable of the shell that is not set: it would be the directory that one happens to be in.
            raise click.UsageError("the store's directory is empty: name one, or . for this one")
        self.data_dir = data_dir
        self.out = Printer(as_json)
        try:
            self._where = {} if url is None else parse_url(url, "--url")
        except StoreError as error:
            raise click.UsageError(str(error)) from None
        named = self._where.pop("user", None)
        self.user = str(user or named or (SUPERUSER if data_dir is not None else ""))

    def at(self, place: str | None = None) -> Target:
        """Return the target that a command's own argument names: a directory, or a URL; this one where none does."""
        if place is None:
            return self
        if self.data_dir is not None or self._where:
            raise click.UsageError("the store is named twice: leave out --data-dir or --url, or the argument")
        url = place.startswith(("postgresql://", "postgres://"))
        return Target(None if url else place, place if url else None, self.user or None, self.out.as_json)

    def require_no_other_directory(self) -> None:
        """Refuse a data directory that holds other things, and no store: a slip, which would be strewn with files.

        Raises:
            StoreError: It is one.
        """
        directory = None if self.data_dir is None else Path(self.data_dir)
        try:
            if directory is None or not directory.is_dir() or (directory / "postgres").exists():
                return
            found = {entry.name for entry in directory.iterdir()} - _OF_A_STORE_TO_BE
        except PermissionError:  # somebody else's: the start of its server tells whose
            return
        if not all(name.startswith("postgres.new.") for name in found):  # of a start that was killed
            raise StoreError(f"{directory} holds other files, and no store: name a new directory, or an empty one")

    @contextmanager
    def login(self, *, make: bool = False) -> Iterator[dict[str, Any]]:
        """Yield where and as whom to connect; an embedded server runs meanwhile, joined where it runs already.

        Args:
            make: Whether a data directory is made where there is none.
        """
        if self.data_dir is None and not self._where:
            raise click.UsageError("name the store with either --data-dir or --url")
        if not self.user:
            raise click.UsageError("name the login with --user, or in --url")
        if self.data_dir is not None and not make and not Path(self.data_dir, "postgres").exists():
            raise StoreError(f"there is no store in {self.data_dir}: the command init makes one")
        # The directory's owner is let in as the administrator without a password.
        owner = self.data_dir is not None and self.user == SUPERUSER
        password = "" if owner else ask_password(PASSWORD, f"Password of {self.user}") or ""
        with ExitStack() as stack:
            where = dict(self._where)
            if self.data_dir is not None:
                with _kept_back():
                    server = stack.enter_context(ObjectStoreServer(self.data_dir, visiting=True))
                where = server.conn_info()
            place = (where.pop("host", ""), where.pop("port", ""), where.pop("dbname"))
            try:
                yield conninfo(self.user, password, *place, **where)
            except StoreError as error:
                if getattr(error.__cause__, "pgcode", None) not in NOTHING_THERE:
                    raise
                raise StoreError(f"there is no store in database {place[2]}: the command init makes one") from error

    @contextmanager
    def open(self) -> Iterator[PooledConnection]:
        """Open the store as the user."""
        with self.login() as login, closing(connect(login)) as conn:
            yield conn

    @contextmanager
    def administer(self, *, make: bool = False, takes: str = "an administrator's login") -> Iterator[PooledConnection]:
        """Open the store for what only an administrator may do, or whoever it takes."""
        with self.login(make=make) as login, closing(connect(login)) as conn:
            try:
                yield conn
            except (AccessDenied, psycopg2.errors.InsufficientPrivilege) as error:
                raise StoreError(f"{self.user} may not do that: it takes {takes}") from error


@contextmanager
def _kept_back() -> Iterator[None]:
    """Keep passwords out of the environment of a server that is started, which may outlive this process."""
    kept = {name: os.environ.pop(name) for name in (PASSWORD, NEW_PASSWORD) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def ask_password(variable: str, prompt: str, *, confirm: bool = False) -> str | None:
    """Return a password from the environment or, on a terminal, from a prompt; never from an argument.

    Args:
        variable: The environment variable that may hold it.
        prompt: What to ask on a terminal.
        confirm: Whether to ask twice.

    Returns:
        The password, None where there is neither.
    """
    found = os.environ.get(variable)
    if found is None and sys.stdin is not None and sys.stdin.isatty():
        how: dict[str, Any] = {"default": "", "show_default": False, "hide_input": True, "err": True}
        found = str(click.prompt(prompt, confirmation_prompt=confirm, **how))
    return found
