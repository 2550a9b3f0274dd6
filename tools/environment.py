"""The checkout's virtual environment: what is installed in it, and when it has to be made anew."""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from tools.machine import SetupError, apt_install, last_lines, output_of, progress, say

ROOT = Path(__file__).resolve().parent.parent
# These redirect pip out of the environment that it is told to fill.
PIP_REDIRECTIONS = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME"}
NETWORK_ERRORS = ["name resolution", "NewConnectionError", "Connection refused", "ConnectTimeout", "ProxyError"]


class Environment:
    """A virtual environment with the record of the requirements files that were installed into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / "bin" / "python"
        self.record = path / "bootstrap.json"
        # There while pip works. Found at the start, it means that pip was killed and anything may be half there.
        self.unfinished = path / "bootstrap.unfinished"

    def require_tools(self) -> None:
        """See to it that an environment can be made; as root, install what is missing.

        Raises:
            SetupError: This Python has neither ensurepip nor a pip that installs itself elsewhere.
        """
        if importlib.util.find_spec("ensurepip") is not None or _has_modern_pip(_base_python()):
            return
        package = f"python3.{sys.version_info.minor}-venv"
        if not apt_install([package, "python3-venv"]):
            raise SetupError(
                f"{_base_python()} can make no virtual environment: it has neither ensurepip nor pip 22.3 or newer.\n"
                f"Install it (Debian, Ubuntu):  sudo apt-get update && sudo apt-get install -y {package}"
            )

    def prepare(self, files: Sequence[str]) -> None:
        """Make, repair or complete the environment, so that it holds what the requirements files say.

        Raises:
            SetupError: The environment cannot be made, or pip cannot install the requirements.
        """
        defect = self.defect()
        if defect is not None:
            if self.path.exists():
                say(f"{self.path.name} is made anew: {defect}")
            self.create()
        self.install(files)

    def defect(self) -> str | None:
        """Say why the environment cannot be used as it is; None when it can."""
        if not self.path.exists():
            return "it is not there"
        if self.unfinished.exists():
            return "its last installation was cut short"
        status, text = output_of(str(self.python), "-c", "import sys, pip; print(*sys.version_info[:2])")
        if status != 0:
            return "its Python or its pip does not run"
        version = tuple(map(int, text.split()[-2:]))
        if not (3, 10) <= version <= (3, 13) or (os.environ.get("PYTHON") and version != sys.version_info[:2]):
            return f"its Python is {version[0]}.{version[1]}"
        made_in = self._made_in()
        if made_in is not None and made_in.resolve() != self.path.resolve():
            return f"it was made in {made_in} and moved here"
        return None

    def create(self) -> None:
        """Make the environment with the Python that runs this, in place of what is there."""
        with progress(f"making {self.path.name} with Python {sys.version.split()[0]}"):
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            else:
                self.path.unlink(missing_ok=True)
            self.path.mkdir()
            self.unfinished.touch()
            status, text = output_of(_base_python(), "-m", "venv", str(self.path))
            if status != 0:
                # Debian's Python without python3-venv: a modern pip installs itself into an environment that has none.
                status, text = output_of(_base_python(), "-m", "venv", "--without-pip", str(self.path))
                if status == 0:
                    pip = [_base_python(), "-m", "pip", "--python", str(self.python)]
                    status, text = output_of(*pip, "install", "--quiet", "pip", env=_pip_variables())
        if status != 0:
            raise SetupError(f"Python could not make {self.path}:\n{last_lines(text)}")
        self.unfinished.unlink()

    def install(self, files: Sequence[str]) -> None:
        """Install the requirements files; nothing happens when they are as they were at the last time."""
        record = self._read_record()
        digests = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in files}
        changed = [name for name in files if record.get(name) != digests[name]]
        if not changed:
            return
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        # All files in one resolve: what one of them bounds, another may not undo.
        requirements = [argument for name in files for argument in ("-r", str(ROOT / name))]
        self.unfinished.touch()
        with progress(f"installing {', '.join(changed)}"):
            status, text = output_of(*pip, "--upgrade", "pip>=24", env=_pip_variables())
            if status == 0:
                status, text = output_of(*pip, *requirements, env=_pip_variables())
        # pip came to its own end, so it left nothing half written.
        self.unfinished.unlink()
        if status != 0:
            raise SetupError(f"pip could not install the requirements:\n{last_lines(text)}{_network_hint(text)}")
        fresh = self.record.with_suffix(".new")
        fresh.write_text(json.dumps(record | digests, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(self.record)

    def _read_record(self) -> dict[str, str]:
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _made_in(self) -> Path | None:
        """Return the folder where the environment was made, which its activate script names."""
        try:
            script = (self.path / "bin" / "activate").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # The last match: newer scripts have one for Windows before it.
        folders = re.findall(r"^\s*(?:export )?VIRTUAL_ENV=[\"']?([^\"'\n]+)", script, re.MULTILINE)
        return Path(folders[-1]) if folders else None


def require_python_library() -> None:
    """See to Python's shared library, which the Java process loads; as root, install what is missing.

    Raises:
        SetupError: There is none; Debian keeps it in a package of its own, and some builds leave it out.
    """
    if _has_python_library():
        return
    package = f"libpython3.{sys.version_info.minor}"
    if apt_install([package]) and _has_python_library():
        return
    raise SetupError(
        f"The Deephaven server needs the shared library of {_base_python()}, {package}.so, and it is not there.\n"
        f"Install it (Debian, Ubuntu):  sudo apt-get update && sudo apt-get install -y {package}\n"
        "Or name a Python that was built with --enable-shared:  PYTHON=/path/to/python3 make ..."
    )


def _has_python_library() -> bool:
    # Where jpy, the bridge between Python and Java, looks for it.
    name = str(sysconfig.get_config_var("INSTSONAME"))
    folder = Path(str(sysconfig.get_config_var("LIBDIR")))
    folders = [folder, folder / str(sysconfig.get_config_var("MULTIARCH")), Path(sys.base_prefix) / "lib"]
    if ".so" in name and any((folder / name).exists() for folder in folders):
        return True
    return ctypes.util.find_library(f"python3.{sys.version_info.minor}") is not None


def _base_python() -> str:
    """Return the Python that runs this, or the one that its environment was made with."""
    return getattr(sys, "_base_executable", None) or sys.executable


def _has_modern_pip(python: str) -> bool:
    status, text = output_of(python, "-m", "pip", "--version")
    version = re.match(r"pip (\d+)\.(\d+)", text)
    return status == 0 and version is not None and (int(version[1]), int(version[2])) >= (22, 3)


def _pip_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in PIP_REDIRECTIONS}


def _network_hint(text: str) -> str:
    if any(sign in text for sign in NETWORK_ERRORS):
        return "\nThe package index cannot be reached: check the network, the proxy and pip's index, then run again."
    return ""
