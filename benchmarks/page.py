"""docs/benchmarks.md: the tables of a run, among the words that say what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Result
from benchmarks.report import duration, rate, results_of, verdict, write_plot
from tools.page_blocks import ROOT, table, with_block

__all__ = ["PAGE", "REFERENCE", "write_page"]

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.png"
REFERENCE = ROOT / "benchmarks" / "reference.json"


def ratios(results: Sequence[Result]) -> str:
    """Return the table of ratios, which other machines repeat, and their picture."""
    body = [
        [
            result.name,
            result.error or result.against,
            "" if result.ratio is None else f"**{result.ratio:.2f}x**",
            "" if result.floor is None else f"{result.floor:.2f}x",
            duration(result.ours),
            rate(result),
            verdict(result),
        ]
        for result in results
        if result.against
    ]
    text = table(("what", "against", "ratio", "at least", "ours", "a second", ""), body)
    return f"{text}\n\n![Our speed as a multiple of the plain one; black: the floor](images/{PICTURE.name})"


def times(results: Sequence[Result]) -> str:
    """Return the table of times, which are this machine's."""
    body = [
        [result.name, result.error or duration(result.ours), duration(result.limit), verdict(result)]
        for result in results
        if not result.against
    ]
    return table(("what", "measured", "less than", ""), body)


def machine(content: Mapping[str, Any]) -> str:
    """Return a sentence that says when and where a run was made."""
    cores = f", {content['cores']} cores" if content.get("cores") else ""
    load = content.get("load", 0.0)
    busy = f" **Others were using the machine: the load was {load:.0f} before it began.**" if load >= 0.5 else ""
    took = sum(content.get("seconds", {}).values())
    return (
        f"Measured on {content['measured_at'][:10]} at commit `{content.get('commit') or 'unknown'}`, Python"
        f" {content['python']}, {content['cpu'] or content['machine']}{cores}, in {took / 60:.0f} minutes.{busy}"
    )


def write_page(content: Mapping[str, Any]) -> None:
    """Write the tables of a run into the page, and its picture."""
    results = results_of(content)
    page = PAGE.read_text(encoding="utf-8")
    for name, text in (("run", machine(content)), ("ratios", ratios(results)), ("times", times(results))):
        page = with_block(page, name, text)
    PAGE.write_text(page, encoding="utf-8")
    write_plot(results, PICTURE)
