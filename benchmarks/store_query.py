"""Queries over 100,000 entities: what ten versions cost over one, and what the past costs over the present.

The two stores hold the same entities. About 50 of them pass the selective filter, half of them the other one; in either
case a page holds 50.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from typing import NamedTuple

from benchmarks.harness import Pair, ratio
from benchmarks.store_scene import Scene, add_database, deepen, load, running_server
from reactive.expr import Const, Field
from store.models import Trade
from store.query import Filters

ENTITIES = 100_000
VERSIONS = 10
PAGE = 50
QUERIES = 20

SELECTIVE = {"symbol": "SYM42"}
UNSELECTIVE = {"side": "BUY"}


class Depths(NamedTuple):
    """The same entities twice, and a moment in the middle of the deep one's history."""

    shallow: Scene
    deep: Scene
    midway: datetime


@cache
def depths() -> Depths:
    """Load both stores once for all benchmarks of this process."""
    opened = ExitStack()
    atexit.register(opened.close)
    server = opened.enter_context(running_server())
    shallow = add_database(server)
    opened.callback(shallow.close)
    trades = load(shallow.client, ENTITIES)
    deep = add_database(server, template=shallow)
    opened.callback(deep.close)
    for version in range(2, VERSIONS + 1):
        deepen(deep.client, trades, version)
        if version == VERSIONS // 2:
            midway = deep.client.stable_time()
    for scene in (shallow, deep):
        scene.settle()
    return Depths(shallow, deep, midway)


def by_depth(filters: Filters) -> Iterator[Pair]:
    """Yield one filter at ten versions an entity and at one."""
    shallow, deep, _ = depths()

    def pages(scene: Scene) -> Callable[[], None]:
        def run() -> None:
            for _ in range(QUERIES):
                scene.client.query(Trade, filters, limit=PAGE)

        return run

    yield Pair(pages(deep), pages(shallow), operations=QUERIES)


@ratio("query 50 of 100k x 10, dict, 50 match", against="1 version each", aim=0.8, limit=0.005)
def query_selective_dict() -> Iterator[Pair]:
    yield from by_depth(SELECTIVE)


@ratio("query 50 of 100k x 10, Expr, 50 match", against="1 version each", aim=0.8, limit=0.005)
def query_selective_expr() -> Iterator[Pair]:
    yield from by_depth(Field("symbol") == Const("SYM42"))


@ratio("query 50 of 100k x 10, dict, half match", against="1 version each", aim=0.8, limit=0.005)
def query_unselective_dict() -> Iterator[Pair]:
    yield from by_depth(UNSELECTIVE)


@ratio("query 50 of 100k x 10, Expr, half match", against="1 version each", aim=0.8, limit=0.005)
def query_unselective_expr() -> Iterator[Pair]:
    yield from by_depth(Field("side") == Const("BUY"))


@ratio("as-of over 100k, midway in 10 versions", against="full current query", aim=0.3)
def as_of_midway() -> Iterator[Pair]:
    _, deep, midway = depths()
    yield Pair(
        ours=lambda: _expect(ENTITIES, len(deep.client.query(Trade, limit=None, tx_time=midway))),
        raw=lambda: _expect(ENTITIES, len(deep.client.query(Trade, limit=None))),
        operations=ENTITIES,
    )


@ratio("as-of over 100k, after the last change", against="full current query", aim=0.3)
def as_of_now() -> Iterator[Pair]:
    _, deep, _ = depths()
    now = deep.client.stable_time()
    yield Pair(
        ours=lambda: _expect(ENTITIES, len(deep.client.query(Trade, limit=None, tx_time=now))),
        raw=lambda: _expect(ENTITIES, len(deep.client.query(Trade, limit=None))),
        operations=ENTITIES,
    )


def _expect(wanted: int, found: int) -> None:
    """Refuse to time an answer that is not the whole one."""
    if found != wanted:
        raise AssertionError(f"{found} objects instead of {wanted}")
