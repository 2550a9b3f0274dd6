"""Workflow engines for tests: the one in memory and the one on PostgreSQL, behind one face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.fix_postgres import StoreDatabase, fresh_database

if TYPE_CHECKING:
    from store.server import ObjectStoreServer
    from workflow.engine import WorkflowEngine

Restart = Callable[..., "WorkflowEngine"]
KINDS = ["memory", "dbos"]


@pytest.fixture(scope="session")
def engine_db(store_server: ObjectStoreServer) -> Iterator[StoreDatabase]:
    """A store for the run's engine on PostgreSQL: making the engine's tables takes a second, once."""
    with fresh_database(store_server) as database:
        yield database


class _Maker:
    """Launches engines of one kind on the same records, one after the other."""

    def __init__(self, kind: str, database: Callable[[], StoreDatabase]) -> None:
        self._kind = kind
        self._database = database
        self._made: list[WorkflowEngine] = []

    def __call__(self, bind: Callable[[WorkflowEngine], None] = lambda engine: None) -> WorkflowEngine:
        before = self.close()
        if self._kind == "memory":
            from workflow.testing import InMemoryEngine, Journal

            journal = before.journal if isinstance(before, InMemoryEngine) else Journal()
            engine: WorkflowEngine = InMemoryEngine(journal)
        else:
            from workflow.dbos_engine import DBOSEngine

            database = self._database()
            engine = DBOSEngine(database.server.dbos_url(database.dbname), "contract")
        self._made.append(engine)
        bind(engine)
        return engine.launch()

    def close(self) -> WorkflowEngine | None:
        last = self._made[-1] if self._made else None
        if last is not None:
            last.destroy()
        return last


@pytest.fixture(params=KINDS)
def engine_maker(request: pytest.FixtureRequest) -> Iterator[Restart]:
    """What launches an engine; called again, it ends the one before and launches another on the same records."""
    maker = _Maker(request.param, lambda: request.getfixturevalue("engine_db"))
    yield maker
    maker.close()


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest) -> Iterator[WorkflowEngine]:
    """A launched engine of each kind in turn, which the tests of one module share."""
    maker = _Maker(request.param, lambda: request.getfixturevalue("engine_db"))
    yield maker()
    maker.close()
