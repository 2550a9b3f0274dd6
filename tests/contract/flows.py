"""Workflows for the contract of the engines, importable by name; `here` connects them with the test that runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from store.models import Trade


class Here:
    """What the workflows of the running test share with it."""

    def __init__(self) -> None:
        self.engine: Any = None
        self.reset()

    def reset(self) -> None:
        self.calls: Counter[str] = Counter()
        self.seen: list[Any] = []
        self.gate = threading.Event()
        self.reached = threading.Event()
        self.order: list[Callable[[], Any]] = []

    def call(self, name: str) -> int:
        self.calls[name] += 1
        return self.calls[name]


here = Here()


def add(a: int, b: int) -> int:
    here.call("add")
    return a + b


async def add_async(a: int, b: int) -> int:
    here.call("add")
    await asyncio.sleep(0.01)
    return a + b


def three_steps(start: int, by: int = 1) -> int:
    value = start
    for _ in range(3):
        value = here.engine.step(add, value, by)
    return value


def overrun(seconds: float) -> str:
    time.sleep(seconds)
    return "late"


def overrun_and_step(seconds: float) -> int:
    time.sleep(seconds)
    return here.engine.step(add, 1, 2)


def identity(value: Any) -> Any:
    return value


def plain(value: Any = None) -> Any:
    here.call("plain")
    return value


def fail(message: str = "no") -> None:
    here.call("fail")
    raise ValueError(message)


def failing_step(message: str) -> None:
    here.engine.step(fail, message)


def swallowing() -> str:
    try:
        here.engine.step(fail, "swallowed")
    except ValueError as error:
        return f"caught {error}"
    return "nothing"


def flaky(until: int) -> int:
    tries = here.call("flaky")
    if tries < until:
        raise ConnectionError(f"try {tries}")
    return tries


def retrying(until: int, attempts: int) -> int:
    return here.engine.step(flaky, until, attempts=attempts, backoff=0.01, retry_on=(ConnectionError,))


def retrying_other(attempts: int) -> None:
    here.engine.step(fail, "final", attempts=attempts, backoff=0.01, retry_on=ConnectionError)


def retrying_after(kind: Any) -> None:
    here.engine.step(fail, "never", retry_on=kind)


async def async_flow(start: int) -> int:
    first = await here.engine.step(add_async, start, 1)
    second = await here.engine.step(add, first, 1)
    await here.engine.sleep(0.01)
    return second + await here.engine.run(plain, 10)


async def async_gather() -> list[int]:
    return await asyncio.gather(*(here.engine.step(add_async, number, 0) for number in range(5)))


def async_step_in_plain_workflow() -> int:
    return here.engine.step(add_async, 1, 2)


def changing_step(trade: Trade) -> Trade:
    trade.quantity += 1
    return trade


def copying() -> tuple[int, int, int]:
    mine = Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    theirs = here.engine.step(changing_step, mine)
    held = here.engine.step(lambda trades: changing_step(trades[0]) and trades, [mine])
    return mine.quantity, theirs.quantity, held[0].quantity


def unpicklable_result() -> Any:
    return here.engine.step(threading.Lock)


def unpicklable_outcome() -> Any:
    return threading.Lock()


class Stubborn(Exception):
    """An error that pickles and cannot be read back."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def raise_stubborn() -> None:
    raise Stubborn("this", "that")


def stubborn_step() -> None:
    here.engine.step(raise_stubborn)


def exiting() -> None:
    raise SystemExit(3)


def exiting_step() -> None:
    here.engine.step(exiting)


def step_in_step() -> Any:
    return here.engine.step(three_steps, 1)


def step_in_thread() -> str:
    told: list[str] = []

    def work() -> None:
        try:
            here.engine.step(add, 1, 1)
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return told[0]


def gated(tag: str = "") -> str:
    """Takes a step, waits for the test, takes another."""
    here.engine.step(plain, tag)
    here.reached.set()
    while not here.gate.is_set():
        here.engine.sleep(0.01)
    here.engine.step(plain, tag)
    return f"done {tag}"


def held_step() -> str:
    """Is in the middle of a step until the test lets it go on."""
    here.engine.step(plain)
    here.engine.step(hold)
    here.engine.step(plain)
    return "done"


def hold() -> None:
    here.call("hold")
    here.reached.set()
    assert here.gate.wait(120)


def sleeper(seconds: float) -> float:
    begun = here.engine.step(time.time)
    here.reached.set()
    here.engine.sleep(seconds)
    return time.time() - begun


async def napping(seconds: float) -> None:
    await here.engine.step(add_async, 1, 1)
    here.reached.set()
    await asyncio.gather(here.engine.sleep(seconds), here.engine.recv("news", seconds))


def receiver(count: int, timeout: float = 30.0) -> list[Any]:
    here.reached.set()
    return [here.engine.recv("news", timeout) for _ in range(count)]


def receiver_once_let_go() -> list[Any]:
    """Looks for messages when the test has sent all that it will."""
    here.reached.set()
    assert here.gate.wait(120)
    return [here.engine.recv("news", 30.0), here.engine.recv("news", 0.2)]


def sender(workflow_id: str, value: Any) -> None:
    here.engine.send(workflow_id, "news", value)


def asking() -> Any:
    """Starts a child, waits for it, and tells what it sent back."""
    child = here.engine.workflow(answering, here.engine.step(lambda: "question"))
    return child.get_result(120)


def answering(text: str) -> str:
    return here.engine.step(lambda: f"answer to {text}")


def both_orders() -> Any:
    """Takes the steps in `here.order`, and stands still after the first run's first one."""
    results = [here.engine.step(step) for step in here.order]
    if not here.gate.is_set():
        here.reached.set()
        here.engine.sleep(3600)
    return results


def first() -> str:
    return "first"


def second() -> str:
    return "second"


def record(tag: Any) -> Any:
    here.seen.append(tag)
    return tag


def crowd(tag: int) -> int:
    """Notes how many of its kind run at once."""
    with _crowd_lock:
        here.calls["now"] += 1
        here.calls["most"] = max(here.calls["most"], here.calls["now"])
    time.sleep(0.05)
    with _crowd_lock:
        here.calls["now"] -= 1
    return tag


_crowd_lock = threading.Lock()


def tell_context() -> Any:
    inside = here.engine.step(lambda: here.engine.context)
    return here.engine.context, inside


def doomed() -> str:
    """Is taken out of this module by a test."""
    return "alive"


def receiving(topic: Any, timeout: Any) -> Any:
    return here.engine.recv(topic, timeout)


def generating_step() -> Any:
    return here.engine.step(lambda: (number for number in (None, 1)))


async def async_lambda_step() -> Any:
    return await here.engine.step(lambda: add_async(1, 2))


def named_step(name: str) -> Any:
    return here.engine.step(add, 1, 2, name=name)
