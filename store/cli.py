"""`python -m store`: a store on the command line, in a data directory of ours or on a server elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from typing import Any

import click
import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import parse_dsn
from rich.console import Console
from rich.table import Table

from store import schema
from store.connection import Database, conninfo, run
from store.errors import EntityNotFound, StoreError
from store.log_reader import LogReader
from store.server import SUPERUSER, ObjectStoreServer
from store.writing import require_entity_id

__all__ = ["main"]

PASSWORD = "STORE_PASSWORD"
NEW_PASSWORD = "STORE_NEW_PASSWORD"


class Target:
    """The store that the options name, opened when a command needs it."""

    def __init__(self, data_dir: str | None, url: str | None, user: str | None, as_json: bool) -> None:
        """Check the options; connect nothing."""
        if (data_dir is None) == (url is None):
            raise click.UsageError("name the store with either --data-dir or --url")
        self.as_json = as_json
        self.data_dir = data_dir
        self._settings: dict[str, Any] = {}
        if url is not None:
            try:
                self._settings = dict(parse_dsn(url))
            except psycopg2.ProgrammingError as error:
                raise click.UsageError(f"--url: {error}".strip()) from None
            if "password" in self._settings:
                raise click.UsageError(f"a password on the command line is seen by everybody: set {PASSWORD} instead")
        self._user = user or self._settings.pop("user", None)
        self._stack = ExitStack()

    def login(self) -> dict[str, Any]:
        """Return where and as whom to connect; an embedded server is started first."""
        user = self._user or (SUPERUSER if self.data_dir else None)
        if user is None:
            raise click.UsageError("name the login with --user, or in --url")
        where = dict(self._settings)
        if self.data_dir is not None:
            where = self._stack.enter_context(ObjectStoreServer(self.data_dir)).conn_info()
        password = "" if self.data_dir and user == SUPERUSER else _secret(PASSWORD, f"Password of {user}")
        return conninfo(
            user, password, where.pop("host", "localhost"), where.pop("port", 5432), where.pop("dbname", user), **where
        )

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the store as the user."""
        with self._stack, closing(Database(self.login(), size=1)) as database:
            yield database

    @contextmanager
    def admin(self) -> Iterator[Connection]:
        """Open a plain connection, for what only an administrator may do."""
        with self._stack:
            with closing(psycopg2.connect(**self.login())) as conn:
                yield conn

    def show(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
        """Print rows: a table for people, one JSON object a line for programs."""
        if self.as_json:
            for row in rows:
                click.echo(json.dumps(dict(zip(columns, row, strict=True)), default=_json_value, ensure_ascii=False))
            return
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(columns):
            numeric = bool(rows) and all(isinstance(row[number], (int, float)) for row in rows)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        Console(width=None if sys.stdout.isatty() else 200).print(table)


class StoreGroup(click.Group):
    """Commands whose store errors end in one line and exit status 1, not in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except StoreError as error:
            raise click.ClickException(str(error)) from error
        except psycopg2.Error as error:
            raise click.ClickException(str(error).strip()) from error


class Instant(click.ParamType[datetime]):
    """A point in time in ISO 8601 with an offset."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse the text."""
        try:
            instant = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            self.fail(f"{value!r} is not a time: write it like 2026-02-22T10:00:00+00:00", param, ctx)
        if instant.utcoffset() is None:
            self.fail(f"{value!r} has no offset: write {instant.replace(tzinfo=timezone.utc).isoformat()} if it is UTC", param, ctx)
        return instant


@click.group(cls=StoreGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", metavar="DIR", help="The directory of an embedded store; its owner needs no password.")
@click.option("--url", metavar="URL", help="A PostgreSQL server: postgresql://user@host:port/database, without password.")
@click.option("--user", metavar="NAME", help=f"The login; its password comes from {PASSWORD} or a prompt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
@click.pass_context
def main(context: click.Context, data_dir: str | None, url: str | None, user: str | None, as_json: bool) -> None:
    """Look into a store, and look after it."""
    context.obj = Target(data_dir, url, user, as_json)


@main.command()
@click.pass_obj
def init(target: Target) -> None:
    """Make the store, or bring its schema up to date."""
    with target.admin() as conn:
        schema.bootstrap_schema(conn)
        dbname = conn.info.dbname
    click.echo(f"store ready in database {dbname}" + (f" under {target.data_dir}" if target.data_dir else ""))


@main.group()
def users() -> None:
    """List, add and disable users."""


@users.command("list")
@click.pass_obj
def list_users(target: Target) -> None:
    """List the users."""
    with target.admin() as conn:
        target.show(["user", "reads_all", "enabled"], run(conn, _ADMIN["users"]))


@users.command("add")
@click.argument("name")
@click.option("--reads-all", is_flag=True, help="May read every entity: a bridge, an auditor.")
@click.pass_obj
def add_user(target: Target, name: str, reads_all: bool) -> None:
    """Add a user, or set an existing user's password."""
    with target.admin() as conn:
        schema.provision_user(conn, name, _secret(NEW_PASSWORD, f"New password of {name}", confirm=True), reads_all=reads_all)
    click.echo(f"user {name} is ready")


@users.command("disable")
@click.argument("name")
@click.pass_obj
def disable_user(target: Target, name: str) -> None:
    """End a user's sessions and refuse its login; what it wrote stays."""
    with target.admin() as conn:
        schema.disable_user(conn, name)
    click.echo(f"user {name} can no longer log in")


@main.command()
@click.argument("type_name", required=False)
@click.option("--limit", default=20, show_default=True, help="The most entities to show.")
@click.pass_obj
def ls(target: Target, type_name: str | None, limit: int) -> None:
    """List the types, or the entities of one."""
    with target.database() as database:
        if type_name is None:
            target.show(["type", "entities", "events"], database.fetch("type_counts"))
            return
        rows = database.fetch("heads_of_type", type_name, limit)
        target.show(["entity_id", "version", "state", "owner", "tx_time", "data"], rows, type_name)


@main.command()
@click.argument("entity_id")
@click.pass_obj
def get(target: Target, entity_id: str) -> None:
    """Show an entity's current state."""
    _show_state(target, entity_id, None, None)


@main.command("as-of")
@click.argument("entity_id")
@click.option("--tx-time", type=Instant(), help="With what was known then.")
@click.option("--valid-time", type=Instant(), help="As it was effective then; at --tx-time by default.")
@click.pass_obj
def as_of(target: Target, entity_id: str, tx_time: datetime | None, valid_time: datetime | None) -> None:
    """Show an entity's state at a point of both time axes."""
    _show_state(target, entity_id, tx_time, valid_time if valid_time is not None else tx_time)


@main.command()
@click.argument("entity_id")
@click.pass_obj
def history(target: Target, entity_id: str) -> None:
    """Show an entity's state at each of its events, oldest first."""
    with target.database() as database:
        rows = _known(entity_id, database.fetch("read_history", require_entity_id(entity_id)))
        columns = ["version", "event_type", "updated_by", "tx_time", "valid_from", "valid_to", "state", "data"]
        target.show(columns, [(r[1], r[8], r[3], r[4], r[5], r[6], r[7], json.loads(r[9])) for r in rows], rows[0][10])


@main.command()
@click.argument("entity_id")
@click.pass_obj
def audit(target: Target, entity_id: str) -> None:
    """Show who changed what of an entity, and who granted access to it."""
    with target.database() as database:
        rows = _known(entity_id, database.fetch("read_audit", require_entity_id(entity_id)))
    shown = []
    for version, event_type, updated_by, tx_time, valid_from, valid_to, state, changes, old, meta, _ in rows:
        before = json.loads(old or "{}")
        fields = {name: {"old": before.get(name), "new": new} for name, new in json.loads(changes).items()}
        shown.append((version, event_type, updated_by, tx_time, valid_from, valid_to, state, fields, json.loads(meta or "{}")))
    columns = ["version", "event_type", "updated_by", "tx_time", "valid_from", "valid_to", "state", "changes", "meta"]
    target.show(columns, shown, rows[0][10])


@main.command()
@click.argument("entity_id")
@click.argument("a", type=int)
@click.argument("b", type=int)
@click.pass_obj
def diff(target: Target, entity_id: str, a: int, b: int) -> None:
    """Show what differs between versions A and B of an entity."""
    with target.database() as database:
        rows = _known(entity_id, database.fetch("read_history", require_entity_id(entity_id)))
    for version in (a, b):
        if not 1 <= version <= len(rows):
            raise EntityNotFound(f"{entity_id} has no version {version}: it has {len(rows)}", entity_id=entity_id)
    before, after = ({**json.loads(rows[v - 1][9]), "state": rows[v - 1][7]} for v in (a, b))
    names = sorted({*before, *after})
    differing = [(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)]
    target.show(["field", f"v{a}", f"v{b}"], differing)


@main.command()
@click.option("--type", "types", multiple=True, help="Only this type; may be given several times.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest event instead of the next one.")
@click.option("--once", is_flag=True, help="End when there is nothing more to show.")
@click.pass_obj
def tail(target: Target, types: tuple[str, ...], from_beginning: bool, once: bool) -> None:
    """Print events as they are committed, until Ctrl-C."""
    with target._stack, closing(LogReader(target.login(), types=types or None)) as reader:
        if not from_beginning:
            reader.seek_end()
        try:
            for rows in reader.follow(until_idle=once):
                for row in rows:
                    meta = row.metadata
                    event = {"seq": row.seq, "type": row.type_name, **meta._asdict(), "changes": row.changes}
                    if target.as_json:
                        click.echo(json.dumps(event, default=_json_value, ensure_ascii=False))
                    else:
                        click.echo(
                            f"{row.seq:>8} {_cell(meta.tx_time)} {row.type_name} {meta.entity_id} v{meta.version}"
                            f" {meta.event_type} by {meta.updated_by} {json.dumps(row.changes, ensure_ascii=False)}"
                        )
        except KeyboardInterrupt:
            return


@main.command()
@click.pass_obj
def rebuild(target: Target) -> None:
    """Derive the current-state projection anew from the log."""
    with target.admin() as conn, conn:
        count = run(conn, "SELECT store.rebuild()")[0][0]
    click.echo(f"{count} entities rebuilt")


@main.command()
@click.pass_obj
def verify(target: Target) -> None:
    """Check that the projection is what the log says; exit status 1 when it is not."""
    with target.admin() as conn:
        problems = run(conn, "SELECT entity_id::text, type_name, problem FROM store.differences()")
    if problems:
        target.show(["entity_id", "type", "problem"], problems)
        raise click.ClickException(f"{len(problems)} entities differ from the log; `rebuild` derives them anew")
    click.echo("projection and log agree")


@main.command()
@click.pass_obj
def stats(target: Target) -> None:
    """Show how much the store holds."""
    with target.database() as database:
        target.show(["figure", "value"], database.fetch("figures"))


_ADMIN = {
    "users": (
        "SELECT r.rolname, pg_has_role(r.oid, 'store_reads_all', 'MEMBER'), r.rolcanlogin FROM pg_roles r"
        " WHERE pg_has_role(r.oid, 'store_user', 'MEMBER') AND NOT r.rolsuper AND r.rolname <> 'store_user' ORDER BY 1"
    )
}


def _show_state(target: Target, entity_id: str, tx_time: datetime | None, valid_time: datetime | None) -> None:
    with target.database() as database:
        rows = _known(entity_id, database.fetch("read_as_of", require_entity_id(entity_id), tx_time, valid_time))
    _, version, owner, updated_by, recorded, valid_from, valid_to, state, event_type, data, type_name = rows[0]
    if version is None:
        raise EntityNotFound(f"{type_name} {entity_id} was not there at that point", entity_id=entity_id)
    facts = {
        "entity_id": entity_id,
        "type": type_name,
        "version": version,
        "state": state,
        "owner": owner,
        "event_type": event_type,
        "updated_by": updated_by,
        "tx_time": recorded,
        "valid_from": valid_from,
        "valid_to": valid_to,
        **json.loads(data),
    }
    if target.as_json:
        click.echo(json.dumps(facts, default=_json_value, ensure_ascii=False))
    else:
        target.show(["field", "value"], list(facts.items()))


def _known(entity_id: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if not rows:
        raise EntityNotFound(f"there is no entity {entity_id} that you may see", entity_id=entity_id)
    return rows


def _secret(variable: str, prompt: str, *, confirm: bool = False) -> str:
    """Return a password from the environment or, on a terminal, from a prompt; never from an argument."""
    found = os.environ.get(variable)
    if found is None:
        if not sys.stdin.isatty():
            raise click.UsageError(f"{prompt}: set {variable}, or run on a terminal")
        found = str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    return found


def _json_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)
