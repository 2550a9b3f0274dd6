"""Python scripts in processes of their own, to be watched, interrupted and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent


class Child:
    """A running Python process whose output, both streams in one, is collected line by line."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
        """Start `python ARGUMENTS...` with the project importable, in a process group of its own."""
        variables = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(env or {})
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=variables,
            cwd=cwd,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        """All that the process has printed so far."""
        return "\n".join(self.lines)

    def wait_for_line(self, text: str, timeout: float = 120.0) -> str:
        """Return the first line that contains the text; fail if the process ends without it."""

        def found() -> str | None:
            line = next((line for line in self.lines if text in line), None)
            if line is None and self.process.poll() is not None:
                self._reader.join()
                line = next((line for line in self.lines if text in line), None)
                if line is None:
                    pytest.fail(f"exit status {self.process.returncode} without printing {text!r}:\n{self.output}")
            return line

        line = wait_until(found, timeout, lambda: f"the line {text!r} in:\n{self.output}")
        assert line is not None
        return line

    def wait(self, timeout: float = 120.0) -> int:
        """Return the exit status once the process has ended."""
        wait_until(lambda: self.process.poll() is not None, timeout, lambda: f"the end of the process:\n{self.output}")
        self._reader.join()
        return self.process.returncode

    def send(self, signal_number: int) -> None:
        """Send a signal to this process alone, as `kill` does."""
        self.process.send_signal(signal_number)

    def interrupt(self) -> None:
        """Send SIGINT to the whole process group, as Ctrl-C on a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End the process and all that it started, however it stands."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


class Children:
    """Starts processes and ends at the test's end those that still run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> Child:
        """Start `python ARGUMENTS...`: a file of the project, or `-m` and a module."""
        child = Child(*arguments, env=env, cwd=cwd)
        self._children.append(child)
        return child

    def script(self, source: str, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start a script given as text; a second run of the same text is the same file, as after a crash."""
        path = self._folder / f"script_{abs(hash(source)):x}.py"
        if not path.exists():  # a child that starts may be reading it, and would take a file cut short for a whole one
            path.write_text(source, encoding="utf-8")
        return self.run(str(path), *arguments, env=env)

    def close(self) -> None:
        for child in self._children:
            child.close()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Child processes; those left over are killed at the end of the test."""
    group = Children(tmp_path)
    yield group
    group.close()
