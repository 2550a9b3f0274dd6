"""How a worker and its test talk: a job in JSON as the only argument, then one JSON object a line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fix_children import Child, Children


def job() -> dict[str, Any]:
    """Return what the test asks of this worker."""
    found: dict[str, Any] = json.loads(sys.argv[1])
    return found


def tell(**facts: Any) -> None:
    """Tell the test something; it arrives even if this process is killed right after."""
    # The line in one piece: other threads tell something at the same time.
    print(json.dumps(facts) + "\n", end="", flush=True)


def await_signal(path: str) -> None:
    """Tell that this worker is ready, and wait until the test lets all of them off by making a file."""
    tell(ready=True)
    while not Path(path).exists():
        time.sleep(0.005)


def start(children: Children, worker: str, **asked: Any) -> Child:
    """Start a worker of this folder with its job."""
    return children.run("-m", f"tests.integration.workers.{worker}", json.dumps(asked))


def let_off(workers: Sequence[Child], path: Path) -> None:
    """Wait until every worker is ready, then let them run all at once."""
    for worker in workers:
        worker.wait_for_line('"ready"')
    path.touch()


def told(child: Child, *keys: str) -> list[dict[str, Any]]:
    """Return all that a worker has told so far and that has these keys."""
    facts = (json.loads(line) for line in list(child.lines) if line.startswith("{"))
    return [fact for fact in facts if all(key in fact for key in keys)]
