"""A process that runs tests again and again, each time forked from where what they import is loaded already.

It works in a copy of the project. Lines of JSON come in and go out: a file with its text, and what to run; the status
and the output.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

# What tests import that is neither the project's own nor a plugin of pytest.
LOADED = ("numpy", "pandas", "psycopg2.extras", "pyarrow", "pytest", "rich.console")


class FirstTheKillers:
    """A plugin of pytest: tests that told of other faults go first."""

    def __init__(self, killers: list[str]) -> None:
        """Take their names, of functions without parameters."""
        self._killers = frozenset(killers)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sort, and leave the order otherwise."""
        items.sort(key=lambda item: item.name.partition("[")[0] not in self._killers)


def run(arguments: list[str], killers: list[str], seconds: float) -> tuple[int, str]:
    """Run pytest in a fork of this process; return its status, negative where it did not end, and what it printed."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.setsid()
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            import pytest

            status = 3
            try:
                status = int(pytest.main(arguments, plugins=[FirstTheKillers(killers)]))
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            # What PostgreSQL leaves to the end of its process is done by the fixtures.
            os._exit(status)
        deadline = time.monotonic() + seconds
        ended, code = 0, 0
        while not ended and time.monotonic() < deadline:
            time.sleep(0.05)
            ended, code = os.waitpid(child, os.WNOHANG)
        with suppress(ProcessLookupError):
            # The child and what it started and did not stop; of a run that ended well, nothing is left.
            os.killpg(child, signal.SIGKILL)
        if not ended:
            os.waitpid(child, 0)
        output.seek(0)
        text = output.read().decode(errors="replace")
        return (os.waitstatus_to_exitcode(code) if ended else -signal.SIGKILL), text


def main() -> None:
    """Answer until the input ends."""
    # The lines are written to a stream of their own: tests print, and some close what they find open.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in LOADED:
        importlib.import_module(name)
    moment = int(time.time())
    for line in sys.stdin:
        order = json.loads(line)
        file = Path(order["file"])
        original = file.read_text(encoding="utf-8")
        write(file, order["text"], moment := moment + 1)
        status, output = run(order["arguments"], order["killers"], order["seconds"])
        write(file, original, moment := moment + 1)
        print(json.dumps({"status": status, "output": output[-20_000:]}), file=answers, flush=True)


def write(file: Path, text: str, moment: int) -> None:
    """Write a file, with a time of its own: that, and the size, is what tells compiled modules apart."""
    file.write_text(text, encoding="utf-8")
    os.utime(file, (moment, moment))


if __name__ == "__main__":
    main()
