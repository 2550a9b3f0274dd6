"""What every engine promises: sleeping, messages, cancelling, deadlines and queues."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract import flows
from tests.contract.flows import here
from tests.waiting import wait_until
from workflow import UnknownQueue, WorkflowCancelled, WorkflowEngine, WorkflowError, WorkflowFailed
from workflow.errors import DuplicateInQueue, TargetNotFound, UnknownWorkflow
from workflow.records import WorkflowStatus


@pytest.fixture(autouse=True)
def _here(engine: WorkflowEngine) -> Iterator[None]:
    here.reset()
    here.engine = engine
    yield
    here.gate.set()


def test_sleep_lasts_its_time(engine: WorkflowEngine) -> None:
    assert engine.run(flows.sleeper, 0.2) >= 0.2
    with pytest.raises(WorkflowError, match=r"number of seconds from 0 up to .*, not -1"):
        engine.run(flows.sleeper, -1)


def test_message_reaches_the_workflow_that_waits_and_the_one_that_does_not_yet(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.receiver, 2)
    assert here.reached.wait(120)
    engine.send(handle.workflow_id, "other", "not this")
    engine.send(handle.workflow_id, "news", {"price": 1.5})
    time.sleep(0.01)  # the order of messages of one millisecond is open
    engine.run(flows.sender, handle.workflow_id, None)
    assert handle.get_result(120) == [{"price": 1.5}, None]


def test_message_with_a_key_is_received_once(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.receiver_once_let_go)
    assert here.reached.wait(120)
    for _ in range(3):
        engine.send(handle.workflow_id, "news", "again", idempotency_key="k1")
    here.gate.set()
    assert handle.get_result(120) == ["again", None]


def test_recv_without_message_returns_none_in_time(engine: WorkflowEngine) -> None:
    begun = time.monotonic()
    assert engine.run(flows.receiver, 1, 0.3) == [None]
    assert time.monotonic() - begun >= 0.3


def test_send_to_nobody_is_an_error(engine: WorkflowEngine) -> None:
    with pytest.raises(UnknownWorkflow, match="no workflow 'nobody'"):
        engine.send("nobody", "news", 1)
    with pytest.raises(WorkflowError, match="no workflow 'nobody'"):
        engine.run(flows.sender, "nobody", 1)


@pytest.mark.parametrize("flow", [flows.gated, flows.receiver, flows.sleeper, flows.napping])
def test_cancelled_workflow_ends_wherever_it_waits(engine: WorkflowEngine, flow: object) -> None:
    argument = {flows.gated: "", flows.receiver: 1, flows.sleeper: 3600.0, flows.napping: 3600.0}[flow]  # type: ignore[index]
    handle = engine.workflow(flow, argument)  # type: ignore[arg-type]
    assert here.reached.wait(120)
    engine.cancel(handle.workflow_id)
    with pytest.raises(WorkflowCancelled, match="was cancelled"):
        handle.get_result(120)
    assert handle.get_status() is WorkflowStatus.CANCELLED


def test_step_under_way_when_cancelled_is_not_recorded_and_taken_again_by_resume(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.held_step)
    assert here.reached.wait(120)
    engine.cancel(handle.workflow_id)
    here.gate.set()
    with pytest.raises(WorkflowCancelled):
        handle.get_result(120)
    assert [step.name for step in engine.show(handle.workflow_id).steps] == ["plain"]
    resumed = engine.resume(handle.workflow_id)
    assert resumed.get_result(120) == "done"
    assert here.calls == {"plain": 2, "hold": 2}


def test_cancel_and_resume_leave_alone_what_has_ended(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.plain, 1)
    assert handle.get_result(120) == 1
    engine.cancel(handle.workflow_id)
    assert engine.resume(handle.workflow_id).get_result(120) == 1
    with pytest.raises(UnknownWorkflow):
        engine.cancel("nobody")


def test_deadline_cancels(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.sleeper, 3600.0, timeout=0.3)
    with pytest.raises(WorkflowCancelled):
        handle.get_result(120)


def test_resumed_workflow_has_its_timeout_anew(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.sleeper, 3600.0, timeout=0.3)
    with pytest.raises(WorkflowCancelled):
        handle.get_result(120)
    with pytest.raises(WorkflowCancelled):
        engine.resume(handle.workflow_id).get_result(120)


@pytest.mark.parametrize("timeout", [1e-9, 0.05])
@pytest.mark.parametrize("flow", [flows.overrun, flows.overrun_and_step])
def test_workflow_that_overruns_its_deadline_a_little_is_cancelled(
    engine: WorkflowEngine, flow: Callable[[float], Any], timeout: float
) -> None:
    handle = engine.workflow(flow, 0.1, timeout=timeout)
    with pytest.raises(WorkflowCancelled):
        handle.get_result(120)
    assert handle.get_status() is WorkflowStatus.CANCELLED
    assert flows.here.calls["add"] == 0


def test_queue_runs_what_is_put_in(engine: WorkflowEngine) -> None:
    engine.declare_queue("usual")
    handles = [engine.queue("usual", flows.identity, number) for number in range(5)]
    assert [handle.get_result(120) for handle in handles] == [0, 1, 2, 3, 4]
    assert engine.show(handles[0].workflow_id).queue == "usual"


def test_queue_that_was_not_declared_is_an_error(engine: WorkflowEngine) -> None:
    engine.declare_queue("settlements")
    with pytest.raises(UnknownQueue, match=r"no queue 'setlements' \(did you mean 'settlements'\?\)") as caught:
        engine.queue("setlements", flows.plain)
    assert "settlements" in caught.value.declared
    with pytest.raises(UnknownQueue, match=r"no queue \['settlements'\]"):
        engine.queue(["settlements"], flows.plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"concurrency": 0}, "concurrency of the queue 'q' takes a whole number from 1 to 2147483647, not 0"),
        ({"concurrency": 10**20}, "concurrency of the queue 'q' takes a whole number from 1 to 2147483647, not 1000"),
        ({"worker_concurrency": True}, "worker_concurrency of the queue 'q' takes a whole number"),
        ({"concurrency": 1, "worker_concurrency": 2}, "worker_concurrency=2 .* is more than concurrency=1"),
        ({"rate": (0, 1.0)}, "rate of the queue 'q' takes"),
        ({"rate": (10**20, 1.0)}, "rate of the queue 'q' takes"),
        ({"rate": (1, 1e300)}, "rate of the queue 'q' takes"),
        ({"rate": 5}, "rate of the queue 'q' takes"),
    ],
)
def test_queue_limits_that_cannot_be_are_refused(engine: WorkflowEngine, options: dict[str, object], told: str) -> None:
    with pytest.raises(WorkflowError, match=told):
        engine.declare_queue("q", **options)  # type: ignore[arg-type]


def test_queue_keeps_its_concurrency(engine: WorkflowEngine) -> None:
    engine.declare_queue("narrow", concurrency=2)
    handles = [engine.queue("narrow", flows.crowd, number) for number in range(6)]
    assert [handle.get_result(60) for handle in handles] == [0, 1, 2, 3, 4, 5]
    assert here.calls["most"] <= 2


def test_queue_keeps_its_rate(engine: WorkflowEngine) -> None:
    engine.declare_queue("slow", rate=(2, 1.0))
    begun = time.monotonic()
    for handle in [engine.queue("slow", flows.identity, number) for number in range(5)]:
        handle.get_result(60)
    assert time.monotonic() - begun >= 2.0


def test_queue_keeps_its_order_of_priority(engine: WorkflowEngine) -> None:
    engine.declare_queue("ranked", concurrency=1)
    first = engine.queue("ranked", flows.gated)
    assert here.reached.wait(120)
    handles = [engine.queue("ranked", flows.record, rank, priority=rank) for rank in (30, 10, 20)]
    here.gate.set()
    first.get_result(120)
    for handle in handles:
        handle.get_result(60)
    assert here.seen == [10, 20, 30]
    with pytest.raises(WorkflowError, match="priority takes a whole number from 1"):
        engine.queue("ranked", flows.plain, priority=0)


def test_queue_refuses_a_duplicate_while_the_first_waits_or_runs(engine: WorkflowEngine) -> None:
    engine.declare_queue("single")
    handle = engine.queue("single", flows.gated, deduplication_id="order-1")
    with pytest.raises(DuplicateInQueue, match="'single' holds a workflow with the deduplication id 'order-1'"):
        engine.queue("single", flows.gated, deduplication_id="order-1")
    here.gate.set()
    handle.get_result(120)
    assert engine.queue("single", flows.plain, 1, deduplication_id="order-1").get_result(120) == 1


def test_queued_workflow_waits_for_its_delay_and_for_a_consumer(engine: WorkflowEngine) -> None:
    engine.declare_queue("later")
    begun = time.monotonic()
    assert engine.queue("later", flows.plain, 1, delay=0.3).get_result(120) == 1
    assert time.monotonic() - begun >= 0.3
    engine.declare_queue("elsewhere", consume=False)
    handle = engine.queue("elsewhere", flows.plain, 2)
    assert handle.get_status() is WorkflowStatus.PENDING
    with pytest.raises(TimeoutError):
        handle.get_result(0.3)
    engine.cancel(handle.workflow_id)
    wait_until(lambda: handle.get_status() is WorkflowStatus.CANCELLED)


def test_queued_workflow_whose_function_is_gone_ends_with_a_clear_error(
    engine: WorkflowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.declare_queue("doomed", consume=False)
    handle = engine.queue("doomed", flows.doomed)
    monkeypatch.delattr(flows, "doomed")
    engine.declare_queue("doomed")
    with pytest.raises(
        WorkflowFailed, match=r"flows:doomed cannot be found: tests.contract.flows has no doomed"
    ) as caught:
        handle.get_result(120)
    assert isinstance(caught.value.__cause__, TargetNotFound)


def test_cancelled_workflow_of_a_queue_is_resumed_through_its_queue(engine: WorkflowEngine) -> None:
    engine.declare_queue("one at a time", concurrency=1)
    first = engine.queue("one at a time", flows.gated)
    assert here.reached.wait(120)
    second = engine.queue("one at a time", flows.plain, 2)
    engine.cancel(second.workflow_id)
    with pytest.raises(WorkflowCancelled):
        second.get_result(120)
    resumed = engine.resume(second.workflow_id)
    with pytest.raises(TimeoutError):
        resumed.get_result(0.5)
    assert engine.show(second.workflow_id).queue == "one at a time"
    assert resumed.get_status() is WorkflowStatus.PENDING
    here.gate.set()
    assert (first.get_result(120), resumed.get_result(120)) == ("done ", 2)


def test_workflow_resumed_while_its_cancelled_step_runs_ends_once(engine: WorkflowEngine) -> None:
    handle = engine.workflow(flows.held_step)
    assert here.reached.wait(120)
    engine.cancel(handle.workflow_id)
    resumed = engine.resume(handle.workflow_id)
    wait_until(lambda: here.calls["hold"] == 2)
    here.gate.set()
    assert (resumed.get_result(120), handle.get_result(120)) == ("done", "done")
