"""What the measurements look like: a table, a JSON file for comparison, and a plot."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Result


def duration(seconds: float | None) -> str:
    """Return a time in the unit that suits it: 1.5 ms, 12 us.

    Example:
        >>> duration(0.0015)
        '1.50 ms'
    """
    if seconds is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds / size >= 100 else f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def table(results: Sequence[Result]) -> Table:
    """Return the table that `make bench` prints."""
    grid = Table(title="Speed: ours as a multiple of the raw speed, median of the repeats")
    for heading in ("what", "against"):
        grid.add_column(heading)
    for heading in ("ours", "raw", "ratio", "at least", "less than"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    for result in results:
        grid.add_row(
            result.name,
            result.error or result.against,
            duration(result.ours),
            duration(result.raw),
            "" if result.ratio is None else f"{result.ratio:.2f}x",
            "" if result.floor is None else f"{result.floor:.2f}x",
            duration(result.limit),
            verdict(result),
        )
    return grid


def verdict(result: Result) -> str:
    """Return the mark at the end of a row; rows that nothing is asked of have none."""
    if result.error:
        return "error"
    if result.floor is None and result.limit is None:
        return ""
    return "pass" if result.passed else "FAIL"


def show(results: Sequence[Result], console: Console) -> None:
    """Print the table and, under it, how many rows passed."""
    console.print(table(results))
    judged = [result for result in results if verdict(result)]
    console.print(f"{sum(result.passed for result in judged)} of {len(judged)} reached what is asked of them")


def write_json(results: Sequence[Result], path: Path) -> None:
    """Write the results with the machine they were measured on."""
    document: dict[str, Any] = {
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "results": [result.to_dict() | {"passed": result.passed} for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_plot(results: Sequence[Result], path: Path) -> None:
    """Draw the ratios as bars, each with a tick at its floor."""
    from matplotlib.figure import Figure

    rows = [result for result in reversed(results) if result.ratio is not None]
    figure = Figure(figsize=(9, 1.2 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colours = ["#2a7f62" if result.passed else "#b3422f" for result in rows]
    axes.barh([result.name for result in rows], [result.ratio or 0.0 for result in rows], color=colours)
    for place, result in enumerate(rows):
        if result.floor is not None:
            axes.plot([result.floor, result.floor], [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.axvline(1.0, color="grey", linestyle=":")
    axes.set_xlabel("our speed / raw speed (black: at least)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
