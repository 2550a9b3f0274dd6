"""The clients as programs, beside a market server in a process of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.deephaven.certificates import certificate
from tests.fix_children import ROOT, Child, Children
from tests.ports import free_port
from tests.rounds import rounds
from tests.waiting import wait_until

SECONDS = 120.0
CLIENTS = ("quant", "risk", "pm")
# Stands in for the client's machine: no Java, and nothing of the server's side can be imported.
THIN = """
import importlib.abc, runpy, sys


REFUSED = {"jpy", "deephaven", "deephaven_server", "store", "reactive", "bridge", "server", "workflow"}


class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in REFUSED:
            raise ImportError(f"a client has no {name}")


sys.meta_path.insert(0, Refusal())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Market:
    """A market server that can be restarted at the same port, with the same key.

    Attributes:
        options: What a client needs to reach it.
    """

    def __init__(self, children: Children, folder: Path, *, tls: bool = False) -> None:
        self._children = children
        self.key_file = folder / "deephaven.key"
        self.port = str(free_port())
        self.child: Child
        self._tls: list[str] = []
        self.options = ["--key-file", str(self.key_file)]
        if tls:
            public, private = certificate(folder)
            self._tls = ["--tls-cert", str(public), "--tls-key", str(private)]
            self.options += ["--tls-ca", str(public)]

    def start(self) -> None:
        place = ["--port", self.port, "--key-file", str(self.key_file)]
        size = ["--heap", "512m", "--keep", "10000", "--symbols", "6", "--seed", "1", "--no-store"]
        self.child = self._children.run("-m", "server", *place, *size, *self._tls)
        assert re.search(rf"https?://127\.0\.0\.1:{self.port}/", self.child.wait_for_line("Open ", SECONDS))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("market")
    children = Children(folder)
    market = Market(children, folder)
    market.start()
    yield market
    children.close()


def client(children: Children, market: Market, name: str, *arguments: str, env: dict[str, str] | None = None) -> Child:
    """Start a client as its user does: in its folder, on a machine without Java."""
    path = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "java").exists()
    )
    return children.script(
        THIN,
        str(ROOT / "client" / f"{name}_client.py"),
        *("--port", market.port, *market.options, *arguments),
        env={"PATH": path, "JAVA_HOME": "", "PYTHONPATH": ""} | (env or {}),
    )


def printed(child: Child) -> list[str]:
    """Return what a client has shown, without what it says of a server that takes its time."""
    return [line for line in child.lines if "still waiting" not in line]


@pytest.mark.parametrize("name", CLIENTS)
def test_client_shown_once_needs_no_java_and_none_of_the_other_packages(
    children: Children, market: Market, name: str
) -> None:
    child = client(children, market, name, "--once")
    assert child.wait(SECONDS) == 0, child.output
    assert printed(child)[0].startswith(f"{name.upper()}   127.0.0.1:{market.port}   ● connected")
    assert "\x1b" not in child.output
    titles = {"quant": ["Watchlist", "Top movers"], "risk": ["Exposures", "Risk scores"], "pm": ["By book", "Sizing"]}[
        name
    ]
    for title in titles:
        assert any(line.startswith(title) for line in child.lines), child.output
    assert "AAPL" in child.output


ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def test_client_shown_once_in_an_encoding_without_its_signs_shows_the_rest(children: Children, market: Market) -> None:
    child = client(children, market, "quant", "--once", env=ASCII_ONLY)
    assert child.wait(SECONDS) == 0, child.output
    assert child.output.isascii()
    assert printed(child)[0].startswith(f"QUANT   127.0.0.1:{market.port}   ? connected")
    assert "AAPL" in child.output


def test_client_in_a_pipe_shows_plain_tables_again_and_again_until_ctrl_c(children: Children, market: Market) -> None:
    child = client(children, market, "quant", "--interval", "0.2")
    wait_until(lambda: len([line for line in child.lines if "● connected" in line]) >= 3, SECONDS, lambda: child.output)
    frames = child.output.split("QUANT   ")[1:]
    assert frames[0].split("\n", 1)[1] != frames[2].split("\n", 1)[1]
    child.interrupt()
    assert child.wait(SECONDS) == 0
    assert "Traceback" not in child.output


def test_client_leaves_after_the_seconds_it_was_given(children: Children, market: Market) -> None:
    child = client(children, market, "risk", "--seconds", "1")
    assert child.wait(SECONDS) == 0, child.output


def test_client_writes_snapshots(children: Children, market: Market, tmp_path: Path) -> None:
    target = tmp_path / "positions.csv"
    child = client(children, market, "pm", "--once", "--snapshot", str(target))
    assert child.wait(SECONDS) == 0, child.output
    assert f"written: {target}" in child.output
    header, *lines = target.read_text().splitlines()
    assert {'"Book"', '"PnLUSD"'} <= set(header.split(","))
    assert lines
    refused = client(children, market, "pm", "--once", "--snapshot", str(tmp_path / "positions.xls"))
    assert refused.wait(SECONDS) == 1
    assert "let it end in .csv or .parquet" in refused.output


def test_client_with_a_wrong_key_and_at_a_dead_port_says_which(
    children: Children, market: Market, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_text("not-the-key-of-this-server")
    wrong.chmod(0o600)
    refused = client(children, market, "quant", "--once", "--key-file", str(wrong))
    dead = client(children, market, "quant", "--once", "--port", "1")
    assert refused.wait(SECONDS) == dead.wait(SECONDS) == 1
    assert refused.lines == [
        line for line in refused.lines if line.startswith("error: the server at") and "refuses the key" in line
    ]
    assert "no Deephaven server answers at 127.0.0.1:1 (Connection refused)" in dead.output
    assert "Traceback" not in refused.output + dead.output


@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_client_on_a_terminal_is_told_to_leave_and_leaves_the_terminal_as_it_was(
    market: Market, number: signal.Signals, stuck: bool
) -> None:
    ours, its = pty.openpty()
    script = [sys.executable, str(ROOT / "client" / "quant_client.py"), "--port", market.port, *market.options]
    shown = b""
    with subprocess.Popen(
        script, stdin=its, stdout=its, stderr=its, env=os.environ | {"TERM": "xterm"}, start_new_session=True
    ) as child:
        os.close(its)
        try:
            while b"AAPL" not in shown:
                shown += os.read(ours, 65536)
            if stuck:
                market.child.send(signal.SIGSTOP)
                while b"no answer for" not in shown:
                    shown += os.read(ours, 65536)
            child.send_signal(number)
            with suppress(OSError):  # at its end
                while chunk := os.read(ours, 65536):
                    shown += chunk
            assert child.wait(SECONDS) == 0
        finally:
            child.kill()
            market.child.send(signal.SIGCONT)
            os.close(ours)
    assert shown.rfind(b"\x1b[?1049l") > shown.rfind(b"\x1b[?1049h") >= 0
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0
    assert b"Traceback" not in shown


def test_clients_of_a_frozen_server_say_so_until_it_answers_again(children: Children, market: Market) -> None:
    def connected() -> int:
        return shown.output.count("● connected")

    shown = client(children, market, "risk")
    wait_until(lambda: connected() >= 1, SECONDS, lambda: shown.output)
    try:
        market.child.send(signal.SIGSTOP)
        once = client(children, market, "quant", "--once")
        bounded = client(children, market, "pm", "--seconds", "1")
        shown.wait_for_line("● no answer for", SECONDS)
        once.wait_for_line(f"127.0.0.1:{market.port} has not answered for", SECONDS)
        assert bounded.wait(SECONDS) == 1
        assert bounded.lines[-1].startswith(f"error: 127.0.0.1:{market.port} has not answered within the 1 s")
        before = connected()
    finally:
        market.child.send(signal.SIGCONT)
    wait_until(lambda: connected() > before, SECONDS, lambda: shown.output)
    assert once.wait(SECONDS) == 0, once.output
    assert "AAPL" in shown.output.rsplit("● no answer for", 1)[1]  # the last rows, and those after


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_clients_go_on_after_one_of_them_and_then_the_server_was_killed(children: Children, tmp_path: Path) -> None:
    market = Market(children, tmp_path, tls=True)
    market.start()
    shown = {name: client(children, market, name) for name in CLIENTS}
    killed = client(children, market, "quant")

    def frames(child: Child, state: str) -> int:
        return len([line for line in child.lines if f"● {state}" in line])

    def await_frames(state: str, more: int, *children: Child) -> None:
        before = [frames(child, state) for child in children]
        for child, count in zip(children, before, strict=True):
            ended = f"{more} frames {state}: exit status"
            wait_until(
                lambda: frames(child, state) >= count + more,  # noqa: B023
                SECONDS,
                lambda: f"{ended} {child.process.poll()}, output {child.output[-2000:]!r}",  # noqa: B023
            )

    await_frames("connected", 2, *shown.values(), killed)
    killed.kill()
    await_frames("connected", 2, *shown.values())
    for _ in range(rounds(1, 5)):
        market.child.kill()
        await_frames("reconnecting", 1, *shown.values())
        market.start()
        await_frames("connected", 2, *shown.values())
    for name, child in shown.items():
        child.send(signal.SIGINT)
        assert child.wait(SECONDS) == 0, child.output[-2000:]
        assert "Traceback" not in child.output
        # The last picture is whole: its header says so, and it has rows.
        assert "AAPL" in child.output.rsplit(f"{name.upper()}   ", 2)[1]


def test_client_help_names_every_option(children: Children) -> None:
    for name in CLIENTS:
        child = children.run(str(ROOT / "client" / f"{name}_client.py"), "--help")
        assert child.wait(SECONDS) == 0
        for option in ("--host", "--port", "--key-file", "--once", "--tls-ca", "--interval"):
            assert option in child.output
