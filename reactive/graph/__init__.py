"""A graph of objects, values computed of them, groups of those, and effects of their changes."""

from reactive.graph.cells import Effect
from reactive.graph.core import ReactiveGraph
from reactive.graph.scenario import Scenario

__all__ = ["Effect", "ReactiveGraph", "Scenario"]
