from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server import doctor
from server.doctor import Finding, examine

ROOT = Path(__file__).resolve().parents[2]


def found(subject: str, **options: object) -> Finding:
    return next(finding for finding in examine(**options) if finding.subject == subject)  # type: ignore[arg-type]


def fake_java(home: Path, **programs: str) -> None:
    """Make the home of a Java, as far as it is looked at before it runs, with programs that say something."""
    for folder in ("bin", "lib/server"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "lib" / "server" / "libjvm.so").touch()
    for name, prints in programs.items():
        program = home / "bin" / name
        program.write_text(f"#!/bin/sh\nprintf '{prints}'\n", encoding="ascii")
        program.chmod(0o755)


def test_doctor_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        finding = found(f"port {port}", port=port)
    assert finding.state == "missing"
    assert "--port" in finding.advice


@pytest.mark.parametrize(
    ("prints", "state", "detail"),
    [
        ("javac 21.0.2", "ok", "javac 21.0.2"),
        ("javac 17.0.15", "ok", "javac 17.0.15"),
        ("javac 11.0.2", "missing", "is version 11"),
        ("javac 1.8.0_292", "missing", "is version 1"),
        ("", "missing", "does not tell its version"),
    ],
)
def test_doctor_java_of_each_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, state: str, detail: str
) -> None:
    fake_java(tmp_path, javac=prints)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    finding = found("Java")
    assert (finding.state, detail in finding.detail) == (state, True)
    assert (finding.advice != "") == (state == "missing")


def test_doctor_java_without_compiler_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path, java=str(tmp_path))  # asked for its home
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    finding = found("Java")
    assert finding.state == "missing"
    assert finding.detail == f"{tmp_path} is a runtime without compiler"
    assert "openjdk-17-jdk-headless" in finding.advice


def test_doctor_java_home_that_holds_none_is_named_beside_the_java_that_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "usual"
    fake_java(usual, java=str(usual), javac="javac 21.0.1")
    monkeypatch.setenv("PATH", str(usual / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "bin"))
    finding = found("Java")
    named = f"javac 21.0.1 ({usual}/bin/javac); JAVA_HOME={tmp_path}/bin is not there"
    assert (finding.state, finding.detail) == ("warning", named)
    (tmp_path / "bin").mkdir()
    assert found("Java").detail.endswith(f"; JAVA_HOME={tmp_path}/bin holds no Java")
    monkeypatch.setenv("PATH", "")
    assert found("Java")[1:3] == ("missing", f"not found; JAVA_HOME={tmp_path}/bin holds no Java")


def test_doctor_without_any_package_finds_the_java_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jpyutil", None)  # its import fails
    usual, named = tmp_path / "usual", tmp_path / "named"
    fake_java(usual, java="", javac="javac 21.0.1")
    monkeypatch.setenv("PATH", str(usual / "bin"))
    monkeypatch.setenv("JAVA_HOME", str(named))
    assert found("Java").detail == f"javac 21.0.1 ({usual}/bin/javac); JAVA_HOME={named} is not there"
    fake_java(named, java="", javac="javac 17.0.1")
    assert found("Java").detail == f"javac 17.0.1 ({named}/bin/javac)"


@pytest.mark.parametrize(
    ("free", "heap", "state"),
    [(8, None, "ok"), (8, "9g", "warning"), (8, "99999g", "missing"), (2, "1g", "warning"), (0.5, "256m", "missing")],
)
def test_doctor_memory_is_held_against_the_heap(
    monkeypatch: pytest.MonkeyPatch, free: float, heap: str | None, state: str
) -> None:
    monkeypatch.setattr(doctor, "_physical_memory", lambda: (16 << 30, int(free * (1 << 30))))
    assert found("memory", heap=heap).state == state


def test_doctor_heap_that_the_server_refuses_is_told() -> None:
    finding = found("heap", heap="402m")
    assert (finding.state, "402 MB does not hold the 1,000,000 rows" in finding.detail) == ("warning", True)
    assert finding.advice == "give 403 MB or more with --heap, or keep fewer rows with --keep"
    assert not [finding for finding in examine(heap="404m") if finding.subject == "heap"]


def test_doctor_key_that_others_can_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert found("access key").state == "ok"
    path = tmp_path / "deephaven-trading-platform" / "deephaven.key"
    path.parent.mkdir()
    path.write_text("k" * 32, encoding="ascii")
    path.chmod(0o644)
    assert found("access key").state == "missing"
    path.chmod(0o600)
    assert found("access key").state == "ok"


def test_doctor_key_that_cannot_be_made_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(os, "access", lambda folder, mode: Path(folder) != tmp_path)  # root may write everywhere
    finding = found("access key")
    assert (finding.state, f"{tmp_path} may not be written" in finding.detail) == ("missing", True)


_FIRST_OPEN = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
RESERVED = int(_FIRST_OPEN.read_text(encoding="ascii")) if _FIRST_OPEN.exists() else 1024


@pytest.mark.skipif(RESERVED < 80, reason="everybody may listen on any port of this machine")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["doctor", "--port", "79"], "-> below 1024 it is the administrator's: choose another with --port"),
        (["--port", "79"], "127.0.0.1:79: Permission denied; a port below 1024 is the administrator's: choose another"),
    ],
)
def test_port_of_the_administrator_is_named_as_such(tmp_path: Path, arguments: list[str], message: str) -> None:
    humble = ["setpriv", "--bounding-set", "-net_bind_service"] if os.geteuid() == 0 else []
    command = [*humble, sys.executable, "-m", "server", *arguments]
    key = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | key, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stdout + done.stderr


def run(*arguments: str, isolated: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-S"] if isolated else []), "-m", "server", "doctor", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_doctor_command_tells_by_its_status_whether_something_is_missing(tmp_path: Path) -> None:
    good = run("--port", "0", "--heap", "64m")
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.splitlines()[-1] == "Everything is there."
    fake_java(tmp_path)
    bad = run("--port", "0", JAVA_HOME=str(tmp_path))
    assert bad.returncode == 1
    assert "1 missing: the server will not start." in bad.stdout


def test_doctor_without_any_package_installed_says_so() -> None:
    bare = run("--port", "0", isolated=True)
    assert bare.returncode == 1, bare.stderr
    assert "missing  deephaven-server: not installed" in bare.stdout
    assert "pip install -r requirements-server.txt" in bare.stdout
    assert "warning  psycopg2-binary: not installed" in bare.stdout


@pytest.mark.parametrize("program", [["-m", "server"], ["server/app.py"]])
def test_server_without_its_packages_points_to_the_doctor(program: list[str]) -> None:
    command = [sys.executable, "-S", *program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No module named" in done.stderr
    assert "`python -m server doctor`" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_that_nobody_reads_to_the_end_says_no_more() -> None:
    command = [sys.executable, "-m", "server", "doctor", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert (child.stderr.read(), child.wait()) == ("", 0)


@pytest.mark.parametrize("arguments", [["--heap", "much"], ["--port", "70000"]])
def test_doctor_impossible_option_is_refused(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def start_server(script: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", script, *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | path, capture_output=True, text=True, check=False)


def test_start_server_script_runs_from_any_folder_and_finds_files_from_there(tmp_path: Path) -> None:
    link = tmp_path / "start server"
    link.symlink_to(ROOT / "server" / "start_server.sh")
    (tmp_path / "prices.csv").write_text("date,symbol,price\n2013-03-01,A,cheap\n", encoding="ascii")
    (tmp_path / "server").mkdir()  # no part of the program
    done = start_server(link, "--replay", "prices.csv", cwd=tmp_path)
    assert done.stderr == "app.py: prices.csv, line 2: the price 'cheap' is no number: write it as 1234.5\n"
    assert done.returncode == 2
    told = start_server(link, "doctor", "--port", "0", "--heap", "64m", cwd=tmp_path)
    assert told.stdout.splitlines()[-1] == "Everything is there.", told.stdout + told.stderr


def test_start_server_script_in_a_folder_with_blanks_runs(tmp_path: Path) -> None:
    checkout = tmp_path / "our desk's $HOME"
    shutil.copytree(ROOT / "server", checkout / "server", ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("store", "reactive", "bridge"):
        (checkout / package).symlink_to(ROOT / package)
    done = start_server(checkout / "server" / "start_server.sh", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage: app.py" in done.stdout


def test_start_server_script_prepares_the_checkout_where_deephaven_is_not_installed(tmp_path: Path) -> None:
    checkout, programs = tmp_path / "a checkout", tmp_path / "bin"
    for folder in (checkout / "server", checkout / "tools", programs):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "server" / "start_server.sh", checkout / "server")
    # Instead of what brings packages, programs that say how they are called.
    written = {
        checkout / "tools" / "bootstrap.sh": 'pwd; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        programs / "python3": "exit 1",
        programs / "python": 'pwd; for given; do echo "$given"; done',
    }
    for path, lines in written.items():
        path.write_text(f"#!/bin/sh\n{lines}\n", encoding="ascii")
        path.chmod(0o755)
    command = ["sh", checkout / "server" / "start_server.sh", "--replay", "a file"]
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=programs, env=os.environ | path, capture_output=True, text=True, check=True)
    app = str(checkout / "server" / "app.py")
    assert done.stdout.splitlines() == [str(checkout), str(programs), app, "--replay", "a file"]
