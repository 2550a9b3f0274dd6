"""Build the wheel and the sdist, install them in clean environments, and use them there: `make package-test`.

Every extra gets an environment of its own with this Python; the light ones, store and client, also with each other
Python of 3.10 to 3.13 that is at hand. Environments are made one after the other, outside the checkout, and deleted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tools.machine import say

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("store", "client", "server", "all")
LIGHT = ("store", "client")
# A user's program, and what mypy has to find in it.
USER_FILE = """\
from store import Storable, StoreClient
from store.models import Trade
from reactive import Field


def price_of(client: StoreClient, entity_id: str) -> float:
    found = client.read(Trade, entity_id)
    reveal_type(found)
    return found.price


expression = Field("price") * Field("quantity")
reveal_type(expression.to_sql("data"))
trade: Storable = Trade(symbol=1)
"""
FOUND = (
    'user.py:8: note: Revealed type is "store.models.Trade | None"',
    'user.py:9: error: Item "None" of "Trade | None" has no attribute "price"',
    'user.py:13: note: Revealed type is "str"',
    'user.py:14: error: Argument "symbol" to "Trade" has incompatible type "int"; expected "str"',
)


class Failed(Exception):
    """Something that the package has to do, and does not."""


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    """Run a program to its end, and return what it printed.

    Raises:
        Failed: It ended with an error.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def interpreters() -> dict[str, Path]:
    """Return the Pythons of this machine that can make environments, by version; this one among them."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": Path(sys.executable)}
    roots = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    roots += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin"), reverse=True)
    for version in VERSIONS:
        for python in (root / f"python{version}" for root in roots):
            if version in found:
                break
            probe = [str(python), "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"]
            if python.exists() and subprocess.run(probe, capture_output=True, text=True).stdout.strip() == version:
                found[version] = python
    return {version: found[version] for version in VERSIONS if version in found}


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and of it the wheel; return both."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], folder)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def make_environment(python: Path, path: Path, requirement: str) -> Path:
    """Make a clean environment, install one thing in it, and return its Python."""
    run([python, "-m", "venv", path], path.parent)
    inside = path / "bin" / "python"
    run([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement], path.parent)
    return inside


def smoke(python: Path, extra: str, folder: Path) -> None:
    """Use the package of an environment from an empty folder. The light extras find no other program, and no Java."""
    here = folder / "empty"
    here.mkdir()
    script = here / "smoke.py"
    shutil.copy(ROOT / "tools" / "smoke.py", script)
    path = str(python.parent) if extra in LIGHT else f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    run([python, script, extra], here, PATH=path, PYTHONPATH=str(here))


def check_types(python: Path, folder: Path) -> None:
    """Let mypy look at a user's program against the installed package, as the user would."""
    (folder / "user.py").write_text(USER_FILE, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", "--python-executable", python]
    done = subprocess.run([*map(str, command), "user.py"], cwd=folder, capture_output=True, text=True, check=False)
    missing = [line for line in FOUND if line not in done.stdout]
    others = [
        line for line in done.stdout.splitlines() if not line.startswith(("user.py:", "Found 2 errors in 1 file"))
    ]
    if missing or others:
        raise Failed(f"mypy does not find {missing}, but\n{done.stdout}{done.stderr}")


def check_sdist(python: Path, sdist: Path, folder: Path) -> None:
    """Install the sdist over the wheel: pip builds it, and it has to be as whole."""
    run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "deephaven-trading-platform"], folder)
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", sdist], folder)
    names = run([python, "-m", "pip", "show", "--files", "deephaven-trading-platform"], folder)
    for name in ("store/sql/tables.sql", "workflow/sql/tables.sql", "client/py.typed", "server/start_server.sh"):
        if name not in names:
            raise Failed(f"the sdist installs no {name}")


def try_extra(version: str, python: Path, extra: str, wheel: Path, sdist: Path | None) -> None:
    """Make an environment for an extra, use it, delete it."""
    with tempfile.TemporaryDirectory(prefix=f"package-{extra}-") as name:
        folder = Path(name)
        inside = make_environment(python, folder / "environment", f"{wheel}[{extra}]")
        smoke(inside, extra, folder)
        if extra == "store" and sdist is not None:
            check_types(inside, folder)
            check_sdist(inside, sdist, folder)
            shutil.rmtree(folder / "empty")
            smoke(inside, extra, folder)


@click.command()
@click.option(
    "--extra", "extras", multiple=True, type=click.Choice(EXTRAS), help="Only this one; may be given several times."
)
@click.option("--python", "versions", multiple=True, type=click.Choice(VERSIONS), help="Only this version, likewise.")
def main(extras: tuple[str, ...], versions: tuple[str, ...]) -> None:
    """Install the package in clean environments, and use it there."""
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    there = interpreters()
    missing = [version for version in versions or VERSIONS if version not in there]
    failed = []
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        wheel, sdist = build(Path(name))
        for version, python in there.items():
            for extra in extras or EXTRAS:
                if (versions and version not in versions) or (version != mine and extra not in LIGHT and not versions):
                    continue
                try:
                    try_extra(version, python, extra, wheel, sdist if version == mine else None)
                    say(f"Python {version}, {extra}: works")
                except Failed as error:
                    failed.append(f"Python {version}, {extra}")
                    say(f"Python {version}, {extra}: FAILED\n{error}")
    if missing:
        say(f"not at hand, so not tried: Python {', '.join(missing)}")
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
