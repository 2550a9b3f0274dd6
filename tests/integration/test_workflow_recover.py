"""`python -m workflow recover`, as an operator uses it after a crash, and taking over from another machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import pytest

from store.server import ObjectStoreServer
from tests.fix_children import ROOT, Child, Children
from tests.fix_postgres import StoreDatabase, fresh_database
from tests.waiting import wait_until
from workflow.database import Database
from workflow.dbos_engine import DBOSEngine
from workflow.executors import LEASE_SECONDS, Executor, TakeOver
from workflow.ledger import Ledger
from workflow.records import WorkflowStatus
from workflow.report import LaunchReport

# One module for the process that dies and for the one that recovers; FIRST tells them apart.
FLOWS = """
import os, sys, time
from workflow.dbos_engine import DBOSEngine

FIRST = "FIRST" in os.environ
engine = DBOSEngine(os.environ["ENGINE_URL"], "shop")
engine.declare_queue("orders", concurrency=1)
engine.declare_queue("elsewhere", consume=False)

def stay(value):
    if FIRST:
        print("in step", value, flush=True)
        time.sleep(3600)
    return value

def in_step():
    return engine.step(stay, "in_step")

def in_sleep():
    engine.step(abs, -1)
    engine.sleep(1.0 if FIRST else 3600.0)  # the time of waking is recorded
    return "slept"

def in_recv():
    return engine.recv("news", 1.0)

def queued(number):
    return engine.step(stay, f"queued{number}")

if FIRST:
    def gone():
        engine.sleep(3600.0)

def main(names, numbers):
    with engine:
        for name in names:
            engine.workflow(globals()[name], workflow_id=name)
        for number in range(numbers):
            engine.queue("orders", queued, number, workflow_id=f"queued{number}")
        if numbers:
            engine.queue("elsewhere", queued, 9, workflow_id="of nobody here")
        while not all(engine.show(name).steps for name in names if name != "in_step"):
            time.sleep(0.01)
        print("begun", flush=True)
        time.sleep(3600)
"""
EVERY = ("in_step", "in_sleep", "in_recv", "gone")


class Shop:
    """The operator's machine: where the workflows' module is, and the engine's database."""

    def __init__(self, database: StoreDatabase, children: Children, folder: Path) -> None:
        self.url = database.server.dbos_url(database.dbname)
        self._children = children
        (folder / "shop_flows.py").write_text(FLOWS)
        head, _, rest = self.url.partition("store_engine:")
        password, _, tail = rest.partition("@")
        self.options = ("--url", f"{head}store_engine@{tail}")
        self.env = {
            "ENGINE_URL": self.url,
            "WORKFLOW_PASSWORD": unquote(password),
            "PYTHONPATH": f"{ROOT}:{folder}",
        }

    def begin(self, names: tuple[str, ...], numbers: int = 0) -> Child:
        code = f"import shop_flows; shop_flows.main({names!r}, {numbers})"
        child = self._children.run("-c", code, env=self.env | {"FIRST": "1"})
        child.wait_for_line("begun")
        if "in_step" in names:
            child.wait_for_line("in step in_step")
        if numbers:
            child.wait_for_line("in step queued0")
        return child

    def recover(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workflow", *self.options, "--json", "recover", *arguments]
        variables: dict[str, Any] = {"cwd": ROOT, "env": os.environ | self.env}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, **variables)


def told(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str | None]]:
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["workflow_id"]: (row["status"], row["note"]) for row in rows}


@pytest.fixture
def shop(store_server: ObjectStoreServer, children: Children, tmp_path: Path) -> Iterator[Shop]:
    with fresh_database(store_server) as made:
        yield Shop(made, children, tmp_path)


def test_recover_ends_what_can_go_on_and_names_what_cannot(shop: Shop) -> None:
    none = shop.recover("shop_flows:engine")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "nothing to recover\n")

    first = shop.begin(EVERY, numbers=3)
    living = shop.recover("shop_flows:engine", "--timeout", "5")
    assert living.returncode == 0, living.stderr
    assert living.stdout == "" and "which live: they are left alone" in living.stderr
    first.kill()

    done = shop.recover("shop_flows:engine", "--timeout", "60")
    rows = told(done)
    ended = {"in_step", "in_sleep", "in_recv", "queued0", "queued1", "queued2"}
    # What slept or waited for a message may have ended before the kill.
    assert {"in_step", "queued0", "queued1", "queued2", "gone"} <= rows.keys() <= ended | {"gone"}
    assert {status for name, (status, _) in rows.items() if name != "gone"} == {"SUCCESS"}
    assert rows["gone"] == (
        "PENDING",
        "the workflow's function shop_flows:gone cannot be found: shop_flows has no gone",
    )
    assert done.returncode == 1
    assert "not ended: 0; waiting for a process that can go on with them: 1" in done.stderr
    assert "Traceback" not in done.stderr

    with DBOSEngine(shop.url, "shop") as watching:
        assert {name: watching.handle(name).get_result(120) for name in ended} == {
            name: {"in_sleep": "slept", "in_recv": None}.get(name, name) for name in ended
        }
        of_nobody = watching.show("of nobody here")
        assert (of_nobody.status, of_nobody.queue) == (WorkflowStatus.PENDING, "elsewhere")


def test_list_of_one_status_is_not_cut_short_by_others(shop: Shop) -> None:
    first = shop.begin(("in_step",), numbers=2)
    with closing(Database(shop.url)) as database:
        ledger = Ledger(database, "shop")
        assert [info.workflow_id for info in ledger.list("RUNNING", limit=1)] == ["queued0"]
        assert [info.workflow_id for info in ledger.list("PENDING", limit=2)] == ["of nobody here", "queued1"]
        database.change("UPDATE workflow.executors SET beat_at = '-infinity'")
        assert ledger.list("RUNNING", limit=1) == []
        assert len(ledger.list("PENDING", limit=9)) == 4
    first.kill()


@pytest.mark.parametrize("name", ["desk_of_exits", "desk_that_raises"])
def test_recover_with_a_module_that_ends_the_program_is_a_clear_error(shop: Shop, tmp_path: Path, name: str) -> None:
    (tmp_path / "desk_of_exits.py").write_text("import sys\nsys.exit('usage: desk FILE')\n")
    (tmp_path / "desk_that_raises.py").write_text("raise RuntimeError('usage: desk FILE')\n")
    done = shop.recover(f"{name}:engine")
    assert done.returncode == 1
    kind = "SystemExit" if name == "desk_of_exits" else "RuntimeError"
    assert done.stderr == f"Error: {name}:engine cannot be imported: {kind}: usage: desk FILE\n"


# ---- another machine

FAR = """
import os, time
from workflow.dbos_engine import DBOSEngine
from workflow.executors import place

engine = DBOSEngine(os.environ["ENGINE_URL"], "shop")

def wait_for_leave(value):
    print("in step at", place(), flush=True)
    while not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.05)
    return value

def far():
    return engine.step(wait_for_leave, "done")

def main():
    with engine:
        handle = engine.workflow(far, workflow_id="far")
        print("ended", handle.get_result(), flush=True)
        time.sleep(3600)
"""
# A machine of another name, whose processes see only each other; it ends with the process that began it.
MACHINE = """
import os, sys
shell = 'hostname far-away && exec "$@"'
python = [sys.executable, "-c", "import far_flows; far_flows.main()"]
os.execvp(sys.argv[1], [*sys.argv[1:], "sh", "-c", shell, "sh", *python])
"""
AWAY = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-u", "-p", "-f", "--mount-proc", "--kill-child"]


def has_machines() -> bool:
    command = [*AWAY, "hostname", "far-away"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def test_process_on_another_machine_keeps_its_workflow_until_its_lease_ends(
    shop: Shop, children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_machines():
        pytest.skip("this system lets nobody make a second machine (unshare)")
    (tmp_path / "far_flows.py").write_text(FAR)
    (tmp_path / "here").touch()
    for name, value in {"ENGINE_URL": shop.url, "GO_ON": str(tmp_path / "here")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("far_flows", None)
    other = children.script(MACHINE, *AWAY, env=shop.env | {"GO_ON": str(tmp_path / "there")})
    assert "in step at far-away/" in other.wait_for_line("in step")
    import far_flows

    here: DBOSEngine = far_flows.engine
    with here, closing(Database(shop.url)) as database:
        assert not here.report.recovered and not here.report.waiting
        assert here.handle("far").get_status() is WorkflowStatus.RUNNING
        machine = [process for process in psutil.Process(other.pid).children(recursive=True)]
        for process in machine:
            process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        beat = (
            "UPDATE workflow.executors SET beat_at = clock_timestamp() - make_interval(secs => %(age)s)"
            " WHERE place LIKE 'far-away/%%'"
        )
        assert database.change(beat, {"age": LEASE_SECONDS - 3.0}) == 1
        wait_until(lambda: here.report.recovered, 60)
        assert time.monotonic() - stopped >= 2.9
        assert here.handle("far").get_result(60) == "done"
        # The other machine was only slow. What it would record of the step is refused, and it hears how it ended.
        (tmp_path / "there").touch()
        for process in machine:
            process.send_signal(signal.SIGCONT)
        other.wait_for_line("ended done", 60)
        assert [step.name for step in here.show("far").steps] == ["wait_for_leave"]
        assert here.show("far").executor == here.report.executor_id


def test_silence_while_the_server_was_away_counts_against_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shop.begin(("gone",))
    first.kill()
    claimed: list[str] = []
    with closing(Database(shop.url)) as database:
        uptime = float(
            database.fetch("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")[0][0]
        )
        database.change(
            "UPDATE workflow.executors SET place = 'elsewhere', beat_at = pg_postmaster_start_time() - interval '1 day'"
        )
        taker = TakeOver(
            database, Executor.new("shop", "shop@1"), lambda workflow_id, token: claimed.append(workflow_id)
        )
        monkeypatch.setattr("workflow.executors.find", lambda target, origin: None)
        for lease, taken in ((uptime + 60.0, []), (uptime, ["gone"])):
            monkeypatch.setattr("workflow.executors.LEASE_SECONDS", lease)
            taker.sweep(LaunchReport("here"))
            assert claimed == taken
