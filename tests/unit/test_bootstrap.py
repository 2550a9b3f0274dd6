"""Preparing a machine: what is found, what is made anew, and what is said when something is missing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools import chromium as chromium_module
from tools import environment as environment_module
from tools import jdk as jdk_module
from tools.bootstrap import prepared_variables, require_system
from tools.chromium import chromium_path, offer_chromium
from tools.environment import Environment, require_python_library
from tools.jdk import find_jdk
from tools.machine import SetupError

ROOT = Path(__file__).resolve().parents[2]
# Stands for an environment's Python: it answers the probe, and writes down what pip is told.
FAKE_PYTHON = """#!/bin/sh
case "$1" in
    -c) echo {version} ;;
    -m) echo "$@" >> {log}; [ -z "{fails}" ] || {{ echo "{fails}"; exit 1; }} ;;
esac
"""


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Checkout:
    """A project with one requirements file and an environment whose pip only writes down its calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requirements = root / "requirements-a.txt"
        self.requirements.write_text("a>=1,<2\n")
        self.log = root / "pip.log"
        self.environment = Environment(root / ".venv")
        self.install_python()

    def install_python(self, version: str = "3 11", fails: str = "") -> None:
        write_program(self.environment.python, FAKE_PYTHON.format(version=version, log=self.log, fails=fails))

    def pip_calls(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setattr(environment_module, "ROOT", tmp_path)
    monkeypatch.delenv("PYTHON", raising=False)
    return Checkout(tmp_path)


def test_install_second_time_calls_no_pip(checkout: Checkout) -> None:
    checkout.environment.install(["requirements-a.txt"])
    calls = checkout.pip_calls()
    checkout.environment.install(["requirements-a.txt"])
    assert (calls, checkout.pip_calls()) == (2, 2)


def test_install_changed_file_calls_pip_again(checkout: Checkout) -> None:
    checkout.environment.install(["requirements-a.txt"])
    checkout.requirements.write_text("a>=1,<3\n")
    checkout.environment.install(["requirements-a.txt"])
    assert checkout.pip_calls() == 4


def test_install_failing_pip_says_so_keeps_the_environment_and_tries_again(checkout: Checkout) -> None:
    checkout.install_python(fails="NewConnectionError: no route")
    with pytest.raises(SetupError, match=r"no route(?s:.*)check the network"):
        checkout.environment.install(["requirements-a.txt"])
    assert checkout.environment.defect() is None
    checkout.install_python()
    checkout.environment.install(["requirements-a.txt"])
    assert checkout.pip_calls() == 3


def test_install_never_lets_pip_redirect_itself(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_USER", "1")
    write_program(checkout.environment.python, f'#!/bin/sh\necho "user=$PIP_USER" >> {checkout.log}\n')
    checkout.environment.install(["requirements-a.txt"])
    assert checkout.log.read_text() == "user=\nuser=\n"


def test_defect_of_a_sound_environment_is_none(checkout: Checkout) -> None:
    assert checkout.environment.defect() is None


def test_defect_pip_cut_short_is_told(checkout: Checkout) -> None:
    checkout.environment.unfinished.touch()
    assert checkout.environment.defect() == "its last installation was cut short"


def test_defect_python_that_is_gone_is_told(checkout: Checkout) -> None:
    checkout.environment.python.unlink()
    checkout.environment.python.symlink_to("/no/such/python")
    assert "does not run" in str(checkout.environment.defect())


@pytest.mark.parametrize("version", ["3 9", "3 14"])
def test_defect_unsupported_python_is_told(checkout: Checkout, version: str) -> None:
    checkout.install_python(version)
    assert checkout.environment.defect() == f"its Python is {version.replace(' ', '.')}"


def test_defect_other_python_than_the_one_asked_for_is_told(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = 10 if sys.version_info.minor != 10 else 11
    checkout.install_python(f"3 {other}")
    assert checkout.environment.defect() is None
    monkeypatch.setenv("PYTHON", sys.executable)
    assert checkout.environment.defect() == f"its Python is 3.{other}"


@pytest.mark.parametrize(
    "line",
    [
        'VIRTUAL_ENV="{}"\nexport VIRTUAL_ENV',
        "        VIRTUAL_ENV=$(cygpath {})\n        export VIRTUAL_ENV\n        export VIRTUAL_ENV={}",
    ],
    ids=["3.10", "3.13"],
)
def test_defect_moved_environment_is_told(checkout: Checkout, line: str) -> None:
    activate = checkout.environment.path / "bin" / "activate"
    activate.write_text(f"    unset VIRTUAL_ENV\n{line.replace('{}', '/elsewhere/.venv')}\n")
    assert checkout.environment.defect() == "it was made in /elsewhere/.venv and moved here"
    activate.write_text(activate.read_text().replace("/elsewhere/.venv", str(checkout.environment.path)))
    assert checkout.environment.defect() is None


def test_prepare_half_made_environment_is_made_anew(checkout: Checkout, capfd: pytest.CaptureFixture[str]) -> None:
    leftover = checkout.environment.path / "leftover"
    leftover.touch()
    checkout.environment.unfinished.touch()
    checkout.environment.prepare([])
    assert not leftover.exists()
    assert checkout.environment.defect() is None
    assert "cut short" in capfd.readouterr().err


class Jdks:
    """Folders that look like Java installations to whoever asks their compiler."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, version: int | None) -> Path:
        """Make a JDK of a version, or a JRE when the version is None."""
        home = self.root / name
        (home / "lib" / "server").mkdir(parents=True)
        write_program(home / "bin" / "java", "#!/bin/sh\n")
        if version is not None:
            write_program(home / "bin" / "javac", f"#!/bin/sh\necho javac {version}.0.1\n")
        return home


@pytest.fixture
def jdks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jdks:
    """A machine without Java, on which apt may not be used."""
    folder = tmp_path / "jvm"
    folder.mkdir()
    monkeypatch.setattr(jdk_module, "SYSTEM_JDKS", folder)
    monkeypatch.setattr(jdk_module, "apt_install", lambda packages: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return Jdks(folder)


def test_find_jdk_java_home_comes_before_the_systems(jdks: Jdks, monkeypatch: pytest.MonkeyPatch) -> None:
    jdks.add("java-17", 17)
    monkeypatch.setenv("JAVA_HOME", str(jdks.add("mine", 25)))
    assert find_jdk() == jdks.root / "mine"


def test_find_jdk_javac_on_the_path_leads_to_its_home(jdks: Jdks, tmp_path: Path) -> None:
    jdks.add("java-17", 17)
    (tmp_path / "javac").symlink_to(jdks.add("on-the-path", 21) / "bin" / "javac")
    assert find_jdk() == jdks.root / "on-the-path"


def test_find_jdk_system_has_several_takes_the_oldest_that_will_do(jdks: Jdks) -> None:
    for version in (25, 8, 21, 11):
        jdks.add(f"java-{version}", version)
    assert find_jdk() == jdks.root / "java-21"


def test_find_jdk_java_home_is_a_runtime_uses_another_and_says_so(
    jdks: Jdks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(jdks.add("jre", None)))
    home = jdks.add("java-17", 17)
    assert find_jdk() == home
    assert f"{jdks.root}/jre is no JDK" in capsys.readouterr().err


def test_find_jdk_only_runtimes_and_old_ones_says_what_to_install(jdks: Jdks) -> None:
    jdks.add("java-17-jre", None)
    jdks.add("java-11", 11)
    with pytest.raises(SetupError) as caught:
        find_jdk()
    message = str(caught.value)
    assert "java-17-jre is a runtime (JRE) without javac" in message
    assert "java-11 is older than that" in message
    assert "Install it" in message


def test_find_jdk_nothing_there_installs_one_when_apt_may(jdks: Jdks, monkeypatch: pytest.MonkeyPatch) -> None:
    def apt_install(packages: list[str]) -> bool:
        jdks.add("java-17-openjdk", 17)
        return packages[0] == "openjdk-17-jdk-headless"

    monkeypatch.setattr(jdk_module, "apt_install", apt_install)
    assert find_jdk() == jdks.root / "java-17-openjdk"


@pytest.fixture
def static_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Python whose shared library is not there; return the folder in which it would be."""
    answers = {"INSTSONAME": "libpython3.x.so.1.0", "LIBDIR": str(tmp_path), "MULTIARCH": "x86"}
    monkeypatch.setattr("sysconfig.get_config_var", answers.__getitem__)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr(environment_module, "apt_install", lambda packages: False)
    return tmp_path


def test_require_python_library_missing_names_the_package(static_python: Path) -> None:
    with pytest.raises(SetupError, match=rf"apt-get install -y libpython3.{sys.version_info.minor}\n"):
        require_python_library()


@pytest.mark.parametrize("place", [".", "x86"])
def test_require_python_library_there_asks_for_nothing(static_python: Path, place: str) -> None:
    (static_python / place).mkdir(exist_ok=True)
    (static_python / place / "libpython3.x.so.1.0").touch()
    require_python_library()


def test_require_python_library_missing_is_installed_when_apt_may(
    static_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apt_install(packages: list[str]) -> bool:
        (static_python / "libpython3.x.so.1.0").touch()
        return packages == [f"libpython3.{sys.version_info.minor}"]

    monkeypatch.setattr(environment_module, "apt_install", apt_install)
    require_python_library()


class Lacking(Environment):
    """An environment that cannot be made."""

    def require_tools(self) -> None:
        raise SetupError("no venv")


def test_require_system_tells_at_once_all_that_is_missing(jdks: Jdks, static_python: Path) -> None:
    with pytest.raises(SetupError, match=r"no venv(?s:.*)libpython3(?s:.*)Java Development Kit"):
        require_system(Lacking(static_python / ".venv"), jdk=True)


def test_require_system_returns_the_jdk_when_it_is_asked_for(jdks: Jdks, tmp_path: Path) -> None:
    home = jdks.add("java-17", 17)
    assert require_system(Environment(tmp_path / ".venv"), jdk=True) == home
    assert require_system(Environment(tmp_path / ".venv"), jdk=False) is None


def test_offer_chromium_there_asks_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = write_program(tmp_path / "chromium-browser", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium_module, "apt_install", lambda packages: pytest.fail("it is there"))
    offer_chromium()
    assert chromium_path() == browser


def test_offer_chromium_missing_is_installed_when_apt_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(
        chromium_module, "apt_install", lambda packages: bool(write_program(tmp_path / packages[0], ""))
    )
    offer_chromium()
    assert chromium_path() == tmp_path / "chromium"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("installs", [False, True])  # Ubuntu's package installs without bringing the program
def test_offer_chromium_missing_says_what_will_be_skipped(
    installs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(chromium_module, "apt_install", lambda packages: installs)
    offer_chromium()
    assert "the browser tests will be skipped" in capsys.readouterr().err


def test_prepared_variables_put_the_environment_and_the_jdk_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    variables = prepared_variables(Environment(Path("/p/.venv")), Path("/jdk"))
    assert variables["PATH"] == "/p/.venv/bin:/jdk/bin:/usr/bin"
    assert (variables["VIRTUAL_ENV"], variables["JAVA_HOME"]) == ("/p/.venv", "/jdk")
    assert "PYTHONHOME" not in variables


@pytest.mark.parametrize("answer", ["exit 1", "exec /no/such/python"], ids=["too old", "broken"])
def test_bootstrap_script_unsuitable_python_says_what_is_needed(tmp_path: Path, answer: str) -> None:
    python = write_program(
        tmp_path / "python", f'#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\n{answer}\n'
    )
    done = subprocess.run(
        ["sh", "tools/bootstrap.sh"], cwd=ROOT, env=os.environ | {"PYTHON": str(python)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Python 3.10 to 3.13 is needed" in done.stderr
    assert "is Python 3.9.2" in done.stderr
