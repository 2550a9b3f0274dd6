"""`python -m workflow`: what runs, what waits and why; cancelling, resuming, recovering, forgetting."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import click
import psycopg

from store.cli.rendering import Printer, escape_what_cannot_be_shown, note, usage_message
from store.errors import StoreError
from store.server import ObjectStoreServer
from workflow.database import Database
from workflow.duties import forget
from workflow.errors import UnknownWorkflow, WorkflowError
from workflow.ledger import Ledger
from workflow.outbox import workflow_id_of
from workflow.records import WorkflowInfo, WorkflowStatus
from workflow.sql import statements

if TYPE_CHECKING:
    from workflow.dbos_engine import DBOSEngine

__all__ = ["main"]

PROGRAM = "python -m workflow"
PASSWORD = "WORKFLOW_PASSWORD"
NAME_ONE = "name the engine's database with either --data-dir or --url"
DAY = 86_400.0
COLUMNS = ("workflow_id", "status", "function", "queue", "attempt", "created", "updated", "executor", "note")


class Target:
    """The engine's database that the options name."""

    def __init__(self, data_dir: str | None, url: str | None, application: str | None, as_json: bool) -> None:
        """Check the options; connect nothing."""
        if data_dir is not None and url is not None:
            raise click.UsageError(NAME_ONE)
        if data_dir is not None and not data_dir.strip():
            raise click.UsageError("the store's directory is empty: name one, or . for this one")
        if url is not None and urlsplit(url).password is not None:
            raise click.UsageError(f"a password in --url is there for all to see: leave it out, and set {PASSWORD}")
        self._data_dir, self._url = data_dir, url
        self.application = application
        self.out = Printer(as_json)

    @contextmanager
    def url(self) -> Iterator[str]:
        """Yield the URL, with the password; an embedded server runs meanwhile, joined where it runs already."""
        with ExitStack() as stack:
            if self._data_dir is not None:
                if not Path(self._data_dir, "postgres").exists():
                    raise WorkflowError(f"there is no store in {self._data_dir}")
                yield stack.enter_context(ObjectStoreServer(self._data_dir, visiting=True)).dbos_url()
                return
            if self._url is None:
                raise click.UsageError(NAME_ONE)
            parts, password = urlsplit(self._url), os.environ.get(PASSWORD)
            if password and parts.username:
                host = f"{parts.username}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
                parts = parts._replace(netloc=host)
            yield urlunsplit(parts)

    @contextmanager
    def open(self) -> Iterator[tuple[str, Database, Ledger]]:
        """Yield the URL, the database, and what is recorded in it."""
        with self.url() as url, closing(Database(url)) as database:
            ledger = Ledger(database, self.application)
            ledger.check()
            yield url, database, ledger


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data-dir", metavar="DIR", help="The directory of an embedded store, for its owner.")
@click.option("--url", metavar="URL", help=f"The engine's URL without its password, which comes from {PASSWORD}.")
@click.option("--application", metavar="NAME", help="Only workflows of engines of this name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
@click.pass_context
def commands(
    context: click.Context, data_dir: str | None, url: str | None, application: str | None, as_json: bool
) -> None:
    """Look after workflows."""
    context.obj = Target(data_dir, url, application, as_json)


@commands.command("list")
@click.option("--status", type=click.Choice([str(each) for each in WorkflowStatus]), help="Only those of this status.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The most to show.")
@click.pass_obj
def list_workflows(target: Target, status: str | None, limit: int) -> None:
    """List workflows, the newest first, and transitions whose workflow waits to be started."""
    with target.open() as (_, database, ledger):
        rows = [_row(info) for info in ledger.list(status, limit)]
        if status in (None, "PENDING"):
            rows += _outbox(database, limit)
    target.out.rows(COLUMNS, rows)


@commands.command()
@click.argument("workflow_id")
@click.pass_obj
def show(target: Target, workflow_id: str) -> None:
    """Show one workflow and its steps."""
    with target.open() as (_, _, ledger):
        info = ledger.show(workflow_id)
    out = target.out
    if out.as_json:
        steps = [dict(step._asdict()) for step in info.steps]
        out.facts(info._asdict() | {"status": str(info.status), "steps": steps})
        return
    out.rows(COLUMNS, [_row(info)])
    if info.error is not None:
        out.line(f"error: {info.error}")
    rows = [[step.position, step.name, _when(step.started_at), _when(step.ended_at), step.error] for step in info.steps]
    out.rows(("step", "name", "started", "ended", "error"), rows)


@commands.command()
@click.argument("workflow_id")
@click.pass_obj
def cancel(target: Target, workflow_id: str) -> None:
    """Cancel a workflow: it ends before its next step."""
    _change(target, workflow_id, "cancel_workflows", WorkflowStatus.CANCELLED)


@commands.command()
@click.argument("workflow_id")
@click.pass_obj
def resume(target: Target, workflow_id: str) -> None:
    """Let a cancelled workflow go on, in an engine that runs."""
    _change(target, workflow_id, "resume_workflows", WorkflowStatus.PENDING)


@commands.command()
@click.argument("engine", metavar="MODULE:ENGINE")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait.")
@click.pass_obj
def recover(target: Target, engine: str, timeout: float) -> None:
    """Launch an engine here, and wait until what dead processes left behind has ended.

    ENGINE is the name that the workflows' own module gives its engine, not launched yet. Its database is that of the
    engine; --data-dir or --url only keep an embedded server running meanwhile. What waits in the queues that it
    consumes is run too, where no other process lives; what a living process runs is left to it.
    """
    with target.url():
        found = _engine(engine)
        queued = _queued(found)
        with found:
            recovered, waiting = [each.workflow_id for each in found.report.recovered], [*found.report.waiting]
            elsewhere = found._duties.ledger.elsewhere(found.report.executor_id)
            behind = [*dict.fromkeys(recovered + ([] if elsewhere else queued))]
            deadline = time.monotonic() + timeout
            left = [each for each in behind if found._ended(each) is None]
            while left and time.monotonic() < deadline:
                time.sleep(0.05)
                left = [each for each in left if found._ended(each) is None]
            rows = [[each, str(found.show(each).status), None] for each in behind]
    rows += [[each.workflow_id, str(WorkflowStatus.PENDING), each.reason] for each in waiting]
    if rows:
        target.out.rows(("workflow_id", "status", "note"), rows)
    else:
        note("nothing to recover")
    if elsewhere:
        note(f"{elsewhere} run in other processes, which live: they are left alone")
    if left or waiting:
        raise WorkflowError(f"not ended: {len(left)}; waiting for a process that can go on with them: {len(waiting)}")


@commands.command()
@click.option("--older-than", type=click.FloatRange(min=0), required=True, metavar="DAYS", help="Days since the end.")
@click.pass_obj
def prune(target: Target, older_than: float) -> None:
    """Forget workflows that ended so many days ago, with their steps and messages."""
    from workflow.dbos_engine import remote

    with target.open() as (url, database, ledger), _closing(remote(url, target.application)) as client:
        count = forget(database, ledger, client.delete_workflows, older_than * DAY)
    target.out.line(f"{count} workflows forgotten", forgotten=count)


def _change(target: Target, workflow_id: str, verb: str, wanted: WorkflowStatus) -> None:
    from workflow.dbos_engine import remote

    with target.open() as (url, _, ledger):
        known = ledger.show(workflow_id)
        before, options = known.status, {} if verb == "cancel_workflows" else {"queue_name": known.queue}
        ended = (WorkflowStatus.SUCCESS, WorkflowStatus.ERROR)
        if before in ended or (verb == "resume_workflows" and before is not WorkflowStatus.CANCELLED):
            raise WorkflowError(f"workflow {workflow_id} is {before}: there is nothing to {verb.partition('_')[0]}")
        with _closing(remote(url, target.application)) as client:
            getattr(client, verb)([workflow_id], **options)
    target.out.line(f"workflow {workflow_id} is {wanted}", workflow_id=workflow_id, status=str(wanted))


@contextmanager
def _closing(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        client.destroy()


def _engine(name: str) -> DBOSEngine:
    """Return the engine of a name such as `desk.flows:engine`."""
    from workflow.dbos_engine import DBOSEngine

    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise WorkflowError(f"{name!r} names no engine: write MODULE:ENGINE, such as desk.flows:engine")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a script without a guard ends the program that imports it
        raise WorkflowError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, DBOSEngine):
        raise WorkflowError(f"{name} is a {type(found).__name__}, no engine on PostgreSQL: write MODULE:ENGINE")
    return found


def _queued(engine: DBOSEngine) -> list[str]:
    """Return what waits in the queues that an engine consumes, before it is launched."""
    with closing(Database(engine._url)) as database:
        if not database.fetch("SELECT to_regclass('workflow.executors') IS NOT NULL")[0][0]:
            return []
        consumed = [queue.name for queue in engine._queues.values() if queue.consume]
        return [*Ledger(database, engine._name).queued(consumed, engine._executor.version)]


def _outbox(database: Database, limit: int) -> list[list[Any]]:
    """Return the transitions whose workflow is not started yet, as rows of the list."""
    sql = statements("outbox")
    if not database.fetch(sql["present"])[0][0]:
        return []
    reasons = dict(database.fetch("SELECT subject, reason FROM workflow.problems"))
    rows = []
    for entity, version, _, type_name, before, after, user, at in database.fetch(
        sql["pending"], {"limit": limit, "after": 0}
    ):
        subject = workflow_id_of(entity, version)
        why = reasons.get(subject, f"{type_name} {before} -> {after} by {user}: no engine has started it yet")
        rows.append([subject, "PENDING", None, None, 0, _when(at), _when(at), None, why])
    return rows


def _row(info: WorkflowInfo) -> list[Any]:
    note_of = info.note if info.error is None else info.error
    created, updated = _when(info.created_at), _when(info.updated_at)
    status = str(info.status)
    return [info.workflow_id, status, info.target, info.queue, info.attempt, created, updated, info.executor, note_of]


def _when(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit status: 0, 1 for an error, 2 for a wrong call, 130 after Ctrl-C.

    Args:
        arguments: What stands behind `python -m workflow`; those of the process when None.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    escape_what_cannot_be_shown()
    try:
        commands.main(given or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        note(f"Error: {usage_message(error, commands, PROGRAM)}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except (WorkflowError, StoreError, UnknownWorkflow, psycopg.Error, OSError) as error:
        note(f"Error: {' '.join(str(error).split())}")
        return 1
    return 0
