"""What protects an embedded server's files from other users of its machine."""

from __future__ import annotations

from tests.integration.hostile.protection import Protection

__all__ = ["PROTECTIONS_OF_MACHINE"]

CLUSTER, MACHINE = "store/cluster.py", ("test_machine",)

PROTECTIONS_OF_MACHINE = [
    Protection(
        "a directory's lock can be taken by its owner only",
        CLUSTER,
        "            os.fchmod(file, 0o600)\n",
        "            pass\n",
        MACHINE,
    ),
    Protection(
        "directories made for a server are its owner's alone",
        CLUSTER,
        "missing.mkdir(mode=0o700, exist_ok=True)",
        "missing.mkdir(exist_ok=True)",
        MACHINE,
    ),
    Protection(
        "a socket lies in no directory that others have made",
        CLUSTER,
        "or found.st_uid != os.geteuid() or found.st_mode & 0o066:",
        "or False:",
        MACHINE,
    ),
    Protection(
        "a socket lies in no directory that others may change, whoever starts its server",
        CLUSTER,
        "            super().chmod(0o700, follow_symlinks=follow_symlinks)\n",
        "            super().chmod(mode, follow_symlinks=follow_symlinks)\n",
        MACHINE,
    ),
]
