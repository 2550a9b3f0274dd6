"""What every test has: fixtures, the length of the long tests, and the order that keeps the JVM to the end."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.rounds import choose_long

pytest_plugins = [
    "tests.fix_children",
    "tests.fix_postgres",
    "tests.fix_workflow",
    "tests.fix_deephaven",
    "tests.fix_bridge",
    "tests.fix_listener",
]

TESTS = Path(__file__).parent
JVM_FOLDERS = ("tests/deephaven/", "tests/docs/")
STATUS = pytest.StashKey[int]()
# The same examples in every run of `make test`; new ones in every long run. No test is judged by the clock, nor is how
# long its examples take to draw.
UNTIMED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("usual", derandomize=True, **UNTIMED)
settings.register_profile("long", derandomize=False, **UNTIMED)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="all rounds and examples of the long tests")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    long = config.getoption("--long")
    choose_long(long)
    settings.load_profile("long" if long else "usual")
    # Started in the background of a script, this process ignores Ctrl-C, and so would all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # pytest closes its usual folder to other users whenever a run starts: PostgreSQL, which does not run as root, would
    # lose the data directories of a run that is under way.
    if config.option.basetemp is None:
        folder = tempfile.mkdtemp(prefix="tests-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config.option.basetemp = f"{folder}/t"
    # A process with a JVM in it must not fork.
    multiprocessing.set_start_method("spawn")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if "jpy" not in sys.modules or STATUS not in config.stash:
        return
    # The JVM handles SIGSEGV as part of its ordinary work, and its threads go on to the very end. pytest's faulthandler
    # would now put back the handler of before the JVM, and the next null that Java meets would end the run by that
    # signal instead of with its status. So the run ends here.
    config.get_terminal_writer().flush()
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(config.stash[STATUS])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    for item in items:
        if TESTS / "deephaven" in item.path.parents or "deephaven_server" in getattr(item, "fixturenames", ()):
            item.add_marker("deephaven")
    yield  # pytest brings those together that share a server
    # From its start on, the JVM takes part of both cores: whatever can do without it goes first. Of two processes, one
    # begins with it, since that takes longest.
    last = "PYTEST_XDIST_WORKER" not in os.environ
    items.sort(key=lambda item: _needs_jvm(item) is last)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out among processes: all that needs a JVM to one of them, the rest a file at a time."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "deephaven" if file.startswith(JVM_FOLDERS) else file

    config.option.loadscopereorder = False
    return ByServer(config, log)


def _needs_jvm(item: pytest.Item) -> bool:
    return item.get_closest_marker("deephaven") is not None
