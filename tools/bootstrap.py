"""Prepare this checkout on a bare machine, then run a command in it.

    tools/bootstrap.sh -r requirements-store.txt --jdk -- python demo_bridge.py

makes `.venv`, installs the requirements, sees to a JDK, and replaces itself by the command. What is already there is
not done again: `.venv/bootstrap.json` records the content of each requirements file that was installed. Standard
library only.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.chromium import offer_chromium
from tools.environment import ROOT, Environment, require_python_library
from tools.jdk import find_jdk
from tools.machine import SetupError


def prepared_variables(environment: Environment, jdk_home: Path | None) -> dict[str, str]:
    """Return the variables under which the command runs: the environment activated, JAVA_HOME set."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    paths = [str(environment.path / "bin"), variables.get("PATH", os.defpath)]
    if jdk_home is not None:
        variables["JAVA_HOME"] = str(jdk_home)
        paths.insert(1, str(jdk_home / "bin"))
    variables["VIRTUAL_ENV"] = str(environment.path)
    variables["PATH"] = os.pathsep.join(paths)
    return variables


def require_system(environment: Environment, jdk: bool) -> Path | None:
    """See to what the system's packages bring; one error tells all that is missing. Return the JDK's home."""
    steps: list[Callable[[], Path | None]] = []
    if not environment.python.exists():
        steps.append(environment.require_tools)
    if jdk:
        steps += [require_python_library, find_jdk]
    found = None
    missing = []
    for step in steps:
        try:
            found = step()
        except SetupError as error:
            missing.append(str(error))
    if missing:
        raise SetupError("\n\n".join(missing))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, then become the command; return an exit status only when there is none or when something is missing."""
    parser = argparse.ArgumentParser(prog="bootstrap", description="Prepare this checkout, then run a command in it.")
    parser.add_argument("-r", "--requirements", action="append", default=[], metavar="FILE", help="may be repeated")
    parser.add_argument("--venv", default=".venv", metavar="DIR", help="the environment's folder (default: .venv)")
    parser.add_argument("--jdk", action="store_true", help="see to a JDK as well")
    parser.add_argument("--chromium", action="store_true", help="and to a Chromium, if this machine lets us")
    parser.add_argument("command", nargs="*", help="what to run, after --")
    options = parser.parse_args(arguments)
    environment = Environment(ROOT / options.venv)
    try:
        with open(__file__) as lock:
            # Two of these at once would install over each other.
            fcntl.flock(lock, fcntl.LOCK_EX)
            jdk_home = require_system(environment, options.jdk)
            environment.prepare(options.requirements)
            if options.chromium:
                offer_chromium()
    except SetupError as error:
        print(f"\n{error}\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[setup] interrupted; run it again to go on", file=sys.stderr)
        return 130
    if options.command:
        os.chdir(ROOT)
        os.execvpe(options.command[0], options.command, prepared_variables(environment, jdk_home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
