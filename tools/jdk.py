"""Finding, or installing, the Java Development Kit that the Deephaven server runs in."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tools.machine import SetupError, apt_candidate, apt_install, output_of, say

OLDEST_JDK = 17
JDK_PACKAGES = ["openjdk-17-jdk-headless", "openjdk-21-jdk-headless", "openjdk-25-jdk-headless"]
SYSTEM_JDKS = Path("/usr/lib/jvm")


def is_jdk(home: Path) -> bool:
    """Tell whether a folder holds a new enough virtual machine with a compiler; a JRE has none."""
    if not (home / "lib" / "server").is_dir():
        return False
    status, text = output_of(str(home / "bin" / "javac"), "-version")
    version = re.search(r"javac (\d+)", text)
    return status == 0 and version is not None and int(version[1]) >= OLDEST_JDK


def candidate_homes() -> list[Path]:
    """Return the folders where a JDK may be: JAVA_HOME, the PATH's javac, then the system's."""
    homes = []
    if os.environ.get("JAVA_HOME"):
        homes.append(Path(os.environ["JAVA_HOME"]))
    javac = shutil.which("javac")
    if javac is not None:
        homes.append(Path(javac).resolve().parent.parent)
    installed = [folder for folder in SYSTEM_JDKS.glob("*") if folder.is_dir() and not folder.is_symlink()]
    return homes + sorted(installed, key=_age)


def find_jdk() -> Path:
    """Return the home of a JDK that can compile and run for the server; as root, install one if needed."""
    homes = candidate_homes()
    home = next(filter(is_jdk, homes), None)
    if home is None and apt_install(JDK_PACKAGES):
        home = next(filter(is_jdk, candidate_homes()), None)
    if home is None:
        raise SetupError(_missing_jdk_message(homes))
    wanted = os.environ.get("JAVA_HOME")
    if wanted and home != Path(wanted):
        say(f"JAVA_HOME={wanted} is no JDK of version {OLDEST_JDK} or newer; using {home}")
    return home


def _age(home: Path) -> tuple[int, str]:
    """Order the system's JDKs: the oldest that will do first, being the closest to what the server was built for."""
    versions = [int(number) for number in re.findall(r"\d+", home.name) if int(number) >= OLDEST_JDK]
    return (versions[0] if versions else 1000, home.name)


def _missing_jdk_message(homes: list[Path]) -> str:
    lines = [f"A Java Development Kit is needed for the Deephaven server: version {OLDEST_JDK} or newer, with javac."]
    for home in homes:
        if (home / "bin" / "javac").exists():
            lines.append(f"    {home} is older than that.")
        elif (home / "bin" / "java").exists():
            lines.append(f"    {home} is a runtime (JRE) without javac.")
    if shutil.which("apt-get"):
        package = apt_candidate(JDK_PACKAGES) or "default-jdk-headless"
        lines.append(f"Install it:  sudo apt-get update && sudo apt-get install -y {package}")
    else:
        lines.append("Install it from your system's packages (Fedora: java-21-openjdk-devel).")
    lines.append("Or, if there is one elsewhere:  JAVA_HOME=/path/to/jdk make ...")
    return "\n".join(lines)
