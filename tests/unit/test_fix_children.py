"""Child processes of the tests: watched, interrupted, killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.fix_children import Child, Children
from tests.waiting import wait_until

WAIT = "import time\nprint('ready')\ntime.sleep(600)\n"
CATCH = """
import time
try:
    print("ready")
    time.sleep(600)
except KeyboardInterrupt:
    print("bye")
"""
SPAWN = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
print("pid", grandchild.pid)
time.sleep(600)
"""


def test_child_prints_and_ends_gives_lines_and_status(children: Children) -> None:
    child = children.script("import sys\nprint('out')\nprint(sys.argv[1], file=sys.stderr)\nsys.exit(3)\n", "argument")
    assert child.wait() == 3
    assert sorted(child.lines) == ["argument", "out"]


def test_child_imports_the_project(children: Children) -> None:
    child = children.script("import tests.waiting\nprint(tests.waiting.__name__)\n")
    assert child.wait_for_line("tests.waiting") == "tests.waiting"


def test_wait_for_line_process_ends_without_it_fails_with_its_output(children: Children) -> None:
    child = children.script("print('something else')")
    with pytest.raises(pytest.fail.Exception, match=r"exit status 0 without printing 'ready':\nsomething else"):
        child.wait_for_line("ready")


def test_kill_ends_the_process_at_once(children: Children) -> None:
    child = children.script(WAIT)
    child.wait_for_line("ready")
    child.kill()
    assert child.wait() == -signal.SIGKILL


def test_interrupt_reaches_the_process_as_ctrl_c(children: Children) -> None:
    child = children.script(CATCH)
    child.wait_for_line("ready")
    child.interrupt()
    assert child.wait() == 0
    assert child.lines[-1] == "bye"


def test_close_ends_children_of_the_child_as_well(tmp_path: Path) -> None:
    group = Children(tmp_path)
    child = group.script(SPAWN)
    grandchild = int(child.wait_for_line("pid").split()[1])
    group.close()
    assert child.process.returncode == -signal.SIGKILL
    status = Path(f"/proc/{grandchild}/status")
    wait_until(lambda: not status.exists() or "State:\tZ" in status.read_text(), message="the grandchild's end")


def test_script_same_text_is_the_same_file(children: Children) -> None:
    paths = {children.script("import sys\nprint(sys.argv[0])").wait_for_line(os.sep) for _ in range(2)}
    assert len(paths) == 1


def test_child_has_no_input(children: Children) -> None:
    assert children.script("import sys\nprint(repr(sys.stdin.read()))").wait_for_line("'") == "''"


def test_child_variables_are_added(children: Children) -> None:
    child: Child = children.run("-c", "import os; print(os.environ['MARK'])", env={"MARK": "here"})
    assert child.wait_for_line("here")
