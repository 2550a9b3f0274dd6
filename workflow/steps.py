"""The body of one step: its attempts, the keys of its changes to the store, its outcome."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from store.errors import ConnectionLost
from store.idempotency import key_scope
from workflow.errors import StepMismatch, WorkflowError
from workflow.payloads import Outcome, copied, outcome_of_error, outcome_of_value
from workflow.run import Interrupted, Run, running
from workflow.starting import is_text, require_seconds

__all__ = ["StepCall", "mismatch"]

LONGEST_PAUSE = 60.0  # seconds
# A step that lost the store's server is tried again for so long (seconds): no keyed change is made twice.
RECONNECT_SECONDS = 30.0
RECONNECT_PAUSE = 0.2


class StepCall:
    """One call of `WorkflowEngine.step`.

    Raises:
        WorkflowError: An argument is not what it must be.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        name: str,
        attempts: int,
        backoff: float,
        retry_on: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        """Check the arguments; run nothing yet."""
        if not callable(fn):
            raise WorkflowError(f"step() takes a function and its arguments, not {fn!r}: pass the function uncalled")
        if not is_text(name) or not name:
            raise WorkflowError(f"name= takes the step's name, a text without NUL, not {name!r}")
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise WorkflowError(f"attempts= takes a whole number from 1 on, not {attempts!r}")
        require_seconds("backoff=", backoff)
        kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise WorkflowError(f"retry_on= takes an exception class or a tuple of them, not {retry_on!r}")
        self.name = name
        self._fn = fn
        self._args = args
        self._kwargs = kwargs
        self._attempts = attempts
        self._backoff = backoff
        self._retry_on = retry_on

    def run(self, run: Run, number: int) -> Outcome:
        """Run the step in this thread, on a loop of its own for a coroutine function."""
        pauses = self._pauses()
        while True:
            try:
                with self._attempt(run, number):
                    value = self._call()
                    if inspect.iscoroutine(value):  # asyncio's own takes a generator for one
                        value = asyncio.run(value)
                    return outcome_of_value(value, f"the step {self.name}")
            except Interrupted:
                raise
            except BaseException as error:
                pause = pauses(error)
                if pause is None:
                    return outcome_of_error(error, f"the step {self.name}")
            run.pause(pause)

    async def run_async(self, run: Run, number: int) -> Outcome:
        """Run the step on the running loop; a plain function in a thread beside it."""
        pauses = self._pauses()
        while True:
            try:
                with self._attempt(run, number):
                    if asyncio.iscoroutinefunction(self._fn):
                        value = await self._call()
                    else:
                        value = await asyncio.to_thread(self._call)
                    if inspect.iscoroutine(value):
                        value = await value
                    return outcome_of_value(value, f"the step {self.name}")
            except (Interrupted, asyncio.CancelledError):
                raise
            except BaseException as error:
                pause = pauses(error)
                if pause is None:
                    return outcome_of_error(error, f"the step {self.name}")
            await asyncio.to_thread(run.pause, pause)

    def _call(self) -> Any:
        return self._fn(*copied(self._args), **copied(dict(self._kwargs)))

    @contextmanager
    def _attempt(self, run: Run, number: int) -> Iterator[None]:
        token = running.set(replace(run, step=self.name))
        try:
            # Each attempt counts its changes from the start: it finds those that one before it has made.
            with key_scope(f"{run.workflow_id}/{number}"):
                yield
        finally:
            running.reset(token)

    def _pauses(self) -> Callable[[BaseException], float | None]:
        """Return what says how long to wait after an error before the next attempt; None for no further one."""
        failed, lost_at = 0, None

        def after(error: BaseException) -> float | None:
            nonlocal failed, lost_at
            if isinstance(error, ConnectionLost):
                lost_at = time.monotonic() if lost_at is None else lost_at
                if time.monotonic() - lost_at < RECONNECT_SECONDS:
                    return RECONNECT_PAUSE
            failed += 1
            if failed >= self._attempts or not isinstance(error, self._retry_on):
                return None
            return min(self._backoff * 2.0 ** min(failed - 1, 30), LONGEST_PAUSE)

        return after


def mismatch(run: Run, position: int, found: str | None, recorded: str) -> StepMismatch:
    """Return the error of a run that took another step than the recorded one, and let it take no further one."""
    takes = "takes no further step" if found is None else f"takes the step {found!r}"
    run.broken = StepMismatch(
        f"workflow {run.workflow_id} recorded {recorded!r} as its step {position}, and its code now {takes} there:"
        " it was changed, or does not take the same steps each time; name= keeps a step's name across a change",
        workflow_id=run.workflow_id,
        position=position,
        found=found,
        recorded=recorded,
    )
    return run.broken
