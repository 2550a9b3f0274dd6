"""Which Java the server runs in: the one that jpy, Deephaven's way into it, finds.

It imports the standard library only, so that `python -m server doctor` runs where all else is missing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["find_java", "java_home_slip"]


def find_java() -> Path | None:
    """Return the home of the Java that the server would start, a JDK or not; None where there is none.

    That is JAVA_HOME where it holds a Java, else what other variables of jpy's name, else the `java` of the PATH.

    Example:
        >>> find_java()
        PosixPath('/usr/lib/jvm/java-17-openjdk-amd64')
    """
    named = os.environ.get("JAVA_HOME")
    try:
        from jpyutil import find_jvm_dll_file
    except ModuleNotFoundError:
        java = shutil.which(Path(named, "bin", "java")) if named else None
        java = java or shutil.which("java")
        return None if java is None else Path(java).resolve().parent.parent
    library = find_jvm_dll_file(named)
    if library is None:
        return None
    # The folder around the virtual machine that holds the programs too.
    return next((folder for folder in Path(library).parents if (folder / "bin").is_dir()), Path(library).parent)


def java_home_slip(home: Path | None) -> str:
    """Return what is wrong with a JAVA_HOME that names no Java; empty where it names one, or is not set.

    Args:
        home: The Java that was found.

    Example:
        >>> java_home_slip(find_java())
        'JAVA_HOME=/opt/java holds no Java'
    """
    named = os.environ.get("JAVA_HOME")
    if not named or (home is not None and home.resolve().is_relative_to(Path(named).resolve())):
        return ""
    return f"JAVA_HOME={named} {'holds no Java' if Path(named).exists() else 'is not there'}"
