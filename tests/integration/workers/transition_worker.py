"""Takes one transition and dies in the middle of it, or runs the engine that starts what such transitions left.

Job: `login` (a user's) and either `entity` and `point` (where to die), or `url` (the engine's) and `entities` (whose
workflows to see to their end). Tells `done` for each side effect before the next thing happens, `ended` with the
entities whose workflow has ended.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any, NoReturn

from reactive.expr import Const, Field
from store import connection
from store.base import Storable
from store.client import StoreClient
from store.state_machine import StateMachine, Transition
from store.writing import Writer
from tests.integration.workers.telling import job, tell
from tests.waiting import wait_until
from workflow import WorkflowEngine
from workflow.dbos_engine import DBOSEngine

client: StoreClient
engine: WorkflowEngine
# Each point of a transition, in the order in which they come.
POINTS = ("before the event", "in the action", "before the commit", "before tier 2", "in tier 2", "before the workflow")
asked: dict[str, Any] = {}


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def reach(point: str) -> None:
    if asked.get("point") == point:
        die()


def book(obj: Any, from_state: str, to_state: str) -> None:
    """Tier 1: another entity, in the same transaction."""
    client.write(Effect(label="tier 1", title=obj.entity_id))
    tell(done="tier 1")
    reach("in the action")


def leave(obj: Any, from_state: str, to_state: str) -> None:
    """Tier 2, the first half."""
    tell(done="on_exit")
    reach("in tier 2")


def enter(obj: Any, from_state: str, to_state: str) -> None:
    """Tier 2, the second half."""
    tell(done="on_enter")


def settle(entity_id: str) -> str:
    """Tier 3: another entity, by a step of a workflow."""
    engine.step(lambda: client.write(Effect(label="tier 3", title=entity_id)), name="write the settlement")
    return entity_id


class Lifecycle(StateMachine):
    initial = "PENDING"
    transitions = (
        Transition(
            "PENDING",
            "FILLED",
            guard=Field("quantity") > Const(0),
            action=book,
            on_exit=leave,
            on_enter=enter,
            start_workflow=settle,
        ),
    )


@dataclass
class Instruction(Storable, state_machine=Lifecycle):
    symbol: str = "AAPL"
    quantity: int = 100


@dataclass
class Effect(Storable):
    label: str = ""
    title: str = ""


class Sleeper:
    """An engine that is woken in vain: whoever starts the workflow is another process."""

    def wake(self) -> None:
        reach("before tier 2")


def transit() -> None:
    global client
    append, run = Writer.append, connection.run

    def dying_append(self: Writer, *arguments: Any, **options: Any) -> bool:
        reach("before the event")
        return append(self, *arguments, **options)

    def dying_run(conn: Any, text: str, *rest: Any, **options: Any) -> Any:
        if text == "COMMIT":
            reach("before the commit")
        return run(conn, text, *rest, **options)

    with StoreClient(**asked["login"]) as client:
        Instruction._workflow_engine = Sleeper()
        obj = client.read(Instruction, asked["entity"])
        assert obj is not None
        Writer.append, connection.run = dying_append, dying_run  # type: ignore[method-assign, assignment]
        client.transition(obj, "FILLED")
        reach("before the workflow")


def settle_all() -> None:
    global client, engine
    with StoreClient(**asked["login"]) as client, DBOSEngine(asked["url"], "crash-matrix") as engine:
        for entity_id in asked["entities"]:
            name = f"{entity_id}:2"
            wait_until(lambda name=name: any(info.workflow_id == name for info in engine.list()), 60.0)  # type: ignore[misc]
            engine.handle(name).get_result(timeout=60.0)
        tell(ended=asked["entities"])


if __name__ == "__main__":
    import tests.integration.workers.transition_worker as module  # the name by which an engine imports the target

    module.asked = job()
    module.settle_all() if "url" in module.asked else module.transit()
