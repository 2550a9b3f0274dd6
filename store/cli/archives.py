"""The commands of `python -m store` that keep a store in a file, and make it anew from one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from store.archive import Progress
from store.backup import Backup, back_up
from store.cli.rendering import counted, note
from store.cli.target import Target
from store.restore import open_backup
from store.restore import restore as restore_archive

__all__ = ["backup", "restore"]


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="[DIR|URL] FILE")
@click.pass_obj
def backup(target: Target, places: tuple[str, ...]) -> None:
    """Write all that the store holds, as of one moment, to a FILE.

    The store is the one in DIR or at URL, where neither --data-dir nor --url names it.
    """
    *named, file = _two(places, "[DIR|URL] FILE")
    target = target.at(*named)
    with target.administer() as conn, _bar("writing") as progress:
        made = back_up(conn, Path(file), progress=progress)
    target.out.line(f"{_told(made)} in {file}", file=file, **made._asdict())
    if not made.passwords:
        note("the file holds no passwords, which only a superuser may read: users will need new ones after a restore")


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="FILE [DIR|URL]")
@click.option("--replace", is_flag=True, help="Let go what the store holds that is there already.")
@click.pass_obj
def restore(target: Target, places: tuple[str, ...], replace: bool) -> None:
    """Make a store anew from the FILE of a backup, all of it or nothing.

    The store is made in DIR or at URL, where neither --data-dir nor --url names it.
    """
    file, *named = _two(places, "FILE [DIR|URL]")
    target = target.at(*named)
    target.require_no_other_directory()
    with _bar("checking") as progress:
        archive = open_backup(Path(file), progress)
    with archive, target.administer(make=True) as conn, _bar("loading") as progress:
        embedded = target.data_dir is not None
        done = restore_archive(conn, archive, replace=replace, own_engine=embedded, progress=progress)
        dbname = conn.info.dbname
    place = f" in {target.data_dir}" if target.data_dir is not None else ""
    target.out.line(
        f"{_told(done.backup)} restored to database {dbname}{place}",
        database=dbname,
        data_dir=target.data_dir,
        **done.backup._asdict(),
        kept=done.kept,
        without_password=done.without_password,
        not_done=[shortfall._asdict() for shortfall in done.shortfalls],
    )
    if target.out.as_json:
        return
    if done.kept:
        note(f"on this server already, with what they may do and their passwords as they are: {', '.join(done.kept)}")
    if done.without_password:
        note(f"without a password, which `users password` sets: {', '.join(done.without_password)}")
    for name, reason, consequence in done.shortfalls:
        note(f"not done: {name} ({reason}). {consequence}")


def _two(places: tuple[str, ...], shown: str) -> tuple[str, ...]:
    if len(places) > 2:
        raise click.UsageError(f"too many arguments: {shown}")
    return places


def _told(made: Backup) -> str:
    holds = [
        counted(made.entities, "entity", "entities"),
        counted(made.events, "event", "events"),
        counted(made.users, "user", "users"),
        counted(made.groups, "group", "groups"),
    ]
    return ", ".join(holds)


@contextmanager
def _bar(label: str) -> Iterator[Progress | None]:
    """Show on a terminal how far the work is."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield progress
