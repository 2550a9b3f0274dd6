"""The market data server as a person runs it: a process of its own, watched from outside."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from client.base_client import DeephavenClient
from client.errors import ClientError, ServerUnreachable
from server.embedded import AUTH_TYPE
from server.market_columns import TABLE_NOTES
from tests.deephaven.certificates import certificate
from tests.deephaven.console import console_messages
from tests.fix_children import ROOT, Child, Children
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pydeephaven import Session

# Even where other programs keep both cores busy.
pytestmark = pytest.mark.timeout(900)
START_SECONDS = 150.0


@contextmanager
def connected(port: int, **login: Any) -> Iterator[Session]:
    from client.session import ClientSession

    session = ClientSession(host="localhost" if login.get("use_tls") else "127.0.0.1", port=port, **login)
    try:
        yield session
    finally:
        with suppress(Exception):
            session.close()


def address(child: Child) -> str:
    return child.wait_for_line("  Open   ", START_SECONDS).split()[-1]


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])


def listening(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections("tcp")
    return {found.laddr.ip.removeprefix("::ffff:") for found in connections if found.status == psutil.CONN_LISTEN}


def test_app_run_from_its_folder_serves_ticking_tables_and_keeps_its_key(children: Children, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    app = children.run(
        "app.py", "--port", "0", "--seed", "1", "--no-store", "--key-file", str(key_file), cwd=ROOT / "server"
    )
    url = address(app)
    key = key_file.read_text(encoding="ascii").strip()
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith(f"/?psk={key}")
    app.wait_for_line("column_catalog")
    assert set(TABLE_NOTES) <= {line.split()[0] for line in app.lines if line.startswith("    ")}

    with connected(port_of(url), auth_type=AUTH_TYPE, auth_token=key) as session:
        wait_until(lambda: set(TABLE_NOTES) <= set(session.tables))
        prices = session.open_table("prices_live")
        before = wait_until(lambda: (table := prices.to_arrow()).num_rows == 16 and table.to_pydict())
        wait_until(lambda: prices.to_arrow().to_pydict()["Price"] != before["Price"])
        # A derived view of a client's own, and one for others to open.
        session.bind_table("dear", prices.where("Price > 100").sort_descending("Price"))
        assert session.open_table("dear").to_arrow().num_rows > 0
        assert not [message for message in console_messages(session) if key in message]
    assert listening(app.pid) == {"127.0.0.1"}
    own = Path(f"/proc/{app.pid}")
    for place in ("cmdline", "environ"):
        assert key.encode() not in (own / place).read_bytes()
    below = {child.pid for child in psutil.Process(app.pid).children(recursive=True)}
    commands = [found.info["cmdline"] or () for found in psutil.process_iter(["cmdline"]) if found.pid in below]
    assert not [command for command in commands if key in " ".join(command)]

    app.send(signal.SIGTERM)
    assert app.wait() == 0, app.output
    assert re.search(r"Stopped after [\d,]+ ticks\.", app.output)
    assert "Traceback" not in app.output
    assert app.output.count(key) == 1


def test_module_with_tls_plays_a_history_and_ends_at_ctrl_c(children: Children, tmp_path: Path) -> None:
    from pydeephaven import DHError

    prices = tmp_path / "prices.csv"
    lines = [
        f"2024-03-{day:02d},{symbol},{day * scale}" for day in range(1, 9) for symbol, scale in (("A", 1), ("B", 10))
    ]
    prices.write_text("\n".join(["date,symbol,close", *lines]) + "\n", encoding="utf-8")
    public, private = certificate(tmp_path)
    key_file = tmp_path / "psk"
    app = children.run(
        *("-m", "server", "--port", "0", "--key-file", str(key_file), "--replay", str(prices), "--speed", "864000"),
        *("--tls-cert", str(public), "--tls-key", str(private)),
    )
    url = address(app)
    assert url.startswith("https://127.0.0.1:")
    app.wait_for_line("Played all 16 ticks")
    login = {"auth_type": AUTH_TYPE, "auth_token": key_file.read_text(encoding="ascii").strip()}
    with connected(port_of(url), use_tls=True, tls_root_certs=public.read_bytes(), **login) as session:
        live = wait_until(lambda: session.open_table("prices_live").to_arrow().to_pylist())
        assert [(row["Symbol"], row["Price"], row["Change"]) for row in live] == [("A", 8.0, 1.0), ("B", 80.0, 10.0)]
        assert [(row["Bid"], row["Volume"]) for row in live] == [(None, None)] * 2
        raw = session.open_table("prices_raw").to_arrow().to_pylist()
        assert [(str(row["Timestamp"].date()), row["Symbol"], str(int(row["Price"]))) for row in raw] == [
            tuple(line.split(",")) for line in lines
        ]
        summary = session.open_table("portfolio_summary").to_arrow().to_pylist()
        assert summary[0]["NumPositions"] == 2
    for unwanted in ({}, {"use_tls": True}):  # in clear text, and without knowing the certificate
        with pytest.raises(DHError):
            connected(port_of(url), **unwanted, **login).__enter__()
    refuse_what_is_not_trusted(port_of(url), key_file, private, certificate(tmp_path, "other")[0])
    app.interrupt()
    assert app.wait() == 0, app.output
    assert "Stopped after 16 ticks." in app.output
    assert "Traceback" not in app.output


def refuse_what_is_not_trusted(port: int, key_file: Path, private: Path, other: Path) -> None:
    """Check what a client is told that does not trust the server, or does not talk as it does."""
    for options, problem in (
        ({}, r"a server with TLS needs tls=True, --tls or --tls-ca"),
        ({"tls": True}, r"its certificate is not trusted: self.signed certificate; name it, or its authority"),
        ({"tls_ca": other}, r"its certificate is not trusted: .*; name it, or its authority, with --tls-ca"),
    ):
        with pytest.raises(ServerUnreachable, match=problem):
            DeephavenClient(port=port, key_file=key_file, **options)
    with pytest.raises(ClientError, match="holds no certificate in PEM form"):
        DeephavenClient(port=port, key_file=key_file, tls_ca=private)


class Terminal:
    """A program on a pseudo-terminal, as at a keyboard."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self._own, other = pty.openpty()
        self.process = subprocess.Popen(
            command, cwd=cwd, stdin=other, stdout=other, stderr=other, start_new_session=True, env=self._variables()
        )
        os.close(other)
        os.set_blocking(self._own, False)
        self.shown = ""

    @staticmethod
    def _variables() -> dict[str, str]:
        return os.environ | {"TERM": "dumb", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}

    def wait_for(self, pattern: str, timeout: float = 60.0) -> str:
        """Return the first match in what was shown since the last one."""

        def found() -> re.Match[str] | None:
            with suppress(BlockingIOError, OSError):
                self.shown += os.read(self._own, 65536).decode("utf-8", "replace")
            return re.search(pattern, self.shown)

        match = wait_until(found, timeout, lambda: f"{pattern!r} in:\n{self.shown}")
        assert match is not None
        self.shown = self.shown[match.end() :]
        return match[0]

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._own)


# What a signal raises while an object is finalized is lost.
LOST = "import os, signal; last = type('Last', (), {'__del__': lambda last: os.kill(os.getpid(), 15)})(); del last\n"


@pytest.mark.parametrize("lost", [False, True])
def test_app_with_a_prompt_has_the_tables_by_name_and_ends_at_sigterm(lost: bool) -> None:
    """`python3 -i app.py --anonymous` in its folder: the path is the program's own affair."""
    terminal = Terminal(sys.executable, "-i", "app.py", "--port", "0", "--anonymous", "--no-store", cwd=ROOT / "server")
    try:
        url = terminal.wait_for(r"http://127\.0\.0\.1:\d+/\S*", START_SECONDS)
        assert url.endswith("/")
        terminal.wait_for("There is no key: every program and every user of this machine can run code as you")
        terminal.wait_for(">>> ")
        terminal.type("len(prices_live.columns)\n")
        terminal.wait_for(r"\b8\b")
        with connected(port_of(url), auth_type="Anonymous") as session:
            wait_until(lambda: session.open_table("risk_live").to_arrow().num_rows == 16)
        terminal.wait_for(">>> ")
        os.killpg(terminal.process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
        terminal.wait_for("KeyboardInterrupt")
        terminal.wait_for(">>> ")
        terminal.type("risk_live.where('Position < -1e9').size\n")
        terminal.wait_for(r"\b0\b")
        if lost:
            terminal.type(LOST)
        else:
            terminal.process.send_signal(signal.SIGTERM)
        wait_until(lambda: terminal.process.poll() is not None, 60.0, lambda: terminal.shown)
        assert terminal.process.returncode == 0, terminal.shown
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--replay", "none.csv"], 2, "app.py: none.csv: there is no such file"),
        (["--host", "0.0.0.0", "--anonymous"], 2, "0.0.0.0 is no loopback address"),
        (["--tls-cert", "README.md", "--tls-key", "README.md"], 2, "README.md: holds no certificate in PEM form"),
        (["--key-file", "README.md/key"], 2, "key file README.md/key: cannot be made"),
        (["--heap", "big"], 2, "heap 'big' is not a size"),
        (["--heap", "256m"], 2, "a heap of 256 MB is too small to keep 1,000,000 rows of the raw tables and to work"),
        (["--heap", "99999g"], 2, "heap 99999g is more than the"),
        (["--heap", "16m", "--keep", "all"], 2, "takes 144 MB or more: give more with --heap, as --heap 2g"),
    ],
)
def test_app_impossible_option_is_refused_before_anything_starts(
    children: Children, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    data = {"XDG_DATA_HOME": str(tmp_path / "data")}
    app = children.run("server/app.py", "--port", "0", "--key-file", str(tmp_path / "key"), *arguments, env=data)
    assert app.wait() == status
    assert message in app.output
    assert not (tmp_path / "data").exists()
    assert "Traceback" not in app.output


def test_app_port_that_is_taken_ends_with_status_one(children: Children, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        app = children.run("server/app.py", "--port", port, "--no-store", "--key-file", str(tmp_path / "key"))
        assert app.wait() == 1
    assert f"127.0.0.1:{port} is taken by another program" in app.output
