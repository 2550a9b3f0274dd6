"""Ctrl-C while a program still imports: it ends at once, and without a traceback."""

from __future__ import annotations

import signal

import pytest

from tests.fix_children import Children

# Holds the program in the middle of its imports.
HELD = """
import importlib.abc, runpy, sys, time


class Held(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("click", "rich"):
            print("importing", name, flush=True)
            time.sleep(600)


sys.meta_path.insert(0, Held())
run, name = sys.argv[1:]
getattr(runpy, run)(name, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("run", "name"),
    [
        *(("run_path", f"client/{client}_client.py") for client in ("quant", "risk", "pm")),
        ("run_module", "client"),
        ("run_path", "server/app.py"),
        ("run_module", "server"),
    ],
)
def test_program_that_is_interrupted_in_its_imports_ends_without_a_word(
    children: Children, run: str, name: str
) -> None:
    child = children.run("-c", HELD, run, name)
    child.wait_for_line("importing")
    child.interrupt()
    assert child.wait() == -signal.SIGINT
    assert child.lines == [child.lines[0]], child.output
