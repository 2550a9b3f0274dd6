"""The commands of `python -m store` that look after what is published, and show the column catalog."""

from __future__ import annotations

import importlib
import json
from types import ModuleType
from typing import Any

import click

from store import publishing
from store.base import Storable, types_by_name
from store.catalog import catalog_markdown, catalog_rows, catalog_table, json_schema
from store.cli.rendering import Count, json_line, note, one_line
from store.cli.target import Target
from store.columns import REGISTRY
from store.connection import run_named
from store.errors import StoreError, nearest_names

__all__ = ["catalog", "govern", "publish", "published", "retire"]


@click.command()
@click.argument("modules", metavar="MODULE", nargs=-1, required=True)
@click.option("--despite-misfits", is_flag=True, help="Also where data are stored that a class cannot read.")
@click.pass_obj
def publish(target: Target, modules: tuple[str, ...], despite_misfits: bool) -> None:
    """Publish the stored classes of a MODULE, or one as MODULE:CLASS.

    From then on the database holds every write of these types to their columns and to their state machines, whoever
    sends it. All of them are published, or none.
    """
    classes = [cls for name in modules for cls in _classes_of(name)]
    with target.administer() as conn:
        done = publishing.publish(conn, *classes, despite_misfits=despite_misfits)
    if target.out.as_json:
        for publication in done:
            name, revision, changed, notes = publication
            target.out.facts({"type": name, "revision": revision, "changed": changed, "notes": notes})
        return
    rows = [(made.type_name, Count(made.revision), "published" if made.changed else "unchanged") for made in done]
    target.out.rows(["type", "revision", "result"], rows)
    for publication in done:
        for sentence in publication.notes:
            note(sentence)


@click.command()
@click.argument("type_name", metavar="TYPE")
@click.pass_obj
def retire(target: Target, type_name: str) -> None:
    """Close a published TYPE to writers; its objects can still be read.

    Publishing it again opens it.
    """
    with target.administer() as conn:
        changed = publishing.retire(conn, type_name)
    target.out.line(f"{type_name} {'is' if changed else 'was already'} retired", type=type_name, changed=changed)


@click.command()
@click.pass_obj
def published(target: Target) -> None:
    """List the published types."""
    columns = ["type", "revision", "retired", "fields", "machine", "published_by", "published_at"]
    with target.open() as conn:
        target.out.rows(columns, run_named(conn, "published"))


@click.command()
@click.option("--off", is_flag=True, help="Take again what is not published.")
@click.pass_obj
def govern(target: Target, off: bool) -> None:
    """Refuse every write of a type that is not published."""
    with target.administer() as conn:
        publishing.set_governed(conn, not off)
    told = "takes published types only" if not off else "takes types that are not published, too"
    target.out.line(f"the store {told}", governed=not off)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--module", "modules", metavar="MODULE", multiple=True, help="Import this first: it defines more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all that is known of a column.")
@click.option("--markdown", is_flag=True, help="Markdown, one table for each category.")
@click.option("--schema", metavar="TYPE", help="The JSON Schema of a class instead.")
@click.pass_obj
def catalog(
    target: Target, words: tuple[str, ...], modules: tuple[str, ...], as_json: bool, markdown: bool, schema: str | None
) -> None:
    """Show the approved columns; with WORDS, those that answer to them.

    WORDS are a name, a synonym, or words of a description. This command needs no store.
    """
    for name in modules:
        _imported(name)
    if schema is not None:
        click.echo(json.dumps(json_schema(_class_named(schema)), indent=2, ensure_ascii=False))
        return
    columns = REGISTRY.find(" ".join(words), limit=len(REGISTRY)) if words else REGISTRY.all_columns()
    if not columns:
        raise StoreError(f"no column answers to {' '.join(words)!r}")
    if as_json or target.out.as_json:
        for row in catalog_rows(columns):
            click.echo(json_line(row))
    elif markdown:
        click.echo(catalog_markdown(columns))
    else:
        head, *lines = catalog_table(columns, target.out.width()).splitlines()
        click.secho(head, bold=True)
        for line in lines:
            click.echo(one_line(line))


def _imported(name: str) -> ModuleType:
    """Import a module, from the directory where the command runs too."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a module runs its author's code: whatever that raises is to be told
        what = f"{type(error).__name__}: {error}" if not isinstance(error, ModuleNotFoundError) else str(error)
        raise StoreError(f"cannot import {name}: {what}") from error


def _classes_of(target: str) -> list[type[Storable]]:
    """Return the stored classes that a module defines, or the one named behind the colon."""
    name, _, wanted = target.partition(":")
    module = _imported(name)
    found: dict[str, Any] = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Storable) and value is not Storable
    }
    if wanted:
        if wanted not in found:
            near = nearest_names(wanted, found)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise StoreError(f"{name} has no stored class {wanted}{hint}")
        return [found[wanted]]
    # Classes that are only imported belong to another module; what is no dataclass serves as a base of others.
    own = [cls for cls in found.values() if cls.__module__ == name and "__dataclass_fields__" in vars(cls)]
    if not own:
        others = sorted({cls.__module__ for cls in found.values()} - {name})
        hint = f"; it imports some from {', '.join(others)}" if others else ""
        raise StoreError(f"{name} defines no stored class{hint}")
    return list(dict.fromkeys(own))


def _class_named(type_name: str) -> type[Storable]:
    _imported("store.models")
    known = dict(types_by_name)
    if type_name not in known:
        near = nearest_names(type_name, known)
        hint = f"; did you mean {near[0]}?" if near else "; --module imports the module that defines it"
        raise StoreError(f"there is no class of type {type_name}{hint}")
    return known[type_name]
