"""Run every check on the code, each to its end, and fail when one of them failed: `make check`."""

from __future__ import annotations

import subprocess
import sys

CHECKS = [
    ["ruff", "check"],
    ["ruff", "format", "--check"],
    ["mypy"],
    ["lint-imports"],
]


def main() -> int:
    """Return the number of checks that failed."""
    failed = []
    for command in CHECKS:
        name = " ".join(command)
        print(f"== {name}", flush=True)
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    print(f"== failed: {', '.join(failed)}" if failed else "== all checks passed")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
