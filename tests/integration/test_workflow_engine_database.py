"""The engine on PostgreSQL: who may touch its tables, servers that restart, processes that cannot go on."""

from __future__ import annotations

import io
import logging
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stderr
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import psycopg2
import pytest
from psycopg.conninfo import make_conninfo

from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.fix_children import Children
from tests.fix_postgres import StoreDatabase, fresh_database, password_of
from tests.waiting import wait_until
from workflow import WorkflowError, WorkflowFailed, WorkflowStatus
from workflow.database import Database
from workflow.dbos_engine import DBOSEngine
from workflow.errors import EngineError, TargetNotFound
from workflow.executors import Executor, TakeOver
from workflow.report import LaunchReport

engine: DBOSEngine
clients: list[StoreClient] = []


def identity(value: Any) -> Any:
    return value


def stepping(value: Any) -> Any:
    return engine.step(identity, value)


def waiting() -> Any:
    return engine.recv("go", 60)


@pytest.fixture(scope="module")
def database(store_server: ObjectStoreServer) -> Iterator[StoreDatabase]:
    with fresh_database(store_server) as made:
        yield made


@pytest.fixture
def launched(database: StoreDatabase) -> Iterator[DBOSEngine]:
    global engine
    engine = DBOSEngine(database.server.dbos_url(database.dbname), "desk")
    with engine:
        yield engine


# ---- rights


def test_no_user_reaches_the_engines_tables(launched: DBOSEngine, database: StoreDatabase) -> None:
    launched.run(stepping, "secret")
    database.provision("auditor", reads_all=True)
    with closing(database.admin()) as conn, conn.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, min(column_name) FROM information_schema.columns"
            " WHERE table_schema = 'workflow' GROUP BY table_name"
        )
        tables = dict(cursor.fetchall())
        cursor.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'workflow'::regnamespace")
        functions = [row[0] for row in cursor.fetchall()]
    assert {"workflow_status", "workflow_input", "operation_outputs", "executors"} <= set(tables)
    attempts = [
        *(f"SELECT * FROM workflow.{table}" for table in tables),
        *(f"INSERT INTO workflow.{table} DEFAULT VALUES" for table in tables),
        *(f'UPDATE workflow.{table} SET "{column}" = NULL' for table, column in tables.items()),
        *(f"DELETE FROM workflow.{table}" for table in tables),
        *(f"TRUNCATE workflow.{table}" for table in tables),
        *(f"SELECT workflow.{name}()" for name in functions),
        "CREATE TABLE workflow.mine (a int)",
        "DROP SCHEMA workflow CASCADE",
        "SET ROLE store_engine",
        "ALTER ROLE store_engine PASSWORD 'mine'",
        "GRANT store_engine TO CURRENT_USER",
        "SELECT * FROM store.outbox_pending(10)",
        "SELECT store.outbox_done('00000000-0000-0000-0000-000000000000', 1)",
        "SELECT store.forget_workflow_keys(ARRAY['x'])",
        "SELECT * FROM store.workflow_outbox",
    ]
    for user in ("bob", "auditor"):
        with closing(psycopg2.connect(**database.login(user))) as conn:
            conn.autocommit = True
            for attempt in attempts:
                with conn.cursor() as cursor, pytest.raises(psycopg2.Error) as refused:
                    cursor.execute(attempt)
                assert refused.value.pgcode in ("42501", "42883", "0LP01"), (attempt, refused.value)


def test_engines_role_is_no_superuser_and_reads_no_entity(launched: DBOSEngine, database: StoreDatabase) -> None:
    with StoreClient(**database.login("alice")) as alice:
        entity_id = alice.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    url = database.server.dbos_url(database.dbname)
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert row == (False,)
        for attempt in (
            "SELECT * FROM store.object_heads",
            "SELECT * FROM store.object_events",
            "SELECT * FROM store.idempotency_keys",
            f"SELECT * FROM store.object_as_of('{entity_id}', now(), now())",
            "SELECT * FROM store.append_events('[]', false, NULL)",
            "SET ROLE store_owner",
            "CREATE TABLE public.mine (a int)",
            "COPY (SELECT 1) TO '/tmp/mine'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(attempt)


def test_engines_password_is_kept_where_only_the_owner_reads(store_server: ObjectStoreServer) -> None:
    url = store_server.dbos_url()
    assert store_server.dbos_url() == url
    assert store_server._dir is not None
    path = Path(store_server._dir, "engine.password")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert quote(path.read_text(), safe="") in url


def test_url_that_cannot_be_used_is_a_clear_error(database: StoreDatabase) -> None:
    url = database.server.dbos_url(database.dbname)
    password = url.partition("store_engine:")[2].partition("@")[0]
    for wrong, told in (
        (url.replace(password, "wrong"), "password authentication failed"),
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be launched"),
        ("not a url", "cannot be"),
        (None, "the engine's URL is a text, as server.dbos_url"),
    ):
        with pytest.raises(EngineError, match=told):
            DBOSEngine(wrong, "desk").launch()  # type: ignore[arg-type]
    for name in ("ab", "Desk", "de sk", "", 5):
        with pytest.raises(WorkflowError, match="name takes 3 to 100 lower-case letters"):
            DBOSEngine(url, name)  # type: ignore[arg-type]


def test_login_of_a_user_runs_no_engine_and_is_told_why(database: StoreDatabase) -> None:
    with DBOSEngine(database.server.dbos_url(database.dbname), "desk"):
        pass
    user = database.provision("engineer")
    with pytest.raises(EngineError, match=f"the login '{user}' may not use the schema workflow: an engine has a login"):
        DBOSEngine(make_conninfo(**database.login("engineer")), "desk").launch()


def test_engine_outlives_the_standard_error_that_it_was_launched_under(
    database: StoreDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [])
    for number in range(2):
        made = DBOSEngine(database.server.dbos_url(database.dbname), "desk")
        with io.TextIOWrapper(io.BytesIO()) as stream, redirect_stderr(stream), made:
            assert made.run(identity, number) == number


def test_second_engine_in_a_process_is_an_error(launched: DBOSEngine, database: StoreDatabase) -> None:
    with pytest.raises(EngineError, match="runs a workflow engine already"):
        DBOSEngine(database.server.dbos_url(database.dbname), "other").launch()
    assert launched.run(stepping, 1) == 1


# ---- what nobody here can go on with

LEFT_BEHIND = """
import sys, time
from workflow.dbos_engine import DBOSEngine

def mine(seconds):
    print("begun", flush=True)
    engine.sleep(seconds)
    return "done"

engine = DBOSEngine(sys.argv[1], "left", version=sys.argv[2])
if __name__ == "__main__":
    with engine:
        if sys.argv[3] == "begin":
            engine.workflow(mine, 3600.0 if sys.argv[4] == "long" else 3.0, workflow_id="of the script")
        print(str(engine.report), flush=True)
        time.sleep(3600)
"""


def test_workflow_of_a_script_waits_for_that_script_and_says_so(database: StoreDatabase, children: Children) -> None:
    url = database.server.dbos_url(database.dbname)
    first = children.script(LEFT_BEHIND, url, "1", "begin", "short")
    first.wait_for_line("begun")
    first.kill()
    with DBOSEngine(url, "left") as other:
        waits = other.report.waiting
        assert [(each.workflow_id, each.target) for each in waits] == [("of the script", "__main__:mine")]
        assert "it belongs to the script script_" in waits[0].reason
        shown = other.show("of the script")
        assert shown.status is WorkflowStatus.PENDING
        assert shown.note is not None and "cannot be found: it belongs to the script" in shown.note
    with DBOSEngine(url, "left", version="2") as newer:
        assert "belongs to version left@1 of the application" in newer.report.waiting[0].reason
    second = children.script(LEFT_BEHIND, url, "1", "go on", "")
    second.wait_for_line("recovered 1, waiting 0")
    with DBOSEngine(url, "left") as watching:
        assert watching.handle("of the script").get_result(120) == "done"
        assert watching.show("of the script").note is None


def test_program_ends_though_a_workflow_sleeps(database: StoreDatabase, children: Children) -> None:
    script = LEFT_BEHIND.replace('"left"', '"ending"').replace("of the script", "at the end")
    script = script.replace("    with engine:", "    if engine.launch():").replace("time.sleep(3600)", "")
    child = children.script(script, database.server.dbos_url(database.dbname), "1", "begin", "long")
    assert child.wait(60) == 0, child.output


def test_workflow_of_a_living_process_is_left_alone(database: StoreDatabase, children: Children) -> None:
    url = database.server.dbos_url(database.dbname)
    script = LEFT_BEHIND.replace('"left"', '"living"').replace("of the script", "of the living")
    living = children.script(script, url, "1", "begin", "long")
    living.wait_for_line("begun")
    with DBOSEngine(url, "living") as other:
        assert not other.report.recovered and not other.report.waiting
        assert other.handle("of the living").get_status() is WorkflowStatus.RUNNING
        living.send(signal.SIGSTOP)  # alive all the same
        time.sleep(1.5)
        assert not other.report.recovered
        other.cancel("of the living")
        living.kill()


def test_local_function_that_was_cut_off_ends_with_a_clear_error(database: StoreDatabase) -> None:
    url = database.server.dbos_url(database.dbname)
    begun = threading.Event()
    with DBOSEngine(url, "local") as first, pytest.warns(UserWarning, match="cannot be imported by name"):

        def local() -> None:
            begun.set()
            first.sleep(3600)

        handle = first.workflow(local)
        assert begun.wait(120)
    from workflow import targets

    targets._locals.clear()  # as in a new process
    with DBOSEngine(url, "local") as second:
        with pytest.raises(WorkflowFailed, match="it is a lambda or a local function") as caught:
            second.handle(handle.workflow_id).get_result(120)
        assert isinstance(caught.value.__cause__, TargetNotFound)


def test_claim_of_one_dead_process_succeeds_once(launched: DBOSEngine, database: StoreDatabase) -> None:
    assert launched.report and launched._duties._slow is not None
    launched._duties._slow.stop()  # it would take the workflow back from the takers, who are no living processes
    handle = launched.workflow(waiting)
    run = wait_until(lambda: next(iter(launched._runs), None))
    assert run is not None
    url = database.server.dbos_url(database.dbname)
    with closing(Database(url)) as records:
        claimed: list[str] = []
        takers = [
            TakeOver(records, Executor.new("desk", "desk@1"), lambda workflow, token: claimed.append(workflow))
            for _ in range(8)
        ]
        # All of them take the living holder for dead at the same moment.
        held = (launched._executor.executor_id, handle.workflow_id, "desk@1", None, f"{__name__}:waiting", "")
        reports = [LaunchReport(str(number)) for number in range(8)]
        threads = [
            threading.Thread(target=taker._take, args=(report, *held))
            for taker, report in zip(takers, reports, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert claimed == [handle.workflow_id]
        # The former holder is interrupted, and can record nothing more.
        wait_until(lambda: run not in launched._runs)
        launched.cancel(handle.workflow_id)


# ---- a server that restarts


def writing(tag: str, count: int) -> int:
    for number in range(count):
        engine.step(write_one, tag, number)
    return count


def write_one(tag: str, number: int) -> str:
    return clients[0].write(Trade(symbol=tag, quantity=number + 1, price=1.0, side="BUY"))


def test_restart_of_postgresql_under_load_is_a_pause(tmp_path: Path) -> None:
    global engine
    with ObjectStoreServer(tmp_path / "desk") as server:
        server.provision_user("alice", password_of("alice"))
        where = server.conn_info()
        engine = DBOSEngine(server.dbos_url(), "desk")
        client = StoreClient(user="alice", password=password_of("alice"), **where)
        clients[:] = [client]
        with closing(client), engine:
            engine.declare_queue("load", worker_concurrency=4)
            handles = [engine.queue("load", writing, f"Q{number}", 15) for number in range(4)]
            handles += [engine.workflow(writing, f"W{number}", 15) for number in range(2)]
            received = engine.workflow(waiting)
            wait_until(lambda: client.count(Trade) >= 20, 60)
            # As a crash of one backend does it: the server ends every session, and recovers.
            with closing(server.admin_conn()) as conn, conn.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                row = cursor.fetchone()
                assert row is not None
                os.kill(row[0], signal.SIGKILL)
            assert [handle.get_result(120) for handle in handles] == [15] * 6
            engine.send(received.workflow_id, "go", "went")
            assert received.get_result(60) == "went"
            trades = client.query(Trade, limit=None)
            assert sorted((trade.symbol, trade.quantity) for trade in trades) == sorted(
                (f"{kind}{number}", quantity)
                for kind, numbers in (("Q", range(4)), ("W", range(2)))
                for number in numbers
                for quantity in range(1, 16)
            )
