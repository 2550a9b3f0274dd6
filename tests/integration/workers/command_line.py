"""Runs `python -m store` as a user does: a process of its own, its passwords in the environment."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.fix_children import ROOT
from tests.fix_postgres import StoreDatabase, password_of


class CommandLine:
    """One user's way to one store.

    Args:
        options: The options that name the store and the login.
        password: The login's password, None for one who needs none.
    """

    def __init__(self, *options: str, password: str | None = None) -> None:
        self.options = options
        self.password = password

    def environment(self, **more: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("STORE_", "PG"))}
        password = {} if self.password is None else {"STORE_PASSWORD": self.password}
        return clean | {"PYTHONPATH": str(ROOT)} | password | more

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever it is; `more` goes into its environment."""
        command = [sys.executable, "-m", "store", *self.options, *arguments]
        environment = self.environment(**more)
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    def lines(self, *arguments: str, **more: str) -> list[str]:
        """Run a command that must succeed and have nothing to say beside its output; return the output's lines."""
        done = self.run(*arguments, **more)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    def records(self, *arguments: str, **more: str) -> list[dict[str, Any]]:
        """Run a command with --json; return its objects."""
        return [json.loads(line) for line in self.lines("--json", *arguments, **more)]

    def fails(self, *arguments: str, status: int = 1, **more: str) -> str:
        """Run a command that must fail; return its one line of error."""
        done = self.run(*arguments, **more)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        [line] = done.stderr.splitlines()
        assert line.startswith("Error: ")
        return line

    def on_a_terminal(
        self, *arguments: str, answers: Sequence[tuple[str, str]] = (), columns: int = 80, **more: str
    ) -> tuple[int, str]:
        """Run a command on a terminal, answer its questions; return its status and all that the terminal shows."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "store", *self.options, *arguments]
        process = subprocess.Popen(command, env=self.environment(**more), stdin=its, stdout=its, stderr=its)
        os.close(its)
        raw, screen = b"", ""

        def read() -> bool:
            """Add what the terminal shows next; False once the command is gone."""
            nonlocal raw, screen
            try:
                shown = os.read(ours, 4096)
            except OSError:  # what Linux says where others say that there is no more
                shown = b""
            raw += shown  # which may end within a character, or between the two that end a line
            screen = raw.decode(errors="ignore").replace("\r\n", "\n")
            return bool(shown)

        for question, answer in answers:
            while not screen.endswith(question):
                assert read(), f"no {question!r} in {screen!r}"
            os.write(ours, f"{answer}\n".encode())
        while read():
            pass
        os.close(ours)
        return process.wait(), screen


def by_url(database: StoreDatabase, user: str) -> CommandLine:
    """Return a user's command line to a test's database; the owner of an embedded server needs no password."""
    options = urlencode({name: value for name, value in database.where.items() if name != "dbname"})
    password = None if user == "postgres" and database.is_embedded else password_of(user)
    return CommandLine("--url", f"postgresql://{user}@/{database.dbname}?{options}", password=password)


def by_directory(data_dir: Path, user: str | None = None) -> CommandLine:
    """Return the command line of a data directory's owner, or of a user on the owner's machine."""
    login = [] if user is None else ["--user", user]
    return CommandLine("--data-dir", str(data_dir), *login, password=None if user is None else password_of(user))
