"""Workflows and their steps against DBOS itself, in the same process, on the same server and tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dbos import DBOS

from benchmarks.harness import Pair, ratio
from benchmarks.store_scene import running_server
from workflow.dbos_engine import DBOSEngine

RUNS = 100
STEPS = 5
LONG = 100

engine: DBOSEngine


def add_one(value: int) -> int:
    """The work of a step: none to speak of."""
    return value + 1


def five_steps() -> int:
    value = 0
    for _ in range(STEPS):
        value = engine.step(add_one, value)
    return value


def many_steps() -> int:
    value = 0
    for _ in range(LONG):
        value = engine.step(add_one, value)
    return value


def no_step() -> int:
    return 0


raw_step = DBOS.step(name="raw_step")(add_one)


@DBOS.workflow(name="raw_five_steps")
def raw_five_steps() -> int:
    value = 0
    for _ in range(STEPS):
        value = raw_step(value)
    return value


@DBOS.workflow(name="raw_many_steps")
def raw_many_steps() -> int:
    value = 0
    for _ in range(LONG):
        value = raw_step(value)
    return value


@DBOS.workflow(name="raw_no_step")
def raw_no_step() -> int:
    return 0


@contextmanager
def launched() -> Iterator[None]:
    """Launch the engine; DBOS runs in it, and so do the raw workflows."""
    global engine
    with running_server() as server:
        engine = DBOSEngine(server.dbos_url(), "bench")
        with engine:
            yield


@ratio("engine.run, 5 steps", against="the same in raw DBOS", aim=0.9)
def run_five_steps() -> Iterator[Pair]:
    with launched():

        def ours() -> None:
            for _ in range(RUNS):
                engine.run(five_steps)

        def raw() -> None:
            for _ in range(RUNS):
                raw_five_steps()

        yield Pair(ours, raw, operations=RUNS)


@ratio("engine.step", against="a step in raw DBOS", aim=0.9)
def one_step() -> Iterator[Pair]:
    with launched():

        def ours() -> None:
            engine.run(many_steps)

        def raw() -> None:
            raw_many_steps()

        yield Pair(ours, raw, operations=LONG)


@ratio("engine.run, no step", against="the same in raw DBOS", aim=None)
def run_no_step() -> Iterator[Pair]:
    with launched():

        def ours() -> None:
            for _ in range(RUNS):
                engine.run(no_step)

        def raw() -> None:
            for _ in range(RUNS):
                raw_no_step()

        yield Pair(ours, raw, operations=RUNS)
