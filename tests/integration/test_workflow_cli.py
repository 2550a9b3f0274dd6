"""`python -m workflow`, as an operator uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from store.server import ObjectStoreServer
from tests.fix_children import ROOT, Children
from tests.fix_postgres import StoreDatabase, fresh_database
from tests.waiting import wait_until
from workflow.cli import main
from workflow.dbos_engine import DBOSEngine

engine: DBOSEngine

FLOWS = """
import os, sys
from workflow.dbos_engine import DBOSEngine

engine = DBOSEngine(os.environ["ENGINE_URL"], "shop")

def count_up(limit):
    for number in range(limit):
        engine.step(abs, number)
    engine.sleep(3600.0 if os.environ.get("STAY") else 0.0)
    return limit

def main():
    with engine:
        engine.workflow(count_up, 3, workflow_id="counting")
        while len(engine.show("counting").steps) < 4:
            engine.report
        print("begun", flush=True)
        import time
        time.sleep(3600)
"""


def fail() -> None:
    raise ValueError("no such counterparty")


def work() -> str:
    engine.step(abs, -1)
    engine.recv("go", 600)
    return "went"


@pytest.fixture(scope="module")
def database(store_server: ObjectStoreServer) -> Iterator[StoreDatabase]:
    with fresh_database(store_server) as made:
        yield made


@pytest.fixture
def options(database: StoreDatabase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    url = database.server.dbos_url(database.dbname)
    head, _, rest = url.partition(":")
    password = rest.partition("store_engine:")[2].partition("@")[0]
    monkeypatch.setenv("WORKFLOW_PASSWORD", unquote(password))
    return ["--url", f"{head}{url[len(head) :].replace(f':{password}@', '@')}"]


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    capsys.readouterr()
    assert main(arguments) == status, capsys.readouterr()
    found = capsys.readouterr()
    return found.out if status == 0 else found.err


def test_list_show_cancel_resume_and_prune(
    database: StoreDatabase, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    global engine
    assert "no workflow engine was launched on this database yet" in said(capsys, *options, "list", status=1)
    engine = DBOSEngine(database.server.dbos_url(database.dbname), "desk")
    with engine:
        failed = engine.workflow(fail, workflow_id="failed one")
        waits = engine.workflow(work, workflow_id="waits")
        wait_until(lambda: len(engine.show("waits").steps) == 2)
        with pytest.raises(Exception, match="no such counterparty"):
            failed.get_result(120)
        listed = [json.loads(line) for line in said(capsys, *options, "--json", "list").splitlines()]
        assert {row["workflow_id"]: row["status"] for row in listed} == {"failed one": "ERROR", "waits": "RUNNING"}
        assert listed[-1]["note"] == "ValueError: no such counterparty"
        assert "waits" not in said(capsys, *options, "list", "--status", "ERROR")
        shown = said(capsys, *options, "show", "waits")
        assert "abs" in shown and "recv until" in shown and f"{__name__}:work" in shown
        assert "waits is CANCELLED" in said(capsys, *options, "cancel", "waits")
        with pytest.raises(Exception, match="was cancelled"):
            waits.get_result(120)
        assert "failed one is ERROR: there is nothing to cancel" in said(
            capsys, *options, "cancel", "failed one", status=1
        )
        assert "waits is PENDING" in said(capsys, *options, "resume", "waits")
        engine.send("waits", "go", 1)
        assert engine.handle("waits").get_result(120) == "went"
        assert "nothing to resume" in said(capsys, *options, "resume", "waits", status=1)
        assert "0 workflows forgotten" in said(capsys, *options, "prune", "--older-than", "1")
        assert "2 workflows forgotten" in said(capsys, *options, "prune", "--older-than", "0")
        assert "there is no workflow 'waits'" in said(capsys, *options, "show", "waits", status=1)


def test_wrong_calls_are_told_on_one_line(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "either --data-dir or --url" in said(capsys, "list", status=2)
    both = ("--data-dir", "desk", "--url", "postgresql://h/d")
    assert "either --data-dir or --url" in said(capsys, *both, "list", status=2)
    after = said(capsys, "list", *options, status=2)
    assert after == "Error: No such option '--url'; it goes before the command: python -m workflow --url ... COMMAND\n"
    assert said(capsys, "show", status=2).endswith("see python -m workflow show --help\n")
    assert "'desk' names no engine: write MODULE:ENGINE" in said(capsys, *options, "recover", "desk", status=1)
    assert "the store's directory is empty" in said(capsys, "--data-dir", "", "list", status=2)
    assert "a password in --url" in said(capsys, "--url", "postgresql://a:b@h/d", "list", status=2)
    assert "there is no store in /nowhere" in said(capsys, "--data-dir", "/nowhere", "list", status=1)
    assert "No such command 'lst'" in said(capsys, *options, "lst", status=2)
    assert "cannot be imported: ModuleNotFoundError" in said(capsys, *options, "recover", "no.such:engine", status=1)
    assert "is a module, no engine on PostgreSQL" in said(capsys, *options, "recover", "json:decoder", status=1)


def test_recover_ends_what_a_dead_process_left(
    database: StoreDatabase, children: Children, tmp_path: Path, options: list[str]
) -> None:
    url = database.server.dbos_url(database.dbname)
    (tmp_path / "shop_flows.py").write_text(FLOWS)
    env = {"ENGINE_URL": url, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    first = children.run("-c", "import shop_flows; shop_flows.main()", env=env | {"STAY": "1"})
    first.wait_for_line("begun")
    first.kill()

    def recover() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workflow", *options, "recover", "shop_flows:engine", "--timeout", "1"]
        variables: dict[str, Any] = {"cwd": ROOT, "env": os.environ | env}
        return subprocess.run(command, capture_output=True, text=True, check=False, **variables)

    ended = recover()
    assert ended.returncode == 1
    assert "counting" in ended.stdout and "not ended: 1" in ended.stderr  # it sleeps, as it did
