"""What every engine promises: running workflows and their steps."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import flows
from tests.contract.flows import here
from workflow import NotRecoverableWarning, WorkflowConflict, WorkflowEngine, WorkflowError, WorkflowFailed, targets
from workflow.errors import NotSerializable, StepOutsideWorkflow, UnknownWorkflow
from workflow.records import WorkflowStatus


@pytest.fixture(autouse=True)
def _here(engine: WorkflowEngine) -> Iterator[None]:
    here.reset()
    here.engine = engine
    yield
    here.gate.set()


def test_run_returns_the_functions_result(engine: WorkflowEngine) -> None:
    assert engine.run(flows.three_steps, 1, by=2) == 7
    assert here.calls["add"] == 3


def test_workflow_returns_at_once_and_tells_status_and_result(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.gated, "x")
    assert here.reached.wait(120)
    assert handle.get_status() is WorkflowStatus.RUNNING
    assert handle.get_status() == "RUNNING"
    here.gate.set()
    assert handle.get_result(120) == "done x"
    assert handle.get_result() == "done x"
    assert handle.get_status() is WorkflowStatus.SUCCESS
    assert engine.handle(handle.workflow_id).get_result(120) == "done x"


def test_get_result_that_is_late_raises_timeout_and_can_be_asked_again(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.gated)
    with pytest.raises(TimeoutError, match="has not ended within 0"):
        handle.get_result(timeout=0.05)
    here.gate.set()
    assert handle.get_result(120) == "done "


def test_error_of_a_workflow_is_chained(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.fail, "broken")
    with pytest.raises(WorkflowFailed, match="ValueError: broken") as caught:
        handle.get_result(120)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.workflow_id == handle.workflow_id
    assert handle.get_status() is WorkflowStatus.ERROR
    assert engine.show(handle.workflow_id).error == "ValueError: broken"


def test_error_of_a_step_reaches_the_workflow_and_is_recorded(engine: WorkflowEngine) -> None:
    assert engine.run(flows.swallowing) == "caught swallowed"
    handle = engine.workflow(flows.failing_step, "as a step")
    with pytest.raises(WorkflowFailed, match="as a step"):
        handle.get_result(120)
    assert [step.error for step in engine.show(handle.workflow_id).steps] == ["ValueError: as a step"]


@pytest.mark.parametrize(
    "value", [None, 0, "", b"\0", [], {"a": (1, 2)}, {1, 2}, "naïve ☃ \U0001f4b6", 10**40, float("inf")]
)
def test_values_come_back_as_they_were(engine: WorkflowEngine, value: Any) -> None:
    assert engine.run(flows.identity, value) == value


def test_step_is_tried_again_after_the_exceptions_named(engine: WorkflowEngine) -> None:
    assert engine.run(flows.retrying, 3, 3) == 3
    with pytest.raises(WorkflowFailed, match="try 4"):
        here.calls.clear()
        engine.run(flows.retrying, 9, 4)
    assert here.calls["flaky"] == 4
    with pytest.raises(WorkflowFailed, match="final"):
        engine.run(flows.retrying_other, 5)
    assert here.calls["fail"] == 1


def test_coroutine_functions_are_workflows_and_steps(engine: WorkflowEngine) -> None:
    assert engine.run(flows.async_flow, 1) == 13
    assert engine.run(flows.async_gather) == [0, 1, 2, 3, 4]
    assert engine.run(flows.async_step_in_plain_workflow) == 3


def test_engine_is_used_inside_a_running_event_loop_as_anywhere(engine: WorkflowEngine) -> None:
    async def notebook() -> Any:
        return engine.run(flows.three_steps, 1), engine.workflow(flows.plain, 5).get_result(120)

    assert asyncio.run(notebook()) == (4, 5)


def test_steps_get_and_return_copies_of_storables(engine: WorkflowEngine) -> None:
    assert engine.run(flows.copying) == (1, 2, 2)


def test_arguments_are_copies_taken_at_the_start(engine: WorkflowEngine) -> None:
    values = [1]
    handle = engine.workflow(flows.gated, values)  # type: ignore[arg-type]
    assert here.reached.wait(120)
    values.append(2)
    here.gate.set()
    assert handle.get_result(120) == "done [1]"


def test_what_cannot_be_recorded_is_a_clear_error(engine: WorkflowEngine) -> None:
    with pytest.raises(NotSerializable, match=r"an argument of the workflow plain cannot be recorded.*lock"):
        engine.run(flows.plain, threading.Lock())
    for flow, told in (
        (flows.unpicklable_result, "the result of the step .*, a lock, cannot be recorded"),
        (flows.unpicklable_outcome, "the result of the workflow .*, a lock, cannot be recorded"),
        (flows.stubborn_step, "raise_stubborn raised Stubborn: this and that; this error cannot be recorded itself"),
        (flows.raise_stubborn, "failed: Stubborn: this and that"),
    ):
        with pytest.raises(WorkflowFailed, match=told) as caught:
            engine.run(flow)
        assert isinstance(caught.value.__cause__, NotSerializable)


def test_exit_inside_a_workflow_is_an_error_of_it(engine: WorkflowEngine) -> None:
    for flow in (flows.exiting, flows.exiting_step):
        with pytest.raises(WorkflowFailed, match="SystemExit: 3"):
            engine.run(flow)


def test_step_elsewhere_than_in_a_workflows_own_thread_is_an_error(engine: WorkflowEngine) -> None:
    with pytest.raises(StepOutsideWorkflow, match="no workflow runs"):
        engine.step(flows.plain)
    with pytest.raises(StepOutsideWorkflow, match="no workflow runs"):
        engine.sleep(0)
    with pytest.raises(StepOutsideWorkflow, match="no workflow runs"):
        engine.recv("news")
    assert engine.run(flows.step_in_thread).startswith("StepOutsideWorkflow: step() was called where no workflow runs")
    with pytest.raises(WorkflowFailed, match="inside the step three_steps"):
        engine.run(flows.step_in_step)


def test_workflow_knows_its_id_and_step(engine: WorkflowEngine) -> None:
    outside, inside = engine.run(flows.tell_context, workflow_id="told-1")
    assert (outside.workflow_id, outside.user, outside.step) == ("told-1", None, None)
    assert inside.workflow_id == "told-1"
    assert inside.step.startswith("tell_context.<locals>.<lambda>#")


def test_workflow_id_starts_once(engine: WorkflowEngine) -> None:
    first = engine.workflow(flows.three_steps, 1, workflow_id="once")
    assert first.get_result(120) == 4
    again = engine.workflow(flows.three_steps, 1, workflow_id="once")
    assert (again.workflow_id, again.get_result(120)) == ("once", 4)
    assert here.calls["add"] == 3
    assert engine.run(flows.identity, {"b": 1, "a": 2}, workflow_id="once more") == {"a": 2, "b": 1}
    assert engine.run(flows.identity, {"a": 2, "b": 1}, workflow_id="once more") == {"a": 2, "b": 1}


def test_workflow_id_of_another_start_is_an_error(engine: WorkflowEngine) -> None:
    engine.run(flows.identity, 1, workflow_id="taken")
    with pytest.raises(WorkflowConflict, match="taken was started with other arguments") as caught:
        engine.workflow(flows.identity, 2, workflow_id="taken")
    assert caught.value.workflow_id == "taken"
    with pytest.raises(WorkflowConflict, match=r"taken is one of .*flows:identity, not of .*flows:plain"):
        engine.workflow(flows.plain, 1, workflow_id="taken")


@pytest.mark.parametrize("workflow_id", ["", " ", "a\0b", "x" * 201, 5, "\ud800"])
def test_workflow_id_that_cannot_be_one_is_refused(engine: WorkflowEngine, workflow_id: Any) -> None:
    with pytest.raises(WorkflowError, match="workflow_id takes a text"):
        engine.workflow(flows.plain, workflow_id=workflow_id)


def test_calls_that_cannot_be_meant_are_refused(engine: WorkflowEngine) -> None:
    with pytest.raises(WorkflowError, match="expected a function, found 4"):
        engine.workflow(4)  # type: ignore[arg-type]
    with pytest.raises(WorkflowError, match="timeout takes a number of seconds above 0"):
        engine.workflow(flows.plain, timeout=0)
    with pytest.raises(WorkflowFailed, match="attempts= takes a whole number from 1 on"):
        engine.run(flows.retrying, 1, 0)
    with pytest.raises(WorkflowFailed, match="retry_on= takes an exception class"):
        engine.run(flows.retrying_after, "ConnectionError")
    with pytest.raises(UnknownWorkflow, match="there is no workflow 'nobody'"):
        engine.handle("nobody")


def test_lambda_runs_and_warns_that_it_cannot_be_recovered(engine: WorkflowEngine) -> None:
    kept = dict(targets._locals)  # by other tests
    with pytest.warns(NotRecoverableWarning, match="cannot be imported by name"):
        assert engine.run(lambda: engine.step(flows.add, 1, 2)) == 3
    assert targets._locals == kept  # and is not kept for ever


def test_partial_starts_the_function_inside(engine: WorkflowEngine) -> None:
    handle = engine.workflow(functools.partial(flows.three_steps, by=5), 1)
    assert handle.get_result(120) == 16
    assert engine.show(handle.workflow_id).target == "tests.contract.flows:three_steps"


def test_child_workflow_is_a_step_of_its_parent(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.asking)
    assert handle.get_result(120) == "answer to question"
    steps = [step.name for step in engine.show(handle.workflow_id).steps]
    assert len(steps) == 2
    assert steps[1].startswith("start ")


def test_show_and_list_tell_what_ran(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.three_steps, 1)
    handle.get_result(120)
    shown = engine.show(handle.workflow_id)
    assert shown.status is WorkflowStatus.SUCCESS
    assert [(step.position, step.name) for step in shown.steps] == [(1, "add"), (2, "add"), (3, "add")]
    assert all(step.started_at <= step.ended_at for step in shown.steps if step.started_at and step.ended_at)
    listed = engine.list(limit=1)
    assert [info.workflow_id for info in listed] == [handle.workflow_id]
    assert handle.workflow_id in {info.workflow_id for info in engine.list("SUCCESS")}
    assert handle.workflow_id not in {info.workflow_id for info in engine.list(WorkflowStatus.ERROR)}
    with pytest.raises(WorkflowError, match="there is no status 'DONE'"):
        engine.list("DONE")


def test_prune_forgets_what_ended(engine: WorkflowEngine) -> None:
    ended = engine.workflow(flows.plain, 1)
    ended.get_result(120)
    running = engine.workflow(flows.gated)
    assert here.reached.wait(120)
    assert engine.prune(older_than=3600) == 0
    assert engine.prune(older_than=0) >= 1
    with pytest.raises(UnknownWorkflow):
        engine.show(ended.workflow_id)
    here.gate.set()
    assert running.get_result(120) == "done "
