"""The commands of docs/external-postgresql.md, run in order against a server of that kind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from store.client import StoreClient
from store.models import Trade
from tests.docs.pages import ROOT
from tests.external_postgres import SUPERUSER, SUPERUSER_PASSWORD, ExternalPostgres

pytestmark = pytest.mark.external
PAGE = ROOT / "docs" / "external-postgresql.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(external_server: ExternalPostgres, tmp_path: Path) -> Path:
    """A folder with the files that the page speaks of; what its commands leave on the server goes at the end."""
    shutil.copy(external_server.root_certificate, tmp_path / "ca.pem")
    for user in ("alice", "bridge"):
        (tmp_path / f"{user}.password").write_text(f"{user}_pw\n")
    pgpass = tmp_path / "pgpass"
    pgpass.touch(mode=0o600)
    pgpass.write_text(f"*:*:*:{SUPERUSER}:{SUPERUSER_PASSWORD}\n")
    return tmp_path


def test_commands_print_what_the_page_shows(external_server: ExternalPostgres, folder: Path) -> None:
    if shutil.which("pg_dump") is None:
        pytest.skip("needs psql and pg_dump on the PATH")
    where = external_server.conn_info()
    environment = os.environ | {
        "PGPASSFILE": str(folder / "pgpass"),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    commands, shown = [], []
    for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append(line[2:].replace("db.example.com:5432", f"{where['host']}:{where['port']}"))
            else:
                shown.append(line)
    assert len(commands) >= 12
    # A trade between the users and the backup, as the page's Python block writes one.
    added = next(number for number, command in enumerate(commands) if "users add bridge" in command) + 1
    login = {**where, "dbname": "desk", "user": "alice", "password": "alice_pw"}
    try:
        printed = run(commands[:added], folder, environment)
        with StoreClient(**login) as client:
            client.write(Trade(symbol="AAPL", quantity=100, price=150.0, side="BUY"))
        # The first line says which server.
        printed += run(commands[:2] + commands[added:], folder, environment)
        assert printed == shown
        with StoreClient(**{**login, "dbname": "restored"}) as client:
            assert client.count(Trade) == 1
            client.write(Trade(symbol="AAPL", quantity=1, price=150.0, side="BUY"))
    finally:
        with closing(external_server.admin_conn("postgres")) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                for dbname in ("desk", "risk", "restored"):
                    cursor.execute(f"DROP DATABASE IF EXISTS {dbname} WITH (FORCE)")
                cursor.execute("DROP ROLE IF EXISTS dba; DROP ROLE IF EXISTS bridge")


def run(commands: list[str], folder: Path, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        ["sh", "-e"],
        input="\n".join(commands),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
