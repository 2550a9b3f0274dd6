"""What every engine refuses, in words: lengths of time, names and limits that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import flows
from tests.contract.flows import here
from workflow import WorkflowEngine, WorkflowError, WorkflowFailed
from workflow.dispatcher import WorkflowDispatcher
from workflow.errors import NotSerializable, UnknownWorkflow


@pytest.fixture(autouse=True)
def _here(engine: WorkflowEngine) -> Iterator[None]:
    here.reset()
    here.engine = engine
    yield
    here.gate.set()


@pytest.mark.parametrize("seconds", ["1", None, True, -1, float("nan"), float("inf"), 1e12])
def test_lengths_of_time_that_no_clock_holds_are_refused(engine: WorkflowEngine, seconds: Any) -> None:
    with pytest.raises(WorkflowFailed, match=r"WorkflowError: sleep\(\) takes a number of seconds from 0 up to"):
        engine.workflow(flows.sleeper, seconds).get_result(120)
    with pytest.raises(WorkflowError, match="older_than takes a number of seconds from 0 up to"):
        engine.prune(seconds)
    if seconds != -1:
        with pytest.raises(
            WorkflowFailed, match=r"WorkflowError: the timeout of recv\(\) takes a number of seconds up"
        ):
            engine.workflow(flows.receiving, "late", seconds).get_result(120)
    if seconds is not None:
        with pytest.raises(WorkflowError, match="timeout takes a number of seconds above 0"):
            engine.workflow(flows.plain, timeout=seconds)
    assert engine.list(limit=1)


@pytest.mark.parametrize("timeout", ["1", float("nan")])
def test_get_result_refuses_a_timeout_that_is_no_number(engine: WorkflowEngine, timeout: Any) -> None:
    handle = engine.workflow(flows.gated)
    with pytest.raises(WorkflowError, match="timeout takes a number of seconds, or None"):
        handle.get_result(timeout)
    here.gate.set()
    assert handle.get_result(120) == "done "


@pytest.mark.parametrize("name", [None, 5, "", "a\0b", "\ud800"])
def test_ids_and_topics_that_cannot_be_are_refused_in_words(engine: WorkflowEngine, name: Any) -> None:
    there = engine.workflow(flows.plain, 1)
    there.get_result(120)
    for call in (engine.show, engine.cancel, engine.resume, engine.handle, lambda each: engine.send(each, "topic", 1)):
        with pytest.raises(UnknownWorkflow, match="there is no workflow"):
            call(name)
    with pytest.raises(WorkflowError, match="idempotency_key takes a text"):
        engine.send(there.workflow_id, "topic", 1, idempotency_key="x" * 201 if name is None else name)
    if name != "":
        with pytest.raises(WorkflowError, match="topic takes a text"):
            engine.send(there.workflow_id, name, 1)
        with pytest.raises(WorkflowFailed, match="WorkflowError: topic takes a text"):
            engine.workflow(flows.receiving, name, 0.1).get_result(120)


@pytest.mark.parametrize("limit", [-1, "5", None, True, 1.5, 10**30])
def test_list_refuses_limits_and_statuses_that_cannot_be(engine: WorkflowEngine, limit: Any) -> None:
    with pytest.raises(WorkflowError, match="limit takes a whole number from 0 on"):
        engine.list(limit=limit)
    with pytest.raises(WorkflowError, match="there is no status 'DONE': it is one of PENDING, RUNNING"):
        engine.list("DONE")


def test_generator_of_a_step_is_refused_and_a_coroutine_awaited(engine: WorkflowEngine) -> None:
    with pytest.raises(WorkflowFailed, match="a generator, cannot be recorded") as caught:
        engine.workflow(flows.generating_step).get_result(120)
    assert isinstance(caught.value.__cause__, NotSerializable)
    assert engine.run(flows.async_lambda_step) == 3


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800"])
def test_names_of_steps_that_cannot_be_are_refused(engine: WorkflowEngine, name: str) -> None:
    with pytest.raises(WorkflowFailed, match="WorkflowError: name= takes the step's name"):
        engine.workflow(flows.named_step, name).get_result(120)


def test_dispatcher_with_its_arguments_in_the_wrong_order_is_refused(engine: WorkflowEngine) -> None:
    with pytest.raises(WorkflowError, match="takes an engine and a client, in this order, not None "):
        WorkflowDispatcher(None, engine)  # type: ignore[arg-type]
