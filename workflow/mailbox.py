"""Waiting for messages: one look at the table for all workflows of a process that wait for one."""

from __future__ import annotations

import threading
import time
from typing import Any

from workflow.database import Database
from workflow.run import Interrupted, Run
from workflow.sql import statements

__all__ = ["Mailbox"]

Sql = statements("executors")
SLICE = 0.25  # seconds between two looks at whether the run was interrupted


class Mailbox:
    """Wakes workflows that have a message.

    Args:
        database: The engine's database.
    """

    def __init__(self, database: Database) -> None:
        """Nobody waits yet."""
        self._database = database
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, tuple[str, str]] = {}

    def receive(self, records: Any, run: Run, number: int, topic: str, timeout: float) -> bytes | None:
        """Return the message that a run received at a position, or wait for one and record it there.

        Args:
            records: The backend's records.
            run: The run.
            number: The position; the next one holds the time until which it waits.
            topic: What the message is about.
            timeout: Seconds to wait.

        Returns:
            The message; None when none came in time.
        """
        begun = int(time.time() * 1000)
        recorded = records.check_operation_execution(run.workflow_id, number, "DBOS.recv")
        if recorded is None:
            deadline = time.monotonic() + records.record_sleep(run.workflow_id, number + 1, timeout)
            self.wait(run, topic, deadline)
            received = records.recv_consume(run.workflow_id, number, topic, begun)
        else:
            received = records._replay_recorded(recorded, "recv")
        message: bytes | None = received
        return message

    def wait(self, run: Run, topic: str, deadline: float) -> None:
        """Return when there is a message for a run, or at a time of the monotonic clock.

        Raises:
            Interrupted: The run was interrupted.
        """
        arrived = threading.Event()
        with self._lock:
            self._waiting[arrived] = (run.workflow_id, topic)
        try:
            while not arrived.wait(max(0.0, min(SLICE, deadline - time.monotonic()))):
                if run.interrupted.is_set():
                    raise Interrupted(run.workflow_id)
                if time.monotonic() >= deadline:
                    return
        finally:
            with self._lock:
                del self._waiting[arrived]

    def look(self) -> None:
        """Wake those who have a message."""
        with self._lock:
            waiting = dict(self._waiting)
        if waiting:
            ids = [workflow_id for workflow_id, _ in waiting.values()]
            found = set(self._database.fetch(Sql["waiting_messages"], {"workflows": ids}))
            for arrived, wanted in waiting.items():
                if wanted in found:
                    arrived.set()
