"""What the measurements look like: a table, a JSON file for comparison, and a plot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields
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


def rate(result: Result) -> str:
    """Return how many operations a second: 1.2M, 450k; nothing where one alone was timed.

    Example:
        >>> rate(Result("write_many", ours=2.5e-5, operations=20_000))
        '40.0k'
    """
    if not result.ours or result.operations < 2:
        return ""
    number = 1 / result.ours
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.0f}{unit}" if number / size >= 100 else f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def change(result: Result, before: Mapping[str, Result]) -> str:
    """Return what a row was in another run, with a mark where it has become worse by a fifth or more."""
    old = before.get(result.name)
    if old is None or old.error or result.error:
        return ""
    if result.ratio is not None and old.ratio is not None:
        return f"{old.ratio:.2f}x{' !' if result.ratio < 0.8 * old.ratio else ''}"
    if result.ours is not None and old.ours is not None:
        return f"{duration(old.ours)}{' !' if result.ours > 1.25 * old.ours else ''}"
    return ""


def table(results: Sequence[Result], before: Mapping[str, Result]) -> Table:
    """Return the table that `make bench` prints, beside what another run found."""
    grid = Table(title="Speed: ours as a multiple of the raw speed, median of the repeats")
    for heading in ("what", "against"):
        grid.add_column(heading)
    for heading in ("ours", "a second", "raw", "ratio", "before", "at least", "less than"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    for result in results:
        grid.add_row(
            result.name,
            result.error or result.against,
            duration(result.ours),
            rate(result),
            duration(result.raw),
            "" if result.ratio is None else f"{result.ratio:.2f}x",
            change(result, before),
            "" if result.aim is None else f"{result.aim:.2f}x",
            duration(result.limit),
            verdict(result),
        )
    return grid


def verdict(result: Result) -> str:
    """Return the mark at the end of a row; rows that nothing is asked of have none."""
    if result.error:
        return "error"
    if result.aim is None and result.limit is None:
        return ""
    return "short" if result.short else "pass" if result.passed else "FAIL"


def show(results: Sequence[Result], console: Console, before: Mapping[str, Result]) -> None:
    """Print the table and, under it, how many rows passed, and which became slower."""
    console.print(table(results, before))
    judged = [verdict(result) for result in results if verdict(result)]
    console.print(f"{judged.count('pass')} of {len(judged)} reached what is asked of them")
    short = [f"{result.name} (fails below {result.floor:.2f}x)" for result in results if result.short]
    if short:
        console.print(f"short of it, and not failed: {'; '.join(short)}")
    slower = [result.name for result in results if change(result, before).endswith("!")]
    if slower:
        console.print(f"slower than before by a fifth or more: {'; '.join(slower)}")


def document(results: Sequence[Result], seconds: Mapping[str, float], load: float) -> dict[str, Any]:
    """Return the results as JSON-ready data, with the machine and the commit they were measured on.

    Args:
        results: The rows.
        seconds: How long each module took, set-up included.
        load: How many processes were running before it began, on average over a minute.
    """
    return {
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": round(load, 1),
        "seconds": {module: round(value, 1) for module, value in seconds.items()},
        "results": [result.to_dict() | {"passed": result.passed} for result in results],
    }


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Return a document that was written, by whichever version."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def results_of(content: Mapping[str, Any]) -> list[Result]:
    """Return the rows of a document; what later versions added is left as it is by default."""
    known = {field.name for field in fields(Result)}
    return [Result(**{key: value for key, value in row.items() if key in known}) for row in content["results"]]


def previous(folder: Path, otherwise: Path) -> dict[str, Result]:
    """Return the rows of the newest document in a folder, or of another document, by name; nothing without either."""
    documents = [read_json(path) for path in folder.glob("*.json")]
    documents = documents or [read_json(path) for path in (otherwise,) if path.exists()]
    if not documents:
        return {}
    newest = max(documents, key=lambda content: str(content["measured_at"]))
    return {result.name: result for result in results_of(newest)}


def write_plot(results: Sequence[Result], path: Path) -> None:
    """Draw the ratios as bars, each with a tick at what is asked for."""
    from matplotlib.figure import Figure

    rows = [result for result in reversed(results) if result.ratio is not None]
    figure = Figure(figsize=(9, 1.2 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colours = ["#c98a1b" if result.short else "#2a7f62" if result.passed else "#b3422f" for result in rows]
    axes.barh([result.name for result in rows], [result.ratio or 0.0 for result in rows], color=colours)
    for place, result in enumerate(rows):
        if result.aim is not None:
            axes.plot([result.aim, result.aim], [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.axvline(1.0, color="grey", linestyle=":")
    axes.set_xlabel("our speed / raw speed (black: at least)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _commit() -> str:
    """Return the commit that was measured, with a + for changes on top of it; nothing outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=8", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
