"""The graph against a model that computes everything anew after each step: random steps, every value, every call."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest

from reactive.errors import ComputationError, CycleError, GraphError, ReactiveError
from reactive.expr import Coalesce, Expr, Field, Func, If
from reactive.expr.values import same_value
from reactive.graph import Effect, ReactiveGraph
from tests.rounds import rounds

pytestmark = pytest.mark.fuzz

FIELDS = ("x", "y", "z")
COMPUTED = ("a", "b", "c", "z")
VALUES = (0.0, 1.0, -2.5, 3, 7, 0.1, 1e16, -1e16, 1e300, None, "bad")
REDUCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": sum,
    "len": len,
    "min": min,
    "max": max,
    "mean": statistics.mean,
    "pvariance": statistics.pvariance,
    "first": lambda values: values[0] if values else None,
}


@dataclass
class Row:
    x: Any = 1.0
    y: Any = 2
    z: Any = 0.5


class Failed(Exception):
    """The model's word for a value that cannot be computed."""


@dataclass
class Watch:
    """An effect: the calls that the model expects and those that came."""

    read: Callable[[], Any]
    expected: list[Any] = field(default_factory=list)
    found: list[Any] = field(default_factory=list)
    effect: Effect | None = None


class Model:
    """What the graph should hold, without anything kept that could be computed."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.computed: dict[str, dict[str, Expr]] = {}
        self.groups: dict[str, tuple[list[str], str, str, bool]] = {}
        self.functions: dict[str, tuple[tuple[str, str], str]] = {}

    def value(self, node: str, name: str) -> Any:
        if node not in self.rows:
            raise Failed(node)
        expr = self.computed[node].get(name)
        if expr is None:
            return self.rows[node][name]
        try:
            return expr.eval({each: self.value(node, each) for each in expr.fields()})
        except ReactiveError as error:
            raise Failed(name) from error

    def group(self, name: str) -> Any:
        if name not in self.groups:
            raise Failed(name)
        members, of, reduction, skip_none = self.groups[name]
        values = [self.value(node, of) for node in members]
        if skip_none:
            values = [value for value in values if value is not None]
        if reduction in ("len", "first"):
            return REDUCTIONS[reduction](values)
        if None in values:
            return None
        if reduction == "sum" and not any(isinstance(value, (float, str)) for value in values):
            return sum(values)
        if not values:
            return None
        if any(isinstance(value, str) for value in values):
            try:
                return REDUCTIONS[reduction](values)
            except (TypeError, statistics.StatisticsError, AttributeError) as error:
                raise Failed(name) from error
        if reduction in ("min", "max"):
            return REDUCTIONS[reduction](values)
        exact = [Fraction(value) for value in values]
        mean = sum(exact, Fraction(0)) / len(exact)
        if reduction == "pvariance":
            mean = sum(((each - mean) ** 2 for each in exact), Fraction(0)) / len(exact)
        try:
            return float(sum(exact, Fraction(0)) if reduction == "sum" else mean)
        except OverflowError as error:
            raise Failed(name) from error

    def function(self, name: str) -> Any:
        if name not in self.functions:
            raise Failed(name)
        (node, of), group = self.functions[name]
        return (self.value(node, of), self.group(group))

    def reaches(self, node: str, start: Expr, name: str) -> bool:
        return any(
            each == name or (each in self.computed[node] and self.reaches(node, self.computed[node][each], name))
            for each in start.fields()
        )


class Steps:
    """Takes the same random steps in graph and model, and compares them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.graph = ReactiveGraph()
        self.model = Model()
        self.objects: dict[str, Row] = {}
        self.watches: list[Watch] = []
        self.taken: dict[str, int] = {}

    def run(self, count: int) -> None:
        steps: list[Callable[[], None]] = [
            *([self.track] * 2),
            *([self.update] * 8),
            *([self.batch] * 3),
            self.refresh,
            *([self.what_if] * 2),
            *([self.compute] * 4),
            *([self.make_group] * 2),
            *([self.join] * 2),
            self.leave,
            self.drop_group,
            self.make_function,
            *([self.watch] * 3),
            self.unwatch,
            self.untrack,
        ]
        self.track()
        for _ in range(count):
            step = self.random.choice(steps)
            step()
            self.taken[step.__name__] = self.taken.get(step.__name__, 0) + 1
            self.settle()
            self.look()

    def node(self) -> str:
        return self.random.choice(list(self.model.rows))

    def name(self, node: str) -> str:
        return self.random.choice([*FIELDS, *self.model.computed[node]])

    def track(self) -> None:
        row = Row(self.random.choice(VALUES[:-1]), self.random.choice(VALUES[:-1]))
        node = self.graph.track(row)
        self.model.rows[node] = {name: getattr(row, name) for name in FIELDS}
        self.model.computed[node] = {}
        self.objects[node] = row

    def untrack(self) -> None:
        if len(self.model.rows) < 3:
            return
        node = self.node()
        self.graph.untrack(node)
        del self.model.rows[node]
        for members, *_ in self.model.groups.values():
            if node in members:
                members.remove(node)
        self.watches = [watch for watch in self.watches if getattr(watch, "node", None) != node]

    def values(self, node: str) -> dict[str, Any]:
        free = [name for name in FIELDS if name not in self.model.computed[node]]
        names = self.random.sample(free, self.random.randrange(1, len(free) + 1))
        return {name: self.random.choice(VALUES) for name in names}

    def update(self) -> None:
        node = self.node()
        name, value = self.random.choice(list(self.values(node).items()))
        self.graph.update(node, name, value)
        self.model.rows[node][name] = value

    def batch(self) -> None:
        chosen = self.random.sample(list(self.model.rows), min(len(self.model.rows), self.random.randrange(1, 4)))
        changes = {node: self.values(node) for node in chosen}
        if self.random.random() < 0.2:
            broken = {**changes, chosen[-1]: {**changes[chosen[-1]], "nope": 1}}
            with pytest.raises(ReactiveError, match="has no field 'nope'"):
                self.graph.batch_update(broken)
            return
        self.graph.batch_update(changes)
        for node, values in changes.items():
            self.model.rows[node].update(values)

    def refresh(self) -> None:
        node = self.node()
        for name, value in self.values(node).items():
            setattr(self.objects[node], name, value)
            self.model.rows[node][name] = value
        self.graph.refresh(node)

    def what_if(self) -> None:
        """Look at other values, which the model simply has for a while."""
        chosen = self.random.sample(list(self.model.rows), min(len(self.model.rows), self.random.randrange(1, 3)))
        changes = {node: self.values(node) for node in chosen}
        rows = {node: dict(row) for node, row in self.model.rows.items()}
        for node, values in changes.items():
            self.model.rows[node].update(values)
        with self.graph.scenario(changes) as scenario:
            for node in self.model.rows:
                for name in (*FIELDS, *self.model.computed[node]):
                    self.same(lambda: scenario.get(node, name), lambda: self.model.value(node, name))  # noqa: B023
            for name in self.model.groups:
                self.same(lambda: scenario.get_group(name), lambda: self.model.group(name))  # noqa: B023
            for name in self.model.functions:
                self.same(lambda: scenario.get(name), lambda: self.model.function(name))  # noqa: B023
        self.model.rows.update(rows)

    def compute(self) -> None:
        node, name = self.node(), self.random.choice(COMPUTED)
        one, other = Field(self.name(node)), Field(self.name(node))
        expr = self.random.choice(
            [one + other, one * 2 - other, Coalesce([one, other, 0]), If(one > 1, other, one), Func("max", one, other)]
        )
        circular = self.model.reaches(node, expr, name)
        try:
            self.graph.computed(node, name, expr)
        except CycleError:
            assert circular
        else:
            assert not circular
            self.model.computed[node][name] = expr

    def make_group(self) -> None:
        nodes = self.random.sample(list(self.model.rows), self.random.randrange(len(self.model.rows) + 1))
        name, of = f"g{self.random.randrange(6)}", self.random.choice([*FIELDS, *COMPUTED])
        reduction, skip_none = self.random.choice(list(REDUCTIONS)), self.random.random() < 0.5
        lacking = any(of not in FIELDS and of not in self.model.computed[node] for node in nodes)
        try:
            self.graph.group_computed(name, nodes, of, REDUCTIONS[reduction], skip_none=skip_none)
        except GraphError:
            assert lacking or name in self.model.groups
        else:
            self.model.groups[name] = (nodes, of, reduction, skip_none)

    def join(self) -> None:
        if self.model.groups:
            name, node = self.random.choice(list(self.model.groups)), self.node()
            members, of, *_ = self.model.groups[name]
            if of in FIELDS or of in self.model.computed[node]:
                self.graph.add_to_group(name, node)
                if node not in members:
                    members.append(node)

    def leave(self) -> None:
        joined = [(name, node) for name, (members, *_) in self.model.groups.items() for node in members]
        if joined:
            name, node = self.random.choice(joined)
            self.graph.remove_from_group(name, node)
            self.model.groups[name][0].remove(node)

    def drop_group(self) -> None:
        if self.model.groups and self.random.random() < 0.5:
            name = self.random.choice(list(self.model.groups))
            self.graph.remove_group(name)
            del self.model.groups[name]
            self.watches = [watch for watch in self.watches if getattr(watch, "group", None) != name]

    def make_function(self) -> None:
        name, node = f"f{self.random.randrange(4)}", self.node()
        of, group = self.name(node), f"g{self.random.randrange(6)}"
        if name not in self.model.functions:
            self.graph.multi_computed(name, lambda g: (g.get(node, of), g.get_group(group)))
            self.model.functions[name] = ((node, of), group)

    def watch(self) -> None:
        kind = self.random.choice(("node", "group", "function"))
        if kind == "node":
            node = self.node()
            name = self.name(node)
            watch = Watch(lambda: self.model.value(node, name))
            watch.node = node  # type: ignore[attr-defined]
            watch.effect = self.graph.effect(node, name, lambda name, value: watch.found.append(value))
        elif kind == "group" and self.model.groups:
            group = self.random.choice(list(self.model.groups))
            watch = Watch(lambda: self.model.group(group))
            watch.group = group  # type: ignore[attr-defined]
            watch.effect = self.graph.group_effect(group, lambda name, value: watch.found.append(value))
        elif kind == "function" and self.model.functions:
            function = self.random.choice(list(self.model.functions))
            watch = Watch(lambda: self.model.function(function))
            watch.effect = self.graph.group_effect(function, lambda name, value: watch.found.append(value))
        else:
            return
        self.watches.append(watch)

    def unwatch(self) -> None:
        if self.watches:
            watch = self.watches.pop(self.random.randrange(len(self.watches)))
            assert watch.effect is not None
            self.graph.remove_effect(watch.effect)
            before = list(watch.found)
            self.update()
            assert watch.found == before

    def settle(self) -> None:
        for watch in self.watches:
            try:
                value = watch.read()
            except Failed:
                pass
            else:
                if not watch.expected or not same_value(watch.expected[-1], value):
                    watch.expected.append(value)
            assert repr(watch.found) == repr(watch.expected)

    def look(self) -> None:
        """Compare a few values: were all read each time, nothing would ever be computed late."""
        for _ in range(2):
            node = self.node()
            name = self.name(node)
            self.same(lambda: self.graph.get(node, name), lambda: self.model.value(node, name))  # noqa: B023
        for name in self.random.sample(list(self.model.groups), min(2, len(self.model.groups))):
            self.same(lambda: self.graph.get_group(name), lambda: self.model.group(name))  # noqa: B023
        for name in self.random.sample(list(self.model.functions), min(1, len(self.model.functions))):
            self.same(lambda: self.graph.get(name), lambda: self.model.function(name))  # noqa: B023

    def same(self, read: Callable[[], Any], expect: Callable[[], Any]) -> None:
        try:
            expected = expect()
        except Failed:
            with pytest.raises(ComputationError):
                read()
        else:
            assert repr(read()) == repr(expected)


@pytest.mark.parametrize("seed", range(rounds(60, 2000)))
def test_graph_agrees_with_the_model(seed: int) -> None:
    steps = Steps(seed)
    steps.run(150)
    for node, row in steps.model.rows.items():
        assert {name: getattr(steps.objects[node], name) for name in FIELDS} == row


def test_model_takes_every_kind_of_step() -> None:
    steps = Steps(0)
    steps.run(400)
    assert min(steps.taken.values()) > 3
    assert len(steps.taken) == 14
