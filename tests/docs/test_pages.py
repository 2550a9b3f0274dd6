"""README.md and docs/ say what is so: their code runs, their commands exist."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from codeop import compile_command
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, needs, page_name, pages, run_page, runs_alone, shell_commands
from tests.fix_postgres import StoreDatabase

PROGRAMS = [
    pytest.param(page, id=page_name(page), marks=[getattr(pytest.mark, name) for name in needs(page)])
    for page in pages()
    if "```python" in page.read_text(encoding="utf-8")
]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [program for program in PROGRAMS if not runs_alone(program.values[0])]
ALONE = [program for program in PROGRAMS if runs_alone(program.values[0])]


@pytest.mark.parametrize("page", PAGES)
def test_page_python_blocks_run_and_print_what_the_page_shows(
    page: Path, store_db: StoreDatabase, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = dict(store_db.where)
    if "deephaven" in needs(page):
        names["deephaven_server"] = request.getfixturevalue("deephaven_server")
    monkeypatch.chdir(tmp_path)
    run_page(page, names)


@pytest.mark.parametrize("page", ALONE)
def test_page_that_is_a_program_of_its_own_runs_and_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    environment = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.docs.pages", str(page)],
        cwd=tmp_path / "work", env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_page_that_is_given_a_store_or_a_server_says_where_to_get_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = PYTHON_BLOCK.findall(text)
    names = [node for node in ast.walk(ast.parse("".join(blocks))) if isinstance(node, ast.Name)]
    used, made = ({name.id for name in names if isinstance(name.ctx, kind)} for kind in (ast.Load, ast.Store))
    if (used - made) & {"host", "port", "dbname", "deephaven_server"}:
        assert "#a-store-to-practise-on" in text or page.stem == "external-postgresql"


@pytest.mark.parametrize("page", PROGRAMS)
def test_page_blocks_can_be_pasted_into_an_interactive_python(page: Path) -> None:
    for block in PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")):
        typed: list[str] = []
        for line in block.splitlines():
            typed.append(line)  # a statement ends at a blank line, and must not go on, or another begin, anywhere else
            if compile_command("\n".join(typed), symbol="single") is not None:
                typed = []


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 400


def test_pages_make_commands_are_targets_of_the_makefile() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {line.split()[1] for line in listed.splitlines() if line.startswith("  make ")}
    unknown = {
        (page_name(page), command)
        for page in pages()
        for command in shell_commands(page)
        if command.startswith("make ") and command.split()[1] not in targets
    }
    assert {"demo", "test"} <= targets
    assert not unknown
