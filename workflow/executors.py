"""The processes that run workflows: showing that this one lives, and taking over from those that do not.

On one machine a process is dead when it is gone. A process elsewhere is dead when it has not shown itself for the
length of a lease. A workflow changes hands in one statement, which names the dead process: only one taker succeeds. The
former holder, should it live after all, can record nothing more, since each of its records names the hand-over.
"""

from __future__ import annotations

import os
import platform
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from workflow.database import Database
from workflow.errors import TargetNotFound
from workflow.report import LaunchReport, Recovered, Waiting
from workflow.sql import statements
from workflow.targets import LOCAL, find

__all__ = ["LEASE_SECONDS", "Executor", "TakeOver"]

LEASE_SECONDS = 30.0
Sql = statements("executors")


class Executor(NamedTuple):
    """One process that runs workflows.

    Attributes:
        executor_id: Its id, never used again.
        application: Whose workflows it runs.
        version: The version of them that it runs.
    """

    executor_id: str
    application: str
    version: str

    @classmethod
    def new(cls, application: str, version: str) -> Executor:
        """Return the executor of this process."""
        return cls(f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:12]}", application, version)


class TakeOver:
    """Shows that an executor lives, and lets it take over from dead ones.

    Args:
        database: The engine's database.
        executor: This process.
        run: Runs a claimed workflow: its id, and the token under which it was claimed.
    """

    def __init__(self, database: Database, executor: Executor, run: Callable[[str, str], None]) -> None:
        """Change nothing yet."""
        self._database = database
        self._executor = executor
        self._run = run
        self._place = place()
        self._noted: dict[str, str] = {}

    def join(self) -> None:
        """Show that this process lives; the first time, that it is there."""
        process = psutil.Process()
        self._database.change(
            Sql["join"],
            {
                "executor": self._executor.executor_id,
                "application": self._executor.application,
                "version": self._executor.version,
                "place": self._place,
                "process": process.pid,
                "process_started": process.create_time(),
                "script": " ".join(sys.argv)[:200],
            },
        )

    def leave(self) -> None:
        """Say that this process runs no more workflows."""
        self._database.change(Sql["leave"], {"executor": self._executor.executor_id})
        self._database.change(Sql["dismiss"], {"holder": self._executor.executor_id})

    def sweep(self, report: LaunchReport) -> None:
        """Take over what dead processes hold, and write into the report what was done and what could not be."""
        me = {"executor": self._executor.executor_id, "application": self._executor.application}
        for holder, where, process, started, left, silent in self._database.fetch(Sql["others"], me):
            if not left and not self._is_dead(where, process, started, silent):
                continue
            if not left:
                self._database.change(Sql["leave"], {"executor": holder})  # so that everybody who looks sees it
            for workflow_id, version, queue, target, origin in self._database.fetch(
                Sql["held"], me | {"holder": holder}
            ):
                self._take(report, holder, workflow_id, version, queue, target or "", origin or "")
            self._database.change(Sql["dismiss"], {"holder": holder})

    def note(self, subject: str, reason: str) -> None:
        """Record why something waits, for those who look."""
        executor = self._executor.executor_id
        self._database.change(Sql["note"], {"subject": subject, "reason": reason, "executor": executor})

    def settle(self, subject: str) -> None:
        """Take back a note."""
        self._database.change(Sql["settle"], {"subject": subject})

    def _take(
        self,
        report: LaunchReport,
        holder: str,
        workflow_id: str,
        version: str | None,
        queue: str | None,
        target: str,
        origin: str,
    ) -> None:
        key = {"workflow": workflow_id, "holder": holder, "executor": self._executor.executor_id}
        reason = self._why_not(version, target, origin)
        if reason is not None:
            if self._noted.get(workflow_id) != reason:
                self._noted[workflow_id] = reason
                self.note(workflow_id, reason)
                report.wait(Waiting(workflow_id, target, reason))
            return
        if queue is not None and not queue.startswith("_"):
            # Through its queue again, so that the queue's limits hold.
            if self._database.change(Sql["requeue"], key):
                report.recover(Recovered(workflow_id, target, holder, queue))
        else:
            token = str(uuid.uuid4())
            if self._database.change(Sql["claim"], key | {"token": token}):
                report.recover(Recovered(workflow_id, target, holder, None))
                self._run(workflow_id, token)
        if self._noted.pop(workflow_id, None) is not None:
            self.settle(workflow_id)

    def _why_not(self, version: str | None, target: str, origin: str) -> str | None:
        if version != self._executor.version:
            return f"it belongs to version {version} of the application, and this process runs {self._executor.version}"
        if target.startswith(LOCAL):
            return None  # nobody can: it ends with that error
        try:
            find(target, origin)
        except TargetNotFound as error:
            return str(error)
        return None

    def _is_dead(self, where: str, process: int, started: float, silent: float) -> bool:
        if where != self._place:
            return silent > LEASE_SECONDS
        try:
            found = psutil.Process(process)
            return abs(found.create_time() - started) > 1.0 or found.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False  # there is one


def place() -> str:
    """Return what processes have in common that can see each other: machine, boot, and process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    parts = [platform.node(), boot.read_text().strip() if boot.exists() else str(psutil.boot_time())]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return "/".join(parts)
