"""A market data server that is told to stop while it starts: it ends after the step that it is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fix_children import ROOT, Children

# Holds the start where the JVM would: it takes seconds, in which no signal reaches Python.
HELD = """
import sys, time
from pathlib import Path

from server.command import main
from server.embedded import DeephavenServer


def start_jvm(self):
    print("the JVM starts", flush=True)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)


DeephavenServer._start_jvm = start_jvm
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("number", "prompt"), [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)]
)
def test_server_that_is_stopped_while_it_starts_lets_go_of_its_store(
    children: Children, tmp_path: Path, number: signal.Signals, prompt: bool
) -> None:
    store, release = tmp_path / "store", tmp_path / "release"
    options = ("--port", "0", "--store", str(store), "--key-file", str(tmp_path / "key"), "--symbols", "2")
    script = tmp_path / "held.py"
    script.write_text(HELD, encoding="utf-8")
    child = children.run(*(["-i"] if prompt else []), str(script), str(release), *options)
    child.wait_for_line("the JVM starts", 120)
    assert (store / "postgres/postmaster.pid").exists()
    child.send(number)
    release.touch()
    assert child.wait() == 0, child.output
    assert child.lines[-1] == "Stopped before it was up."
    assert not any(word in child.output for word in ("Traceback", ">>>"))
    assert not (store / "postgres/postmaster.pid").exists()


# The signal comes when the start has looked for one for the last time.
LATE = """
import signal, sys
from server import command

command.MarketServer.start = lambda market, stop: market
command._guide = lambda market: signal.raise_signal(signal.SIGTERM) or "it runs"
sys.exit(command.main(sys.argv[1:]))
"""


def test_server_that_is_stopped_at_the_end_of_its_start_does_not_stay_at_its_prompt(tmp_path: Path) -> None:
    script = tmp_path / "late.py"
    script.write_text(LATE, encoding="utf-8")
    command = [sys.executable, "-i", str(script), "--port", "0", "--no-store", "--key-file", str(tmp_path / "key")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(ROOT))
    ) as child:
        try:
            assert child.wait(60) == 0
        finally:
            child.kill()
