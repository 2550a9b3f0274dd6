"""The commands of `python -m store`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from datetime import datetime
from typing import Any

import click

from store import __version__, models, schema
from store.base import record_schema, types_by_name
from store.cli.administration import groups, password, trail, users
from store.cli.archives import backup, restore
from store.cli.governance import catalog, govern, publish, published, retire
from store.cli.parameters import Point, parse_entity, parse_instant, parse_point
from store.cli.rendering import Count, assignments, cell, counted, note
from store.cli.target import PASSWORD, Target
from store.connection import PooledConnection, run_named
from store.errors import EntityNotFound, StoreError, nearest_names
from store.log_reader import LogReader
from store.log_rows import LogRow
from store.publishing import misfits

__all__ = ["commands"]

METADATA = ("version", "event_type", "updated_by", "tx_time", "valid_from", "valid_to", "state")
FIGURES = (
    "entities",
    "entities, those gone included",
    "events",
    "entities with a change ahead",
    "entities past their last fold",
    "bytes of the log",
    "bytes of the projection",
    "bytes of the database",
)


def entity_argument(command: Any) -> Any:
    """Give a command the argument ENTITY_ID."""
    return click.argument("entity_id", type=parse_entity)(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", metavar="DIR", help="The directory of an embedded store; its owner needs no password.")
@click.option("--url", metavar="URL", help="A server: postgresql://user@host:port/database, without a password.")
@click.option("--user", metavar="NAME", help=f"The login; its password comes from {PASSWORD} or a prompt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def commands(context: click.Context, data_dir: str | None, url: str | None, user: str | None, as_json: bool) -> None:
    """Look into a store, and look after it."""
    context.obj = Target(data_dir, url, user, as_json)


@commands.command()
@click.pass_obj
def init(target: Target) -> None:
    """Make the store, or bring its schema up to date."""
    target.require_no_other_directory()
    with target.administer(make=True) as conn:
        shortfalls = schema.bootstrap_schema(conn)
        dbname = conn.info.dbname
    place = f" in {target.data_dir}" if target.data_dir is not None else ""
    target.out.line(
        f"the store in database {dbname}{place} is ready",
        database=dbname,
        data_dir=target.data_dir,
        not_done=[shortfall._asdict() for shortfall in shortfalls],
    )
    for name, reason, consequence in [] if target.out.as_json else shortfalls:
        note(f"not done: {name} ({reason}). {consequence}")


@commands.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The most entities to show.")
@click.pass_obj
def ls(target: Target, type_name: str | None, limit: int) -> None:
    """List the types, or the entities of one TYPE as they are now."""
    with target.open() as conn:
        if type_name is None:
            rows = [(name, Count(entities), Count(events)) for name, entities, events in run_named(conn, "type_counts")]
            target.out.rows(["type", "entities", "events"], rows)
            return
        _require_type(conn, type_name)
        found = run_named(conn, "objects_of_type", [type_name, limit + 1])
    columns = ["entity_id", "version", "state", "owner", "tx_time", "valid_from"]
    _show_objects(target, type_name, columns, [[*row[:-1], json.loads(row[-1])] for row in found[:limit]])
    if len(found) > limit:
        note(f"there are more: --limit shows more than {limit}")


@commands.command()
@entity_argument
@click.pass_obj
def get(target: Target, entity_id: str) -> None:
    """Show an entity as it is now."""
    _show_state(target, entity_id, None, None)


@commands.command("as-of")
@entity_argument
@click.option("--tx-time", metavar="TIME", help="With what was known then; with all that is known by default.")
@click.option("--valid-time", metavar="TIME", help="As it was effective then; at --tx-time by default.")
@click.pass_obj
def as_of(target: Target, entity_id: str, tx_time: str | None, valid_time: str | None) -> None:
    """Show an entity at a point of both time axes."""
    known = None if tx_time is None else parse_instant(tx_time, "--tx-time")
    _show_state(target, entity_id, known, known if valid_time is None else parse_instant(valid_time, "--valid-time"))


@commands.command()
@entity_argument
@click.pass_obj
def history(target: Target, entity_id: str) -> None:
    """Show an entity as each of its events left it."""
    with target.open() as conn:
        rows = _found(entity_id, run_named(conn, "read_history", [entity_id]))
    shown = [[r[1], r[8], r[3], r[4], r[5], r[6], r[7], json.loads(r[9])] for r in rows]
    _show_objects(target, rows[0][10], METADATA, shown)


@commands.command()
@entity_argument
@click.pass_obj
def audit(target: Target, entity_id: str) -> None:
    """Show who changed or shared an entity, when and how."""
    with target.open() as conn:
        rows = _found(entity_id, run_named(conn, "read_audit", [entity_id]))
    shown = []
    for *facts, changes, old, meta, type_name in rows:
        new, before, further = json.loads(changes), json.loads(old or "{}"), json.loads(meta or "{}")
        fields = {name: {"old": before.get(name), "new": new[name]} for name in _in_class_order(type_name, new)}
        shown.append(
            [*facts, fields, further] if target.out.as_json else [*facts, _described(facts[1], fields, further)]
        )
    target.out.rows([*METADATA, "changes", "meta"] if target.out.as_json else [*METADATA, "changes"], shown)


@commands.command()
@entity_argument
@click.argument("a", type=parse_point)
@click.argument("b", type=parse_point)
@click.pass_obj
def diff(target: Target, entity_id: str, a: Point, b: Point) -> None:
    """Show what differs in an entity between the points A and B.

    A point is a version, such as 3; a time, at which the entity is shown as it was read then; or two times
    KNOWN/EFFECTIVE: with what was known at the first, as effective at the second. A time may be now.
    """
    with target.open() as conn:
        points = [_at(conn, entity_id, point) for point in (a, b)]
    for name, (_, values) in zip("AB", points, strict=True):
        if not values:
            note(f"the entity was not there at {name}")
    (type_name, before), (_, after) = points
    names = [name for name in _in_class_order(type_name, {*before, *after}) if before.get(name) != after.get(name)]
    if target.out.as_json:
        rows = [[name, before.get(name), after.get(name)] for name in names]
    else:
        rows = [[name, _shown(before.get(name)), _shown(after.get(name))] for name in names]
    target.out.rows(["field", "before", "after"], rows)


@commands.command()
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only this type; may be given several times.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest event instead of the next one.")
@click.option("--once", is_flag=True, help="End when there is nothing more to show.")
@click.pass_obj
def tail(target: Target, types: tuple[str, ...], from_beginning: bool, once: bool) -> None:
    """Print events as they are committed, until Ctrl-C."""
    # Ctrl-C is how this command ends, not an error.
    wanted = types or None
    with (
        suppress(KeyboardInterrupt),
        target.login() as login,
        closing(LogReader(login, types=wanted, data=True)) as reader,
    ):
        reader.connect()
        if not from_beginning:
            reader.seek_end()
        for rows in reader.follow(until_idle=once):
            for row in rows:
                _print_event(target, row)


@commands.command()
@click.pass_obj
def rebuild(target: Target) -> None:
    """Derive the current-state projection anew from the log."""
    with target.administer() as conn:
        entities = run_named(conn, "rebuild")[0][0]
    target.out.line(f"{counted(entities, 'entity', 'entities')} derived anew from the log", entities=entities)


@commands.command()
@click.pass_obj
def verify(target: Target) -> None:
    """Check that the projection is what the log says.

    The exit status is 1 when it is not. What is stored and does not fit what is published is told as well.
    """
    with target.administer() as conn:
        problems = run_named(conn, "differences")
        entities, events = run_named(conn, "figures")[0][:2]
        odd = misfits(conn)
    for sentence in odd:
        note(sentence)
    if problems:
        target.out.rows(["entity_id", "type", "problem"], problems)
        differing = counted(len(problems), "entity differs", "entities differ")
        raise StoreError(f"{differing} from the log: the command rebuild derives the projection anew")
    counts = f"{counted(entities, 'entity', 'entities')}, {counted(events, 'event', 'events')}"
    target.out.line(f"the projection is what the log says: {counts}", entities=entities, events=events, differing=0)


@commands.command()
@click.pass_obj
def stats(target: Target) -> None:
    """Show how much the store holds, as far as the user may see."""
    with target.open() as conn:
        present = sum(entities for _, entities, _ in run_named(conn, "type_counts"))
        figures = [present, *run_named(conn, "figures")[0]]
    target.out.rows(["figure", "value"], [(name, Count(value)) for name, value in zip(FIGURES, figures, strict=True)])


for command in (users, groups, trail, password, publish, retire, published, govern, backup, restore, catalog):
    commands.add_command(command)


def _show_objects(target: Target, type_name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    target.out.objects(columns, _in_class_order(type_name, {name for row in rows for name in row[-1]}), rows)


def _show_state(target: Target, entity_id: str, tx_time: datetime | None, valid_time: datetime | None) -> None:
    with target.open() as conn:
        [row] = _found(entity_id, run_named(conn, "read_as_of", [entity_id, tx_time, valid_time]))
    _, version, owner, updated_by, recorded, valid_from, valid_to, state, event_type, data, type_name = row
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
    }
    fields = json.loads(data)
    if target.out.as_json:
        target.out.facts({**facts, "data": fields})
    else:
        ordered = {name: fields[name] for name in _in_class_order(type_name, fields)}
        target.out.rows(["field", "value"], [(name, cell(value)) for name, value in {**facts, **ordered}.items()])


def _at(conn: PooledConnection, entity_id: str, point: Point) -> tuple[str, dict[str, Any]]:
    """Return an entity's type, and its fields and state at a point; none where it was not there."""
    if point.version is None:
        [row] = _found(entity_id, run_named(conn, "read_as_of", [entity_id, point.tx_time, point.valid_time]))
    else:
        rows = _found(entity_id, run_named(conn, "read_history", [entity_id]))
        if not 1 <= point.version <= len(rows):
            message = f"{entity_id} has no version {point.version}: it has {len(rows)}"
            raise EntityNotFound(message, entity_id=entity_id)
        row = rows[point.version - 1]
    return row[10], {} if row[1] is None else {**json.loads(row[9]), "state": row[7]}


def _found(entity_id: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if not rows:
        raise EntityNotFound(f"there is no entity {entity_id} that you may see", entity_id=entity_id)
    return rows


def _require_type(conn: PooledConnection, type_name: str) -> None:
    known = [name for (name,) in run_named(conn, "list_types")]
    if type_name not in known:
        close = nearest_names(type_name, known)
        hint = f": did you mean {close[0]}?" if close else ""
        raise StoreError(f"there is no entity of type {type_name} that you may see{hint}")


def _in_class_order(type_name: str, names: Iterable[str]) -> list[str]:
    """Return field names in the order of the class, where it is one of `store.models`; others by name behind them."""
    cls = types_by_name.get(type_name)
    known = [] if cls is None or cls.__module__ != models.__name__ else [*record_schema(cls).fields]
    found = set(names)
    return [*(name for name in known if name in found), *sorted(found - set(known))]


def _print_event(target: Target, row: LogRow) -> None:
    event = row.metadata
    changes = {name: row.changes[name] for name in _in_class_order(row.type_name, row.changes)}
    about = [f"{row.seq:>6}", cell(event.tx_time), f"{event.event_type:<12}", row.type_name, event.entity_id]
    change = [f"v{event.version}", f"by {event.updated_by}", assignments(changes)]
    facts = {"seq": row.seq, "type": row.type_name, **event._asdict(), "changes": changes}
    target.out.line(" ".join([*about, *change]).rstrip(), **facts)


def _described(event_type: str, fields: dict[str, dict[str, Any]], further: dict[str, Any]) -> str:
    """Return what happened as people read it: `price 150.0 -> 151.25`."""
    if event_type == "CREATED":
        told = [assignments({name: change["new"] for name, change in fields.items()})]
    else:
        told = [f"{name} {_shown(change['old'])} -> {_shown(change['new'])}" for name, change in fields.items()]
    return ", ".join([*told, *([assignments(further)] if further else [])])


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
