from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.doctor import examine
from server.embedded import AUTH_TYPE, DeephavenServer
from server.errors import ServerError
from tests.deephaven.console import console_messages
from tests.fix_children import Children
from tools.jdk import candidate_homes, is_jdk

START = """
import sys
from pathlib import Path
from server.embedded import DeephavenServer
from server.errors import ServerError
try:
    DeephavenServer(port=int(sys.argv[1]), key_file=Path(sys.argv[2])).start()
except ServerError as error:
    print(type(error).__name__, error)
"""

START_JVM_ALONE = """
import sys, threading
from pathlib import Path
from server.embedded import DeephavenServer
from server.errors import StartStopped
stop = threading.Event()
stop.set()
try:
    DeephavenServer(port=0, key_file=Path(sys.argv[1])).start(stop)
except StartStopped:
    import jpy
    print("java.home", jpy.get_type("java.lang.System").getProperty("java.home"))
"""


def test_server_listens_on_loopback_only(deephaven_server: DeephavenServer) -> None:
    listening = {
        (found.laddr.ip.removeprefix("::ffff:"), found.laddr.port)
        for found in psutil.Process().net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    }
    assert ("127.0.0.1", deephaven_server.port) in listening
    assert {address for address, port in listening} == {"127.0.0.1"}


def test_server_key_is_in_no_argument_variable_property_or_table(
    deephaven_server: DeephavenServer, deephaven_context: Any
) -> None:
    import jpy
    from deephaven import arrow, perfmon

    properties = jpy.get_type("java.lang.System").getProperties().toString()
    arguments = jpy.get_type("java.lang.management.ManagementFactory").getRuntimeMXBean().getInputArguments().toString()
    recorded = arrow.to_arrow(perfmon.process_info_log()).to_pylist()
    assert recorded
    own = Path("/proc/self")
    for place in (properties, arguments, str(recorded), (own / "cmdline").read_text(), (own / "environ").read_text()):
        assert deephaven_server.key not in place


def test_server_key_is_not_in_the_console_of_the_web_ide(
    deephaven_server: DeephavenServer, deephaven_session: Any
) -> None:
    messages = list(console_messages(deephaven_session))
    assert any("SessionState" in message or "Server" in message for message in messages)
    assert not [message for message in messages if deephaven_server.key in message]


@pytest.mark.parametrize(
    "login",
    [
        {"auth_type": AUTH_TYPE, "auth_token": "not the key"},
        {"auth_type": "Anonymous"},
        {"auth_type": "Basic", "auth_token": "user:password"},
    ],
)
def test_server_without_the_key_lets_nobody_in(deephaven_server: DeephavenServer, login: dict[str, str]) -> None:
    from pydeephaven import DHError, Session

    with pytest.raises(DHError) as caught:
        Session(host=deephaven_server.host, port=deephaven_server.port, **login)
    cause: Any = caught.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert "UNAUTHENTICATED" in str(cause)


def test_server_second_one_in_a_process_is_refused(deephaven_server: DeephavenServer) -> None:
    with pytest.raises(ServerError, match=f"runs a Deephaven server already, at {deephaven_server.url}"):
        DeephavenServer(port=0).start()


@pytest.mark.parametrize(
    "options", [{"port": -1}, {"port": 65536}, {"heap": "2 gigabytes"}, {"heap": "-1g"}, {"heap": "99999g"}]
)
def test_server_impossible_option_is_refused_before_anything_starts(options: dict[str, Any]) -> None:
    with pytest.raises(ServerError):
        DeephavenServer(**options)


def test_server_port_that_is_taken_is_named_before_the_jvm_starts(children: Children, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = children.script(START, str(port), str(tmp_path / "key"))
        child.wait_for_line(f"PortInUse 127.0.0.1:{port} is taken by another program")


def test_server_without_java_says_what_to_install(children: Children, tmp_path: Path) -> None:
    empty = {name: "" for name in os.environ if name.startswith(("JAVA", "JDK", "JRE", "JPY"))}
    child = children.script(START, "0", str(tmp_path / "key"), env={"PATH": str(tmp_path), **empty})
    child.wait_for_line("ServerError no Java was found. Deephaven needs a JDK 17 or newer with javac")


def test_server_wrong_java_home_runs_in_the_java_that_the_doctor_names(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    child = children.script(START_JVM_ALONE, str(tmp_path / "key"))
    home = child.wait_for_line("java.home ").removeprefix("java.home ")
    assert f"JAVA_HOME={tmp_path} holds no Java: the server runs in {home}" in child.output
    finding = next(finding for finding in examine(port=0) if finding.subject == "Java")
    assert (finding.state, f"({home}/bin/javac)" in finding.detail) == ("warning", True)


def test_server_starts_each_jdk_of_this_machine_without_a_word(children: Children, tmp_path: Path) -> None:
    """The options are those of Java 17; later ones have dropped some, and warn of what Deephaven does."""
    homes = sorted({home.resolve() for home in filter(is_jdk, candidate_homes())})
    assert homes
    for home in homes:
        child = children.script(START_JVM_ALONE, str(tmp_path / "key"), env={"JAVA_HOME": str(home)})
        assert (child.wait(), child.lines) == (0, [f"java.home {home}"])
