"""What an engine on PostgreSQL does beside running workflows: taking over, draining the outbox, delivering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg

from workflow.database import Database
from workflow.errors import EngineError
from workflow.executors import Executor, TakeOver
from workflow.handle import POLL
from workflow.ledger import Ledger
from workflow.mailbox import Mailbox
from workflow.outbox import Outbox
from workflow.records import Start
from workflow.report import LaunchReport, Waiting
from workflow.run import Run
from workflow.sql import script, statements
from workflow.starting import require_seconds
from workflow.upkeep import Upkeep
from workflow.watch import Job, Watch

__all__ = ["Duties", "forget"]

BEAT_SECONDS = 5.0
SWEEP_SECONDS = 1.0
OWNED_SECONDS = 0.25
OUTBOX_SECONDS = 1.0
UPKEEP_SECONDS = 1.0
REPORT_SECONDS = 30.0
BATCH = 1000
Sql = statements("executors")


class Duties:
    """The duties of one launched engine.

    Args:
        url: The engine's database.
        executor: This process.
        application: Whose workflows.
        start: Starts a workflow.
        run_claimed: Runs a workflow that was claimed from a dead process: its id, and the token of the claim.
        runs: The runs of this process, each with the token under which it owns its workflow.
    """

    def __init__(
        self,
        url: str,
        executor: Executor,
        application: str,
        start: Callable[[Start], Any],
        run_claimed: Callable[[str, str], None],
        runs: Mapping[Run, str],
    ) -> None:
        """Connect nothing yet."""
        self._database = Database(url)
        self.ledger = Ledger(self._database, application)
        self.mailbox = Mailbox(self._database)
        self._runs = runs
        self._report = LaunchReport(executor.executor_id)
        self._takeover = TakeOver(self._database, executor, run_claimed)
        self._outbox = Outbox(url, start, self._note, self._takeover.settle)
        self._upkeep = Upkeep(url)
        self._outbox_job = Job(self._outbox.drain, OUTBOX_SECONDS)
        self._slow: Watch | None = None
        self._fast: Watch | None = None

    def check(self) -> None:
        """Fail when the database cannot be reached, or the login may not keep workflows in it."""
        login, may = self._database.fetch(Sql["login"])[0]
        if not may:
            raise EngineError(
                f"the login {login!r} may not use the schema workflow: an engine has a login of its own, as"
                " server.dbos_url() returns it"
            )

    def begin(self, prepare: Callable[[], None], delay: float) -> None:
        """Make the tables, show that this process is there, and do the rest in the background after a delay."""
        self._database.script(script("tables"))
        self._takeover.join()
        # Starting workflows and importing their modules may take long, and must not keep messages waiting.
        sweep = Job(lambda: self._takeover.sweep(self._report), SWEEP_SECONDS)
        self._slow = Watch([sweep, self._outbox_job, Job(self._upkeep.tend, UPKEEP_SECONDS)])
        self._fast = Watch(
            [
                Job(self._takeover.join, BEAT_SECONDS),
                Job(self._interrupt_lost, OWNED_SECONDS),
                Job(self.mailbox.look, POLL),
            ]
        )
        self._slow.start(prepare, delay)
        self._fast.start()

    def complete_report(self) -> LaunchReport:
        """Return the report, once all that there was at launch has been looked at."""
        if self._slow is not None:
            self._slow.first_pass(REPORT_SECONDS)
        return self._report

    def wake(self) -> None:
        """Look into the outbox at once."""
        if self._slow is not None:
            self._slow.hurry(self._outbox_job)

    def stop(self) -> None:
        """Do no more."""
        for watch in (self._slow, self._fast):
            if watch is not None:
                watch.stop()

    def leave(self) -> None:
        """Say that this process runs no more workflows, and close the connections."""
        with suppress(psycopg.Error, EngineError):  # without it, the others see that this process is gone
            self._takeover.leave()
        self._outbox.close()
        self._upkeep.close()
        self._database.close()

    def forget(self, delete: Callable[[list[str]], None], older_than: float) -> int:
        """Delete the workflows that ended longer ago than so many seconds, a batch at a time."""
        return forget(self._database, self.ledger, delete, older_than)

    def _note(self, subject: str, reason: str) -> None:
        self._takeover.note(subject, reason)
        self._report.wait(Waiting(subject, reason.partition(":")[0], reason))

    def _interrupt_lost(self) -> None:
        """Interrupt the runs that no longer own their workflow: cancelled, or taken over."""
        runs = dict(self._runs)
        if runs:
            ids = [run.workflow_id for run in runs]
            owners = dict(self._database.fetch(Sql["owned"], {"workflows": ids}))
            for run, token in runs.items():
                if owners.get(run.workflow_id) != token:
                    run.interrupted.set()


def forget(database: Database, ledger: Ledger, delete: Callable[[list[str]], None], older_than: float) -> int:
    """Delete workflows, the keys of their changes to the store first: a workflow without keys could change it twice."""
    require_seconds("older_than", older_than)
    count = 0
    keyed = database.fetch(Sql["keyed"])[0][0]
    while gone := ledger.ended_before(older_than, BATCH):
        if keyed:
            database.fetch(Sql["forget_keys"], {"workflows": [*gone]})
        delete([*gone])
        database.change(Sql["forget_problems"], {"workflows": [*gone]})
        count += len(gone)
    return count
