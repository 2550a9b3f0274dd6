"""Finding, or installing, the programs of a PostgreSQL server that is not the embedded one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.machine import SetupError, apt_candidate, apt_install, output_of

OLDEST_POSTGRES = 15
NEWEST_POSTGRES = 18
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
CREATE_CLUSTER = "/etc/postgresql-common/createcluster.conf"


def candidate_folders() -> list[Path]:
    """Return the folders where the programs may be: POSTGRES_BIN, the system's oldest first, then the PATH's."""
    folders = []
    if os.environ.get("POSTGRES_BIN"):
        folders.append(Path(os.environ["POSTGRES_BIN"]))
    versions = [folder for folder in SYSTEM_POSTGRES.glob("*") if folder.name.isdecimal()]
    folders += [folder / "bin" for folder in sorted(versions, key=lambda folder: int(folder.name))]
    found = shutil.which("postgres")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return folders


def is_postgres(folder: Path) -> bool:
    """Tell whether a folder holds the programs of a new enough server."""
    status, text = output_of(str(folder / "postgres"), "--version")
    version = re.search(r"(\d+)", text)
    return status == 0 and version is not None and int(version[1]) >= OLDEST_POSTGRES and (folder / "initdb").exists()


def find_postgres() -> Path:
    """Return the folder of `postgres` and `initdb`, the oldest release that will do; as root, install one if needed.

    Raises:
        SetupError: There is none; the message says how to get it.
    """
    folder = next(filter(is_postgres, candidate_folders()), None)
    if folder is None and _install():
        folder = next(filter(is_postgres, candidate_folders()), None)
    if folder is None:
        package = apt_candidate(_packages()) or f"postgresql-{OLDEST_POSTGRES}"
        raise SetupError(
            f"The programs of a PostgreSQL server, {OLDEST_POSTGRES} or newer, are needed and not there.\n"
            f"Install them (Debian, Ubuntu):  sudo apt-get update && sudo apt-get install -y {package}\n"
            "Or name the folder that holds postgres and initdb:  POSTGRES_BIN=/path/to/bin make ..."
        )
    return folder


def _packages() -> list[str]:
    return [f"postgresql-{version}" for version in range(OLDEST_POSTGRES, NEWEST_POSTGRES + 1)]


def _install() -> bool:
    # Debian's package starts a server of its own on port 5432 when it is installed; its programs are all we want.
    if not apt_install(["postgresql-common"]):
        return False
    with _no_cluster_of_its_own():
        return apt_install(_packages())


@contextlib.contextmanager
def _no_cluster_of_its_own() -> Iterator[None]:
    if "off" in output_of("pg_conftool", CREATE_CLUSTER, "show", "-bs", "create_main_cluster")[1]:
        yield
        return
    output_of("pg_conftool", CREATE_CLUSTER, "set", "create_main_cluster", "off")
    try:
        yield
    finally:
        output_of("pg_conftool", CREATE_CLUSTER, "remove", "create_main_cluster")
