"""What a launched engine does beside its workflows, each thing at its own pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import psycopg

from workflow.logs import logger

__all__ = ["Job", "Watch"]

RETRY_SECONDS = 0.5


class Job:
    """Something to be done again and again.

    Args:
        work: What is done.
        every: Seconds from the end of one time to the next.
    """

    def __init__(self, work: Callable[[], object], every: float) -> None:
        """Be due at once."""
        self.work = work
        self.every = every
        self.due = 0.0


class Watch:
    """Runs jobs in a thread until it is stopped. One that fails is logged once a failure, and runs again at its time.

    Args:
        jobs: What to run.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Run nothing yet."""
        self._jobs = list(jobs)
        self._prepare: Callable[[], object] | None = None
        self._delay = 0.0
        self._passed = threading.Event()
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="workflow-watch", daemon=True)
        self._told = ""

    def start(self, prepare: Callable[[], object] | None = None, delay: float = 0.0) -> None:
        """Begin.

        Args:
            prepare: Done once, before the first job; tried again until it succeeds.
            delay: Seconds before that.
        """
        self._prepare, self._delay = prepare, delay
        self._thread.start()

    def first_pass(self, timeout: float) -> bool:
        """Wait until every job has run once; say whether they have."""
        return self._passed.wait(timeout)

    def hurry(self, job: Job) -> None:
        """Let a job be due at once."""
        job.due = 0.0
        self._woken.set()

    def stop(self) -> None:
        """End, after the job that is under way."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=10.0)

    def _work(self) -> None:
        if self._stopped.wait(self._delay):
            return
        while self._prepare is not None and not self._do(self._prepare):
            if self._stopped.wait(RETRY_SECONDS):  # without it nothing would be taken from the queues, ever
                return
        while not self._stopped.is_set():
            for job in self._jobs:
                if job.due <= time.monotonic() and not self._stopped.is_set():
                    job.due = time.monotonic() + job.every
                    self._do(job.work)
            self._passed.set()
            nearest = min(job.due for job in self._jobs)
            self._woken.wait(max(0.0, nearest - time.monotonic()))
            self._woken.clear()

    def _do(self, work: Callable[[], object]) -> bool:
        """Say whether it was done; what keeps it from that is told."""
        try:
            work()
            self._told = ""
            return True
        except psycopg.Error as error:
            # The server is away, or was: all jobs tell the same.
            if self._told != str(error) and not self._stopped.is_set():
                self._told = str(error)
                logger.warning("the engine's database cannot be reached: %s", error)
        except Exception:
            logger.exception("the engine's own work failed: %r", work)
        return False
