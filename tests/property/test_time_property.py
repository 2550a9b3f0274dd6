"""The store against a naive model of its rules of time: random changes, random ranges, every question on both axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reactive.expr import Const, Field
from store import writing
from store.base import Storable
from store.client import StoreClient
from store.errors import EntityDeleted, InvalidRange
from store.state_machine import StateMachine, Transition
from tests.fix_postgres import StoreDatabase
from tests.property.oracle import Entity, Event, State
from tests.rounds import rounds

pytestmark = pytest.mark.fuzz

STATES = ("OPEN", "HELD", "DONE")


class AnyToAny(StateMachine):
    initial = "OPEN"
    transitions = tuple(Transition(a, b) for a, b in itertools.product(STATES, STATES))


@dataclass
class Sample(Storable):
    quantity: int = 0
    price: float = 0.0
    symbol: str = "A"


# Valid times lie on a grid around the present, so that ranges meet, nest and touch often.
MIDDLE = 6
GRID = st.integers(0, 2 * MIDDLE)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "quantity": st.integers(0, 3),
        "price": st.sampled_from([0.5, 1.5, 2.5]),
        "symbol": st.sampled_from(["A", "B", "C.D"]),
    },
)
WRITE = st.tuples(st.just("write"), st.none() | GRID, st.none() | GRID, FIELDS)
CHANGE = st.tuples(
    st.sampled_from(["update", "update", "update", "delete"]), st.none() | GRID, st.none() | GRID, FIELDS
)
TRANSITION = st.tuples(st.just("transition"), st.none() | GRID, st.sampled_from(STATES), FIELDS)
STEP = st.tuples(st.integers(0, 2), CHANGE | CHANGE | TRANSITION | WRITE)

_numbers = itertools.count(1)


class World:
    """The same entities in the store and in the model."""

    def __init__(self, client: StoreClient, cls: type[Storable]) -> None:
        self.client = client
        self.cls = cls
        self.present = datetime.now(timezone.utc).replace(microsecond=0)
        self.objects: list[Any] = []
        self.models: list[Entity] = []

    def time(self, grid: int | None) -> datetime | None:
        return None if grid is None else self.present + timedelta(days=grid - MIDDLE)

    def apply(self, slot: int, step: tuple[Any, ...]) -> None:
        kind, start, end, fields = step
        if kind == "write" or not self.objects:
            if len(self.objects) < 3:
                self.write(start, end if isinstance(end, int) else None, fields)
            return
        number = slot % len(self.objects)
        obj, model = self.objects[number], self.models[number]
        before = (asdict(obj), obj._metadata)
        valid_from = self.time(start)
        try:
            if kind == "update":
                for name, value in fields.items():
                    setattr(obj, name, value)
                self.client.update(obj, valid_from=valid_from, valid_to=self.time(end), fields=list(fields))
                event = ("UPDATED", fields, None, self.time(end))
            elif kind == "delete":
                self.client.delete(obj, valid_from=valid_from, valid_to=self.time(end))
                event = ("DELETED", {}, None, self.time(end))
            else:
                self.client.transition(obj, end, valid_from=valid_from)
                event = ("STATE_CHANGE", {}, end, None)
        except (EntityDeleted, InvalidRange) as error:
            for name, value in before[0].items():
                setattr(obj, name, value)
            assert obj._metadata == before[1], "a refused change must not touch the object's metadata"
            self.check_refusal(model, kind, valid_from, end, error)
            return
        event_type, changes, state, valid_to = event
        recorded = self.recorded(obj)
        since = valid_from if valid_from is not None else recorded
        assert not model.deleted_over(since, valid_to), "a change over a deleted range was accepted"
        if event_type == "UPDATED" and since < recorded:
            event_type = "CORRECTED"
        model.events.append(Event(model.version + 1, event_type, recorded, since, valid_to, dict(changes), state))
        self.check_object(obj, model)

    def write(self, start: int | None, end: int | None, fields: dict[str, Any]) -> None:
        obj = self.cls(**fields)
        valid_from, valid_to = self.time(start), self.time(end)
        try:
            self.client.write(obj, valid_from=valid_from, valid_to=valid_to)
        except InvalidRange:
            assert valid_to is not None and (valid_from or datetime.now(timezone.utc)) >= valid_to
            assert obj.entity_id is None
            return
        recorded = self.recorded(obj)
        since = valid_from if valid_from is not None else recorded
        self.objects.append(obj)
        self.models.append(Entity([Event(1, "CREATED", recorded, since, valid_to, asdict(obj), "OPEN")]))
        self.check_object(obj, self.models[-1])

    def recorded(self, obj: Storable) -> datetime:
        assert obj.entity_id is not None
        newest: datetime = self.client.audit(obj.entity_id)[-1]["tx_time"]
        return newest

    def check_refusal(
        self, model: Entity, kind: str, valid_from: datetime | None, end: Any, error: InvalidRange
    ) -> None:
        now = datetime.now(timezone.utc)
        since = valid_from if valid_from is not None else now
        until = self.time(end) if kind in ("update", "delete") else None
        if until is not None and since >= until:
            return
        if isinstance(error, EntityDeleted):
            assert model.deleted_over(since, until), f"refused without cause: {error}"
        else:
            assert kind == "transition"
            assert since > now or since < model.latest_state_change(), f"refused without cause: {error}"

    def check_object(self, obj: Any, model: Entity) -> None:
        """After a call the object is what a read gives; a delete leaves the data and the deletion's metadata."""
        last = model.events[-1]
        found = self.client.read(self.cls, obj.entity_id)
        assert obj.version == model.version
        if last.event_type == "DELETED":
            assert (obj.event_type, obj.valid_from, obj.valid_to) == ("DELETED", last.valid_from, last.valid_to)
        elif found is None:
            assert obj.event_type == last.event_type
        else:
            assert obj == found
            assert obj._metadata == found._metadata

    def check_everything(self, questions: list[tuple[int, int, int]]) -> None:
        moments = sorted({event.tx_time for model in self.models for event in model.events})
        for obj, model in zip(self.objects, self.models, strict=True):
            now = datetime.now(timezone.utc)
            assert_same(self.client.read(self.cls, obj.entity_id), model.at(None, now))
            history = self.client.history(self.cls, obj.entity_id)
            expected = model.history()
            assert len(history) == len(expected)
            for version, state in zip(history, expected, strict=True):
                assert_same(version, state)
            self.check_audit(obj, model)
        for tx_choice, offset, grid in questions:
            tx_time = None
            if tx_choice and moments:
                tx_time = moments[tx_choice % len(moments)] + timedelta(microseconds=offset)
            valid_time = self.time(grid)
            assert valid_time is not None
            known_valid = valid_time + timedelta(microseconds=offset)
            answers = {}
            for obj, model in zip(self.objects, self.models, strict=True):
                found = self.client.as_of(self.cls, obj.entity_id, tx_time, known_valid)
                assert_same(found, model.at(tx_time, known_valid))
                if tx_time is not None:
                    assert_same(self.client.as_of(self.cls, obj.entity_id, tx_time=tx_time), model.at(tx_time, tx_time))
                if found is not None:
                    answers[obj.entity_id] = found
            page = self.client.query(self.cls, limit=None, tx_time=tx_time, valid_time=known_valid)
            assert {obj.entity_id: (obj, obj._metadata) for obj in page} == {
                key: (obj, obj._metadata) for key, obj in answers.items()
            }
            large = {key for key, obj in answers.items() if obj.quantity > 1}
            held = Field("quantity") > Const(1)
            assert self.client.count(self.cls, held, tx_time=tx_time, valid_time=known_valid) == len(large)
        self.check_current()

    def check_audit(self, obj: Any, model: Entity) -> None:
        trail = self.client.audit(obj.entity_id)
        assert len(trail) == len(model.events)
        for entry, event in zip(trail, model.events, strict=True):
            before = Entity(model.events[: event.version - 1]).at(None, event.valid_from)
            after = model.at(event.tx_time, event.valid_from, see_deleted=True)
            old = {} if before is None else before.fields
            assert after is not None
            assert entry["changes"] == {
                name: {"old": old.get(name), "new": value} for name, value in event.changes.items()
            }
            assert (entry["version"], entry["event_type"], entry["state"]) == (
                event.version,
                event.event_type,
                after.state,
            )

    def check_current(self) -> None:
        now = datetime.now(timezone.utc)
        expected = {
            obj.entity_id: state
            for obj, model in zip(self.objects, self.models, strict=True)
            if (state := model.at(None, now)) is not None
        }
        page = self.client.query(self.cls, limit=None, order_by="-price")
        assert {obj.entity_id for obj in page} == set(expected)
        for obj in page:
            assert obj.entity_id is not None
            assert_same(obj, expected[obj.entity_id])
        assert [obj.price for obj in page] == sorted((obj.price for obj in page), reverse=True)
        open_ones = {key for key, state in expected.items() if state.state == "OPEN" and state.fields["symbol"] == "A"}
        assert {obj.entity_id for obj in self.client.query(self.cls, {"state": "OPEN", "symbol": "A"})} == open_ones


def assert_same(found: Any, expected: State | None) -> None:
    if expected is None or found is None:
        assert found is None and expected is None, f"store: {found!r}, rules: {expected!r}"
        return
    assert asdict(found) == expected.fields
    meta = found._metadata
    assert (meta.version, meta.event_type, meta.tx_time, meta.valid_from, meta.valid_to, meta.state) == (
        expected.version,
        expected.event_type,
        expected.tx_time,
        expected.valid_from,
        expected.valid_to,
        expected.state,
    )


@pytest.fixture(scope="module")
def client(module_store_db: StoreDatabase) -> Iterator[StoreClient]:
    """A client of a store that does with these short lives what it does with long ones.

    Its entities leave a snapshot often, and few of what comes after one is folded together.
    """
    with module_store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION store.leaves_snapshot(p_version integer) RETURNS boolean LANGUAGE sql IMMUTABLE"
            " AS 'SELECT p_version % 3 = 0'"
        )
        cursor.execute(
            "CREATE OR REPLACE FUNCTION store.folded_together() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'"
        )
    yield module_store_db.client()


@settings(
    max_examples=rounds(500, 20_000),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    steps=st.lists(STEP, min_size=1, max_size=12),
    questions=st.lists(st.tuples(st.integers(0, 40), st.integers(-1, 1), GRID), min_size=2, max_size=5),
    in_batches=st.booleans(),
)
def test_store_random_changes_answers_as_the_rules_say(
    client: StoreClient,
    steps: list[tuple[int, tuple[Any, ...]]],
    questions: list[tuple[int, int, int]],
    in_batches: bool,
) -> None:
    cls = dataclass(type(f"Sample{next(_numbers)}", (Sample,), {"_state_machine": AnyToAny}))
    world = World(client, cls)
    with pytest.MonkeyPatch.context() as patched:
        if in_batches:  # through the functions for many, each call a batch of one
            patched.setattr(writing, "ALONE", 0)
        for slot, step in steps:
            world.apply(slot, step)
    world.check_everything(questions)


@pytest.fixture
def lived(client: StoreClient, module_store_db: StoreDatabase) -> StoreDatabase:
    """The store with what the property test leaves behind, whichever test of this module comes first."""
    if not client.list_types():
        test_store_random_changes_answers_as_the_rules_say(client)
    return module_store_db


@pytest.mark.parametrize("own", [True, False], ids=["at its valid_from", "at its tx_time"])
def test_states_along_random_changes_equal_a_fold_for_each_event(lived: StoreDatabase, own: bool) -> None:
    """From each entity's every event on.

    That is a fold of every event from every earlier one: it takes no more entities than stay bearable.
    """
    with lived.admin() as conn, conn.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), count(*) FILTER (WHERE (s.event_type, s.state, s.data, s.before) IS DISTINCT FROM
                                                    (a.event_type, a.state, a.data, b.data))
            FROM (SELECT * FROM store.object_heads ORDER BY md5(entity_id::text) LIMIT 3000) h
            CROSS JOIN generate_series(1, h.version) AS first
            CROSS JOIN LATERAL store.states_along(h.entity_id, first, h.version, %(own)s) s
            JOIN store.object_events e ON e.entity_id = h.entity_id AND e.version = s.version
            CROSS JOIN LATERAL (SELECT CASE WHEN %(own)s THEN e.valid_from ELSE e.tx_time END AS valid) v
            LEFT JOIN LATERAL store.state_at(e.entity_id, e.tx_time, v.valid) a ON true
            LEFT JOIN LATERAL store.state_at(e.entity_id, e.tx_time - interval '1 microsecond', v.valid) b
                   ON b.event_type <> 'DELETED'
            """,
            {"own": own},
        )
        compared, different = cursor.fetchone()
        assert compared > 1000
        assert different == 0


def test_projection_after_random_changes_equals_fold_of_log(lived: StoreDatabase) -> None:
    with lived.admin().cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.object_heads")
        assert cursor.fetchone()[0] > 100
        cursor.execute("SELECT entity_id, problem FROM store.differences()")
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE due < 'infinity') FROM store.snapshots")
        kept, bounded = cursor.fetchone()
        assert kept > 50
        assert bounded > 10
        cursor.execute("CREATE TEMP TABLE kept AS SELECT * FROM store.snapshots")
        cursor.execute("SELECT store.rebuild()")
        cursor.execute("(TABLE kept EXCEPT TABLE store.snapshots) UNION ALL (TABLE store.snapshots EXCEPT TABLE kept)")
        assert cursor.fetchall() == []
        cursor.execute("SELECT entity_id, problem FROM store.differences()")
        assert cursor.fetchall() == []
