"""Where the tests find the programs of a PostgreSQL that is not the embedded one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import postgres as postgres_module
from tools.machine import SetupError
from tools.postgres import find_postgres


class Programs:
    """Folders with programs that tell a version and do nothing else."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, folder: str, version: str) -> Path:
        bin_folder = self.root / folder / "bin"
        bin_folder.mkdir(parents=True)
        for program in ("postgres", "initdb"):
            path = bin_folder / program
            path.write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")
            path.chmod(0o755)
        return bin_folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setattr(postgres_module, "SYSTEM_POSTGRES", tmp_path)
    monkeypatch.setattr(postgres_module, "apt_install", lambda packages: False)
    monkeypatch.delenv("POSTGRES_BIN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    return Programs(tmp_path)


def test_find_postgres_takes_the_oldest_of_the_system_that_will_do(programs: Programs) -> None:
    programs.add("9", "9.6.24")
    programs.add("14", "14.11 (Debian 14.11-1)")
    programs.add("18", "18.1")
    expected = programs.add("15", "15.18 (Debian 15.18-0+deb12u1)")
    assert find_postgres() == expected


def test_find_postgres_takes_the_folder_that_is_named(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.add("15", "15.18")
    named = programs.add("own/17", "17devel")
    monkeypatch.setenv("POSTGRES_BIN", str(named))
    assert find_postgres() == named


def test_find_postgres_without_initdb_looks_further(programs: Programs) -> None:
    (programs.add("15", "15.18") / "initdb").unlink()
    expected = programs.add("16", "16.2")
    assert find_postgres() == expected


def test_find_postgres_installs_the_programs_and_no_cluster(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def install(packages: list[str]) -> bool:
        asked.append(packages[0])
        if packages[0] == "postgresql-15":
            programs.add("15", "15.18")
        return True

    def output(*command: str) -> tuple[int, str]:
        if command[0] == "pg_conftool":
            asked.append(command[2:])
            return 0, ""
        return real(*command)

    real = postgres_module.output_of
    monkeypatch.setattr(postgres_module, "apt_install", install)
    monkeypatch.setattr(postgres_module, "output_of", output)
    assert find_postgres() == programs.root / "15" / "bin"
    assert asked == [
        "postgresql-common",
        ("show", "-bs", "create_main_cluster"),
        ("set", "create_main_cluster", "off"),
        "postgresql-15",
        ("remove", "create_main_cluster"),
    ]


def test_find_postgres_without_any_says_how_to_get_it(programs: Programs) -> None:
    programs.add("14", "14.11")
    with pytest.raises(SetupError, match=r"15 or newer(.|\n)*apt-get install -y postgresql-1(.|\n)*POSTGRES_BIN="):
        find_postgres()
