"""Queues: from putting in to the first line of the function, and 1,000 workflows drained by 1, 2 and 4 processes.

The processes are worker processes of this module, each with an engine of its own. The raw side of the drain is one such
process: the ratio says what the others add on this machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.harness import Pair, Samples, bounded, ratio
from benchmarks.store_scene import running_server
from workflow.database import Database
from workflow.dbos_engine import DBOSEngine
from workflow.records import WorkflowStatus

LATENCIES = 100
QUEUED = 1_000
QUEUE = "work"

engine: DBOSEngine


def begun() -> float:
    """Return when the workflow began: the clock of one machine."""
    return time.time()


@bounded("queue, put in to begun", p50=0.2, p99=0.5)
def queue_latency() -> Iterator[Samples]:
    global engine
    with running_server() as server:
        engine = DBOSEngine(server.dbos_url(), "bench")
        engine.declare_queue(QUEUE)
        with engine:

            def take() -> Sequence[float]:
                found = []
                for _ in range(LATENCIES):
                    put = time.time()
                    found.append(engine.queue(QUEUE, begun).get_result() - put)
                return found

            yield Samples(take)


@contextmanager
def workers(url: str, count: int) -> Iterator[None]:
    """Run processes that take from the queue, from when all of them are ready."""
    command = [sys.executable, "-m", "benchmarks.workflow_queue", url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.terminate()
            process.communicate()


def drained_by(count: int) -> Iterator[Pair]:
    """Yield the pair of a drain by so many processes and one by a single process."""
    global engine
    with running_server() as server:
        url = server.dbos_url()
        engine = DBOSEngine(url, "bench")
        engine.declare_queue(QUEUE, consume=False)
        from benchmarks.workflow_queue import begun as importable  # not of __main__: the workers run another one

        def drain(processes: int) -> float:
            ids = [engine.queue(QUEUE, importable).workflow_id for _ in range(QUEUED)]
            with workers(url, processes):
                start = time.perf_counter()
                records = Database(url)
                left = f"SELECT count(*) FROM workflow.workflow_status WHERE status <> '{WorkflowStatus.SUCCESS}'"
                while records.fetch(left)[0][0]:
                    time.sleep(0.01)
                seconds = time.perf_counter() - start
                records.close()
            assert len(ids) == QUEUED
            engine.prune(0)
            return seconds

        with engine:
            yield Pair(lambda: drain(count), lambda: drain(1), operations=QUEUED)


@ratio("1,000 queued workflows, 2 processes", against="1 process", aim=None)
def two_processes() -> Iterator[Pair]:
    yield from drained_by(2)


@ratio("1,000 queued workflows, 4 processes", against="1 process", aim=None)
def four_processes() -> Iterator[Pair]:
    yield from drained_by(4)


def work(url: str) -> None:
    """Take from the queue until terminated; the queue's worker begins once the line is printed."""
    with DBOSEngine(url, "bench") as worker:
        worker.declare_queue(QUEUE, worker_concurrency=20)
        print("ready", flush=True)
        time.sleep(3600)


if __name__ == "__main__":
    work(sys.argv[1])
