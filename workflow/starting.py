"""Making a start, or a queue, from what the caller gave; refusing what cannot be one."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from store.errors import nearest_names
from workflow.errors import (
    DuplicateInQueue,
    NotRecoverableWarning,
    UnknownQueue,
    UnknownWorkflow,
    WorkflowConflict,
    WorkflowError,
)
from workflow.payloads import digest, dump, load
from workflow.records import Queue, Start
from workflow.targets import target_of, unwrapped

__all__ = [
    "build_queue",
    "build_start",
    "duplicate_in_queue",
    "is_text",
    "require_limit",
    "require_message",
    "require_name",
    "require_same",
    "require_seconds",
    "unknown_queue",
    "unknown_workflow",
]

LONGEST_ID = 200
# A hundred years. Clocks, calendars and the waits of threads end not far behind it.
LONGEST_SECONDS = 3_155_760_000
MOST_URGENT, LEAST_URGENT = 1, 2_147_483_647
LARGEST_LIMIT = 2_147_483_647


def build_start(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    workflow_id: str | None = None,
    timeout: float | None = None,
    queue: str | None = None,
    priority: int | None = None,
    deduplication_id: str | None = None,
    delay: float | None = None,
    user: str | None = None,
) -> Start:
    """Return the start of a workflow.

    Raises:
        WorkflowError: An argument is not what it must be.
    """
    fn, first, keywords = unwrapped(fn)
    if not callable(fn):
        raise WorkflowError(f"expected a function, found {fn!r}: write engine.run(function, argument, ...)")
    _require_text("workflow_id", workflow_id)
    _require_text("deduplication_id", deduplication_id)
    for name, value in (("timeout", timeout), ("delay", delay)):
        if value is not None and not (_is_number(value) and 0 < value <= LONGEST_SECONDS):
            raise WorkflowError(
                f"{name} takes a number of seconds above 0 and up to {LONGEST_SECONDS}, a century, not {value!r}"
            )
    if priority is not None and not (_is_whole(priority) and MOST_URGENT <= priority <= LEAST_URGENT):
        raise WorkflowError(f"priority takes a whole number from {MOST_URGENT} to {LEAST_URGENT}, not {priority!r}")
    target = target_of(fn)
    if not target.importable:
        warnings.warn(
            f"{getattr(fn, '__qualname__', fn)!r} cannot be imported by name: it runs, but if this process ends before"
            " it does, nothing goes on with it; write it with def at the top level of a module",
            NotRecoverableWarning,
            stacklevel=4,
        )
    name = getattr(fn, "__qualname__", type(fn).__qualname__)
    payload = dump(((*first, *args), {**keywords, **kwargs}, user), f"an argument of the workflow {name}")
    return Start(workflow_id, target, payload, timeout, queue, priority, deduplication_id, delay)


def build_queue(
    name: str,
    concurrency: int | None,
    worker_concurrency: int | None,
    rate: tuple[int, float] | None,
    consume: bool,
) -> Queue:
    """Return a queue.

    Raises:
        WorkflowError: A limit is not what it must be.
    """
    if not isinstance(name, str):
        raise WorkflowError(f"a queue's name is a text, not {name!r}")
    _require_text("a queue's name", name)
    if name.startswith("_"):
        raise WorkflowError(f"the queue name {name!r} is reserved: choose one that does not begin with _")
    for what, limit in (("concurrency", concurrency), ("worker_concurrency", worker_concurrency)):
        if limit is not None and not (_is_whole(limit) and 0 < limit <= LARGEST_LIMIT):
            raise WorkflowError(
                f"{what} of the queue {name!r} takes a whole number from 1 to {LARGEST_LIMIT}, not {limit!r}"
            )
    if concurrency is not None and worker_concurrency is not None and worker_concurrency > concurrency:
        raise WorkflowError(
            f"worker_concurrency={worker_concurrency} of the queue {name!r} is more than concurrency={concurrency}"
        )
    if rate is not None:
        well_formed = isinstance(rate, tuple) and len(rate) == 2 and _is_whole(rate[0]) and _is_number(rate[1])
        if not well_formed or not (0 < rate[0] <= LARGEST_LIMIT and 0 < rate[1] <= LONGEST_SECONDS):
            raise WorkflowError(
                f"rate of the queue {name!r} takes (how many, seconds), such as (10, 1.0), up to {LARGEST_LIMIT} and a"
                f" century, not {rate!r}"
            )
    return Queue(name, concurrency, worker_concurrency, rate, consume)


def _require_text(what: str, value: str | None) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_ID or "\0" in value:
        raise WorkflowError(f"{what} takes a text of 1 to {LONGEST_ID} characters without NUL, not {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise WorkflowError(f"{what} takes a text that is valid Unicode: {error}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def require_seconds(what: str, value: float, least: float | None = 0.0) -> None:
    """Refuse what is no length of time, or one that no clock holds."""
    if not (_is_number(value) and (-math.inf if least is None else least) <= value <= LONGEST_SECONDS):
        from_least = "" if least is None else f"from {least:g} "
        raise WorkflowError(
            f"{what} takes a number of seconds {from_least}up to {LONGEST_SECONDS}, a century, not {value!r}"
        )


def require_limit(limit: int) -> None:
    """Refuse what does not say how many to return."""
    if not (_is_whole(limit) and 0 <= limit < 2**63):
        raise WorkflowError(f"limit takes a whole number from 0 on, not {limit!r}")


def require_message(workflow_id: str, topic: str, idempotency_key: str | None) -> None:
    """Refuse what no message can be sent to, or received by."""
    if not is_text(workflow_id):
        raise unknown_workflow(workflow_id)
    if not is_text(topic):
        raise WorkflowError(f"topic takes a text that is valid Unicode and without NUL, not {topic!r:.80}")
    _require_text("idempotency_key", idempotency_key)


def is_text(value: object) -> bool:
    """Return whether the database can hold a value as text."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def require_name(name: str, version: str) -> None:
    """Refuse what cannot name an application, or a version of it."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_-]{3,100}", name):
        raise WorkflowError(f"name takes 3 to 100 lower-case letters, digits, - and _, such as 'desk', not {name!r}")
    _require_text("version", version)


def require_same(start: Start, target: str, origin: str, known_digest: str, payload: bytes) -> None:
    """Refuse a start whose id belongs to another one.

    Args:
        start: The new start.
        target: The function of the workflow that has the id.
        origin: The script of that function.
        known_digest: The digest of its arguments.
        payload: Its arguments.

    Raises:
        WorkflowConflict: It has another function or other arguments.
    """
    ours, theirs = start.target.name.partition("#")[0], target.partition("#")[0]
    if (ours, start.target.origin) != (theirs, origin):
        theirs += f" of the script {origin}" if origin else ""
        raise WorkflowConflict(
            f"workflow {start.workflow_id} is one of {theirs}, not of {ours}: choose another workflow_id",
            workflow_id=start.workflow_id,
        )
    if digest(start.payload) == known_digest:
        return
    try:
        same = load(start.payload, "the arguments") == load(payload, "the arguments")
    except Exception:
        same = False
    # Sets, and dicts made in another order, are pickled in an order of their own.
    if same is not True:
        raise WorkflowConflict(
            f"workflow {start.workflow_id} was started with other arguments of {ours}: choose another workflow_id",
            workflow_id=start.workflow_id,
        )


def unknown_queue(name: str, declared: Sequence[str]) -> UnknownQueue:
    """Return the error of a queue that was not declared."""
    near = nearest_names(name, declared) if isinstance(name, str) else []
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    known = f"declared are {', '.join(map(repr, declared))}" if declared else "none is declared"
    return UnknownQueue(
        f"there is no queue {name!r}{hint}: {known}; engine.declare_queue({name!r}) declares it",
        queue=str(name),
        declared=declared,
    )


def duplicate_in_queue(start: Start) -> DuplicateInQueue:
    """Return the error of a deduplication id that is taken."""
    return DuplicateInQueue(
        f"the queue {start.queue!r} holds a workflow with the deduplication id {start.deduplication_id!r} already",
        queue=start.queue or "",
        deduplication_id=start.deduplication_id or "",
    )


def unknown_workflow(workflow_id: str) -> UnknownWorkflow:
    """Return the error of an id that no workflow has."""
    return UnknownWorkflow(f"there is no workflow {workflow_id!r}", workflow_id=workflow_id)
