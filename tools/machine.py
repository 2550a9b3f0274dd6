"""What the other tools need of the machine: words to the person, commands without input, and apt."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class SetupError(Exception):
    """Something is missing that the person at the keyboard has to bring; the message says what."""


def say(text: str) -> None:
    """Print a line about the preparation; standard output belongs to the command that follows it."""
    print(f"[setup] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Say what is going on; on a terminal, count the seconds while it does."""
    start = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            print(f"\r[setup] {text} ... {time.monotonic() - start:.0f} s ", end="", file=sys.stderr, flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    if sys.stderr.isatty():
        ticker.start()
    else:
        say(f"{text} ...")
    try:
        yield
    finally:
        done.set()
        if ticker.is_alive():
            ticker.join()
            print("\r", end="", file=sys.stderr)
    say(f"{text}: {time.monotonic() - start:.0f} s    ")


def output_of(*command: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command without input and return its exit status and all that it printed."""
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False
        )
    except OSError as error:
        return 127, str(error)
    return result.returncode, result.stdout.decode("utf-8", "replace")


def last_lines(text: str, count: int = 12) -> str:
    """Return the end of a command's output, indented."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])


def apt_candidate(packages: Sequence[str]) -> str | None:
    """Return the first of the packages that this release of Debian or Ubuntu offers."""
    for package in packages:
        if re.search(r"Candidate: \d", output_of("apt-cache", "policy", package)[1]):
            return package
    return None


def apt_install(packages: Sequence[str]) -> bool:
    """Install the first of the packages that is offered; False without apt, the right to use it, or such a package."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    _apt_update()
    package = apt_candidate(packages)
    if package is None:
        return False
    # Slim images leave the manual out, and Java's packages fail on the missing folder.
    Path("/usr/share/man/man1").mkdir(parents=True, exist_ok=True)
    with progress(f"apt-get install {package}"):
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        status, text = output_of("apt-get", "install", "-y", "-qq", "--no-install-recommends", package, env=env)
    if status != 0:
        say(f"apt-get install {package} failed:\n{last_lines(text)}")
    return status == 0


@functools.cache
def _apt_update() -> None:
    with progress("apt-get update"):
        status, text = output_of("apt-get", "update", "-qq")
    if status != 0:
        say(f"apt-get update failed:\n{last_lines(text)}")
