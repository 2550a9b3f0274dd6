"""Effects: who is told, when, how often, and what a mistake leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from typing import Any

import pytest

from reactive.errors import CycleError, GraphError
from tests.unit.positions import Calls, book


def test_effect_runs_once_when_registered_and_once_per_change() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)
    graph.update(node, "price", 10.0)
    graph.update(node, "symbol", "X")
    graph.update(node, "price", 11.0)
    graph.batch_update(node, {"price": 10.0, "quantity": 110})
    graph.batch_update(node, {"price": 12.0, "quantity": 100})
    assert calls == [("mv", 1000.0), ("mv", 1100.0), ("mv", 1200.0)]


def test_effect_tells_types_apart_and_nan_from_nothing() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "price", calls)
    for value in (10, 10, True, 1, 1.0, math.nan, math.nan, None):
        graph.update(node, "price", value)
    assert [repr(value) for value in calls.values] == ["10.0", "10", "True", "1", "1.0", "nan", "None"]


def test_effect_removed_runs_no_more() -> None:
    graph, (node,) = book(10.0)
    first, second = Calls(), Calls()
    effect = graph.effect(node, "mv", first)
    graph.effect(node, "mv", second)
    graph.remove_effect(effect)
    graph.update(node, "price", 11.0)
    graph.remove_effect(node, "mv")
    graph.update(node, "price", 12.0)
    assert (first.values, second.values) == ([1000.0], [1000.0, 1100.0])


def test_effect_that_is_not_held_lives_on() -> None:
    import gc

    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)
    gc.collect()
    graph.update(node, "price", 11.0)
    assert calls.values == [1000.0, 1100.0]


def test_effect_that_raises_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    graph, (node,) = book(10.0)
    calls = Calls()

    def fail(name: str, value: Any) -> None:
        raise ValueError(f"cannot take {value}")

    graph.effect(node, "mv", fail)
    graph.effect(node, "mv", calls)
    with caplog.at_level(logging.ERROR):
        graph.update(node, "price", 11.0)
    assert calls.values == [1000.0, 1100.0]
    assert "the effect on mv failed" in caplog.text
    assert "cannot take 1100.0" in caplog.text


def test_effect_keeps_its_error_and_can_be_repeated() -> None:
    graph, (node,) = book(10.0)
    calls, failing = Calls(), [True]

    def save(name: str, value: Any) -> None:
        if failing[0]:
            raise ConnectionError("gone")
        calls(name, value)

    effects = [graph.effect(node, "mv", save), graph.node_effect(node, save)]
    assert [str(effect.error) for effect in effects] == ["gone", "gone"]
    failing[0] = False
    for effect in effects:
        effect.repeat()
    assert calls == [("mv", 1000.0), (node, graph.tracked(node))]
    assert [effect.error for effect in effects] == [None, None]
    graph.update(node, "symbol", "X")
    assert len(calls) == 3
    effects[0].remove()
    with pytest.raises(GraphError, match="the effect on mv has been removed"):
        effects[0].repeat()


def test_effects_that_change_the_graph_run_after_one_another() -> None:
    graph, (n1, n2) = book(1.0, 0.0)
    seen: list[tuple[str, float]] = []

    def follow(name: str, value: float) -> None:
        seen.append(("first", value))
        graph.update(n2, "price", value)
        seen.append(("first done", graph.get(n2, "mv")))

    graph.effect(n1, "mv", follow)
    graph.effect(n2, "mv", lambda name, value: seen.append(("second", value)))
    seen.clear()
    graph.update(n1, "price", 2.0)
    assert seen == [("first", 200.0), ("first done", 20000.0), ("second", 20000.0)]


def test_effects_in_a_circle_are_stopped_with_an_error() -> None:
    graph, (node,) = book(1.0)
    graph.effect(node, "mv", lambda name, value: None if value == 100.0 else graph.update(node, "price", value))
    with pytest.raises(CycleError, match="the effect on mv -> the change that it makes -> the effect on mv"):
        graph.update(node, "price", 2.0)
    graph.update(node, "price", 1.0)
    assert graph.get(node, "mv") == 100.0


def test_effects_in_a_circle_leave_the_others_told_of_every_change() -> None:
    graph, (node,) = book(1.0)
    calls, saved = Calls(), []
    graph.effect(node, "price", lambda name, value: graph.update(node, "price", value + 1) if value > 5 else None)
    graph.effect(node, "mv", calls)
    graph.node_effect(node, lambda name, obj: saved.append(obj.price))
    with pytest.raises(CycleError, match="the effect on price"):
        graph.update(node, "price", 6.0)
    last = graph.get(node, "price")
    assert calls.values == [100.0, *(price * 100.0 for price in range(6, int(last) + 1))]
    assert saved[-1] == last
    graph.update(node, "price", 2.0)
    assert (calls.values[-1], saved[-1]) == (200.0, 2.0)


def test_effect_that_swallows_the_end_of_its_circle_does_not_hide_it() -> None:
    graph, (node,) = book(1.0)

    def stubborn(name: str, value: float) -> None:
        with contextlib.suppress(Exception):
            graph.update(node, "price", value + 1)

    with pytest.raises(CycleError):
        graph.effect(node, "price", stubborn)
    graph.remove_effect(node, "price")
    graph.update(node, "price", 3.0)
    assert graph.get(node, "mv") == 300.0


def test_node_effect_is_called_once_for_any_number_of_changes() -> None:
    graph, (node,) = book(1.0)
    calls = Calls()
    graph.node_effect(node, calls)
    graph.batch_update(node, {"price": 2.0, "quantity": 5, "symbol": "Y"})
    graph.update(node, "symbol", "Y")
    assert calls == [(node, graph.tracked(node))] * 2


def test_signal_drives_reaktivs_own_effects() -> None:
    from reaktiv import Computed, Effect

    graph, (n1, n2) = book(10.0, 20.0)
    graph.group_computed("total", [n1, n2], "mv")
    one, total = graph.signal(n1, "mv"), graph.signal("total")
    share = Computed(lambda: one() / total())
    seen: list[float] = []
    effect = Effect(lambda: seen.append(round(share(), 3)))
    graph.batch_update({n1: {"price": 20.0}, n2: {"price": 30.0}})
    graph.update(n1, "symbol", "Z")
    graph.update(n1, "price", "ten")
    assert seen == [0.333, 0.4]
    effect.dispose()


def test_update_inside_a_running_event_loop_runs_effects_at_once() -> None:
    graph, (node,) = book(10.0)
    calls = Calls()
    graph.effect(node, "mv", calls)

    async def tick() -> list[Any]:
        graph.update(node, "price", 11.0)
        return list(calls.values)

    async def ticks() -> list[list[Any]]:
        return list(await asyncio.gather(tick(), tick()))

    assert asyncio.run(ticks()) == [[1000.0, 1100.0], [1000.0, 1100.0]]


def test_updates_of_several_threads_lose_nothing_and_call_effects_in_order() -> None:
    graph, nodes = book(*[0.0] * 4, quantity=1)
    graph.group_computed("total", nodes, "mv")
    totals = Calls()
    graph.group_effect("total", totals)

    def count(node: str) -> None:
        for price in range(1, 501):
            graph.update(node, "price", float(price))
            assert graph.get_group("total") is not None

    threads = [threading.Thread(target=count, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert graph.get_group("total") == 2000.0
    assert totals.values == [float(value) for value in range(2001)]


def test_effect_that_returns_a_coroutine_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    graph, (node,) = book(10.0)
    effect = graph.effect(node, "mv", lambda name, value: asyncio.sleep(0))
    assert "returned a coroutine, which nobody waits for" in str(effect.error)
    assert "the effect on mv failed" in caplog.text
