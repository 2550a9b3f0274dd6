"""Ctrl-C while a program still imports, or waits for what never comes: it ends, and without a traceback."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.fix_children import Children
from tests.waiting import wait_until

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


# libpq waits by itself, and goes on waiting when a signal comes.
WAITS_FOR_A_STORE = """
import sys
import psycopg2
from server.shutdown import stop_requested
with stop_requested() as stop:
    print("runs", flush=True)
    stop.wait()
    print("asked by", stop.number, flush=True)
    psycopg2.connect(host="127.0.0.1", port=int(sys.argv[1]), user="u", password="p", dbname="d", sslmode="disable")
"""


def test_program_that_waits_for_a_silent_store_ends_at_the_second_signal(children: Children) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        child = children.script(WAITS_FOR_A_STORE, str(silent.getsockname()[1]))
        child.wait_for_line("runs")
        child.send(signal.SIGTERM)
        child.send(signal.SIGTERM)  # as `timeout` does
        child.wait_for_line("asked by 15")
        child.wait_for_line("Still ending. Ctrl-C or SIGTERM once more ends it at once")
        child.interrupt()
        assert child.wait() == 128 + signal.SIGINT
    assert child.lines[-1] == "Ended at once."


def test_program_whose_standard_error_nobody_reads_ends_at_the_second_signal(children: Children) -> None:
    unread = """
import os
ours, theirs = os.pipe()
os.close(ours)
os.dup2(theirs, 2)
"""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        child = children.script(unread + WAITS_FOR_A_STORE, str(silent.getsockname()[1]))
        child.wait_for_line("runs")
        child.send(signal.SIGTERM)
        child.wait_for_line("asked by 15")
        wait_until(lambda: child.process.poll() is not None or child.interrupt(), 120.0, lambda: child.output)
        assert child.wait() == 128 + signal.SIGINT


@pytest.mark.parametrize(("client", "once"), [("risk", []), ("pm", ["--once"])])
def test_client_whose_seconds_are_over_leaves_a_port_that_says_nothing(
    children: Children, client: str, once: list[str]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        child = children.script(
            "import sys, client.interrupts, client.__main__\n"
            "client.interrupts._PATIENCE = 0.1\n"
            "client.__main__.main(sys.argv[1:])\n",
            *(client, "--anonymous", "--port", place.split(":")[1], "--seconds", "0.4", *once),
        )
        assert child.wait() == 1
        assert child.lines == [f"error: {place} has not answered within the 0.4 s of --seconds and 0.1 s more"]


@pytest.mark.parametrize(("looks", "status"), [(0, 1), (1, 0)])
def test_client_whose_seconds_are_over_fails_where_it_has_shown_nothing(
    children: Children, looks: int, status: int
) -> None:
    child = children.script(
        """
import sys, threading
from contextlib import nullcontext
from client import interrupts
from client.screen import Screen

class Timer(threading.Thread):
    def __init__(self, seconds, ring):
        super().__init__(target=lambda: (stuck.wait(), ring()), daemon=True)

class Stuck:
    address = "127.0.0.1:10000"
    explaining = nullcontext
    left = int(sys.argv[1])
    def open_table(self, name):
        return name
    def read(self, table):
        if self.left == 0:
            stuck.set()
            threading.Event().wait()
        self.left -= 1
        return self
    def to_pylist(self):
        return []

stuck = threading.Event()
threading.Timer = Timer
with interrupts.leaving_after(1.0, Stuck.address):
    Screen("risk", Stuck(), lambda client: [], interval=0.1).run()
""",
        str(looks),
    )
    assert child.wait() == status
    assert ("has not answered" in child.output) == (status == 1)


def test_program_that_ends_in_time_says_nothing_and_has_its_own_handlers_again(children: Children) -> None:
    child = children.script("""
import signal, threading
from server.shutdown import stop_requested
for number in (signal.SIGTERM, signal.SIGINT):
    with stop_requested() as stop:
        signal.raise_signal(number)
        assert stop.is_set() and stop.wait(60) and stop.number == number
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.set_wakeup_fd(-1), threading.active_count())
""")
    assert (child.wait(), child.lines) == (0, ["True -1 1"])
