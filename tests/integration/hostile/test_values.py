"""Values made to break whoever reads them: refused by the database, whatever client sends them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store.errors import InvalidValue
from store.models import Trade
from store.publishing import publish
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import FULL, Everything

pytestmark = pytest.mark.both_servers


def create(store_db: StoreDatabase, data: str, *, type_name: str = "Trade", state: str | None = None) -> str:
    """Write an entity as a program that does without our client would; return its id."""
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        item = f'[{{"type_name": {json.dumps(type_name)}, "data": {data}, "state": {json.dumps(state)}}}]'
        cursor.execute("SELECT entity_id FROM store.create_objects(%s, '{alice}', '{}', false, NULL)", (item,))
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize(
    "data",
    [
        '{"x": ' + "[" * 128 + "]" * 128 + "}",
        '{"x": ' + '{"y":' * 200 + "1" + "}" * 200 + "}",
        '{"x": ' + "9" * 4301 + "}",
        '{"x": -1e4300}',
        '{"x": [1, {"y": 1e130000}]}',
        json.dumps({"x": "a" * (5 << 20)}),
        json.dumps({f"k{n}": n for n in range(300_000)}),
    ],
    ids=["deep list", "deep object", "long number", "long negative number", "exponent", "large", "many fields"],
)
def test_values_that_break_readers_are_refused_at_creation_and_at_change(store_db: StoreDatabase, data: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        create(store_db, data)
    entity_id = create(store_db, "{}")
    item = {"entity_id": entity_id, "type_name": "Trade", "version": 1, "event_type": "UPDATED"}
    with store_db.connect("bob") as conn, conn.cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation):
        text = json.dumps(item).removesuffix("}") + f', "changes": {data}}}'
        cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (f"[{text}]",))


def test_an_object_does_not_grow_beyond_what_one_may_hold(store_db: StoreDatabase) -> None:
    entity_id = create(store_db, json.dumps({"x": "a" * 3_000_000}))
    item = {"entity_id": entity_id, "type_name": "Trade", "version": 1, "event_type": "UPDATED"}
    items = json.dumps([item | {"changes": {"y": "a" * 3_000_000}}])
    too_large = pytest.raises(psycopg2.errors.CheckViolation, match="object_size")
    with store_db.connect("bob") as conn, conn.cursor() as cursor, too_large:
        cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (items,))


MOMENTS = {
    "in the future": {"valid_from": "2999-01-01T00:00:00Z"},
    "in the past": {"valid_from": "2001-01-01T00:00:00Z", "valid_to": "2001-01-02T00:00:00Z"},
    "for a while": {"valid_to": "2999-01-01T00:00:00Z"},
}


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "among others"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_changes_of_other_times_do_not_pile_up_to_more_than_an_object_may_hold(
    store_db: StoreDatabase, moment: str, others: int
) -> None:
    ids = [create(store_db, "{}") for _ in range(1 + others)]
    with store_db.connect("bob") as conn, conn.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
        for version in range(1, 6):
            # What is large in one change is small in the next, so that the present state never grows.
            changes = {f"x{version}": "y" * 1_500_000, f"x{version - 1}": ""}
            item = {"type_name": "Trade", "version": version, "event_type": "UPDATED", "changes": changes}
            items = json.dumps([item | MOMENTS[moment] | {"entity_id": entity_id} for entity_id in ids])
            cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (items,))
    assert version == 3
    assert caught.value.pgcode == "TS012" and "each at its largest" in str(caught.value)


# Some 20 MB once it is written out, of which PostgreSQL keeps a few bytes a number.
WIDE = json.dumps([1] * 1_250).replace("1", "1e-16383")


def change(store_db: StoreDatabase, entity_id: str, version: int, changes: str, **moment: str) -> None:
    """Change an entity as a program that does without our client would."""
    item = {"entity_id": entity_id, "type_name": "Trade", "version": version, "event_type": "UPDATED"} | moment
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        text = json.dumps(item).removesuffix("}") + f', "changes": {changes}}}'
        cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (f"[{text}]",))


def test_few_bytes_that_are_written_out_as_very_many_are_refused(store_db: StoreDatabase) -> None:
    """A gigabyte of text, which nobody can read, would else come out of 20 KB, and end backups and listeners."""
    too_large = pytest.raises(psycopg2.errors.CheckViolation, match="object_size")
    with too_large:
        create(store_db, f'{{"x": {WIDE}, "y": {WIDE}}}')
    entity_id = create(store_db, "{}")
    with too_large:
        change(store_db, entity_id, 1, f'{{"x": {WIDE}, "y": {WIDE}}}')


def test_an_object_does_not_grow_beyond_what_may_be_written_out(store_db: StoreDatabase) -> None:
    entity_id = create(store_db, f'{{"x": {WIDE}}}')
    with pytest.raises(psycopg2.errors.CheckViolation, match="object_size"):
        change(store_db, entity_id, 1, f'{{"y": {WIDE}}}')


@pytest.mark.parametrize("moment", MOMENTS)
def test_changes_of_other_times_do_not_pile_up_to_more_than_may_be_written_out(
    store_db: StoreDatabase, moment: str
) -> None:
    entity_id = create(store_db, "{}")
    change(store_db, entity_id, 1, f'{{"x": {WIDE}}}', **MOMENTS[moment])
    with pytest.raises(psycopg2.Error, match="each at its largest"):
        change(store_db, entity_id, 2, f'{{"x": 1, "y": {WIDE}}}', **MOMENTS[moment])


def test_fields_of_other_times_are_counted_to_the_letter(store_db: StoreDatabase) -> None:
    """What is let through here and is too large once it applies would keep all that falls due from being settled."""
    entity_id = create(store_db, "{}")
    fields = json.dumps({f"f{n}": 1 for n in range(10_000, 51_943)}).replace(": 1", ": 1e-591")
    with pytest.raises(psycopg2.Error, match="each at its largest"):
        change(store_db, entity_id, 1, fields, **MOMENTS["in the future"])


def test_large_fields_that_stand_in_for_each_other_from_now_on_are_no_pile(store_db: StoreDatabase) -> None:
    entity_id = create(store_db, "{}")
    item = {"entity_id": entity_id, "type_name": "Trade", "event_type": "UPDATED"}
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        for version in range(1, 6):
            changes = {f"x{version}": "y" * 1_500_000, f"x{version - 1}": ""}
            items = json.dumps([item | {"version": version, "changes": changes}])
            cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (items,))
        # The next change of another time would let them stand side by side.
        items = json.dumps([item | {"version": 6, "changes": {}} | MOMENTS["in the past"]])
        with pytest.raises(psycopg2.Error, match="each at its largest"):
            cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (items,))


@pytest.mark.parametrize("count", [100, 160])
def test_many_large_changes_of_one_moment_fill_nobody_s_memory(store_db: StoreDatabase, count: int) -> None:
    entity_id = create(store_db, "{}")
    item = {"entity_id": entity_id, "type_name": "Trade", "event_type": "UPDATED"} | MOMENTS["in the future"]
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        for version in range(1, count + 1):
            changes = {"x": "y" * 150_000, f"k{version % 40}": version}
            items = json.dumps([item | {"version": version, "changes": changes}])
            cursor.execute("SELECT FROM store.append_events(%s, false, NULL)", (items,))
    with store_db.connect("alice") as conn, conn.cursor() as cursor:
        text = "SELECT octet_length(data->>'x'), (data->>'k39')::int FROM store.object_as_of(%s, NULL, %s)"
        cursor.execute(text, (entity_id, "2998-01-01"))
        before = peak(conn)
        cursor.execute(text, (entity_id, "2999-01-02"))
        assert cursor.fetchall() == [(150_000, max(n for n in range(count + 1) if n % 40 == 39))]
        assert peak(conn) - before < 8_000_000


def peak(conn: Connection) -> int:
    """Return the most memory, in bytes, that a connection's process has had."""
    status = Path(f"/proc/{conn.info.backend_pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_values_at_the_bounds_are_stored_and_read(store_db: StoreDatabase) -> None:
    create(store_db, '{"x": ' + "[" * 126 + "]" * 126 + ', "y": ' + "9" * 4300 + ', "z": "' + "9" * 9000 + '"}')
    (row,) = store_db.client("alice")._database.fetch("objects_of_type", "Trade", 10)
    assert json.loads(row[-1])["y"] == int("9" * 4300)


def test_client_says_which_bound_a_value_breaks(store_db: StoreDatabase) -> None:
    nested: list[Any] = []
    for _ in range(130):
        nested = [nested]
    obj = Everything(tags=nested)
    with pytest.raises(InvalidValue, match="levels of nesting"):
        store_db.client("bob").write(obj)
    assert obj.entity_id is None


@pytest.mark.parametrize("type_name", ["", "x" * 256])
def test_names_of_types_and_states_are_short(store_db: StoreDatabase, type_name: str) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        create(store_db, "{}", type_name=type_name)
    with pytest.raises(psycopg2.errors.CheckViolation):
        create(store_db, "{}", state="x" * 256)


def test_fields_lacking_in_another_s_entities_cannot_be_told_and_turn_no_filter_from_its_index(
    store_db: StoreDatabase,
) -> None:
    lacking = "SELECT store.lacking_fields('Trade', '{symbol,currency}')"
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        for number in range(70):
            item = json.dumps([{"type_name": "Trade", "data": {f"field {number}": 1}}])
            cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (item,))
    alice = store_db.connect("alice")
    with alice, alice.cursor() as cursor:
        cursor.execute(lacking)
        assert cursor.fetchone() == ([],)
    with store_db.admin() as admin, admin.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.type_shapes")
        assert cursor.fetchone() == (65,)
    create(store_db, "{}")
    with alice, alice.cursor() as cursor:
        cursor.execute(lacking)
        assert cursor.fetchone() == (["symbol", "currency"],), "one of these is shared with alice"


def test_fields_lacking_in_entities_of_one_who_reads_the_same_ones_cannot_be_told(store_db: StoreDatabase) -> None:
    store_db.client("alice", readers=["bob", "carol"]).write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    with store_db.connect("carol") as conn, conn.cursor() as cursor:
        item = json.dumps([{"type_name": "Trade", "data": {"symbol": "HERS"}}])
        cursor.execute("SELECT FROM store.create_objects(%s, '{}', '{}', false, NULL)", (item,))
        # Her own tell her, and nobody else.
        cursor.execute("SELECT store.lacking_fields('Trade', '{symbol,currency}')")
        assert cursor.fetchone() == (["currency"],)
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT store.lacking_fields('Trade', '{symbol,currency}')")
        assert cursor.fetchone() == ([],)


ODD_SETTINGS = [
    "SET standard_conforming_strings = off",
    "SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on",
    "SET extra_float_digits = -15",
    "SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; SET timezone = 'Asia/Kolkata'",
    "SET transform_null_equals = on; SET array_nulls = off; SET quote_all_identifiers = on",
]
UNREADABLE = {
    "exact_amount": ["1x5", "0x5", "1.50", "1e5", "+1"],
    "opening_time": ["09:30:00x000001", "09:30:00.000000-00:00", "09:30:00.000000+01:00:00"],
    "ts": ["2026-02-22T10:00:00x000001+00:00", "2026-02-22T10:00:00.000001 00:00", "2026-02-30T10:00:00.000001+00:00"],
    "limits_by_desk": [{"a": "1x5"}],
    "weight": [1e400, "1"],
}


@pytest.mark.parametrize("settings", ODD_SETTINGS)
def test_settings_of_a_session_change_nothing_in_what_a_published_type_takes(
    store_db: StoreDatabase, settings: str
) -> None:
    with closing(store_db.admin()) as admin:
        publish(admin, Everything)
    alice = store_db.client("alice")
    alice.write(Everything(**FULL))
    bob = store_db.connect("bob")
    bob.autocommit = True
    with bob.cursor() as cursor:
        cursor.execute(settings)
        for field, values in UNREADABLE.items():
            for value in values:
                text = json.dumps(value).replace("Infinity", "1e400")
                item = f'[{{"type_name": "Everything", "data": {{"{field}": {text}}}}}]'
                for function in ("create_objects", "create_batch"):
                    with pytest.raises(psycopg2.Error) as caught:
                        cursor.execute(f"SELECT store.{function}(%s, '{{alice}}', '{{}}', false, NULL)", (item,))
                    assert caught.value.pgcode == "TS020", (field, value)
        data = json.dumps(json.loads(Everything(**FULL).to_json())["data"])
        cursor.execute(
            "SELECT store.create_objects(%s, '{alice}', '{}', false, NULL)",
            (f'[{{"type_name": "Everything", "data": {data}}}]',),
        )
    assert alice.count(Everything) == len(alice.query(Everything)) == 2


def test_no_function_holds_a_literal_that_a_session_could_have_read_otherwise(store_db: StoreDatabase) -> None:
    with closing(store_db.admin()) as admin, admin.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'store'::regnamespace AND strpos(prosrc, chr(92)) > 0"
        )
        assert cursor.fetchall() == []
