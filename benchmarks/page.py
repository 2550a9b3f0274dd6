"""docs/benchmarks.md: the tables of a run, among the words that say what they mean; a few of the rows in README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Result
from benchmarks.report import duration, rate, results_of, verdict, write_plot
from tools.page_blocks import ROOT, table, with_block

__all__ = ["ON_THE_README", "PAGE", "REFERENCE", "write_page"]

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.png"
README = ROOT / "README.md"
ON_THE_README = [
    "write one",
    "read by id",
    "write_many 20k",
    "query 50 of 100k x 10, Expr, 50 match",
    "as-of over 100k, midway in 10 versions",
    "commits with 8 writers and 3 listeners",
    "expr.eval, 5 nodes",
    "group sum, tick, N = 100,000",
    "engine.run, 5 steps",
    "market data: 2M ticks into Deephaven",
]
REFERENCE = ROOT / "benchmarks" / "reference.json"


def ratios(results: Sequence[Result]) -> str:
    """Return the table of ratios, which other machines repeat, and their picture."""
    body = [
        [
            result.name,
            result.error or result.against,
            "" if result.ratio is None else f"**{result.ratio:.2f}x**",
            "" if result.aim is None else f"{result.aim:.2f}x",
            duration(result.ours),
            rate(result),
            verdict(result),
        ]
        for result in results
        if result.against
    ]
    text = table(("what", "against", "ratio", "at least", "ours", "a second", ""), body)
    return f"{text}\n\n![Our speed as a multiple of the plain one; black: asked for](images/{PICTURE.name})"


def highlights(results: Sequence[Result]) -> str:
    """Return the rows that the README shows, as far as the run has them."""
    found = {result.name: result for result in results}
    body = [
        [row.name, row.against, f"**{row.ratio:.2f}x**", duration(row.ours)]
        for row in (found.get(name) for name in ON_THE_README)
        if row is not None and row.ratio is not None
    ]
    return table(("what", "against", "ratio", "ours"), body)


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
    """Write the tables of a run into the page and the README, and its picture."""
    results = results_of(content)
    page = PAGE.read_text(encoding="utf-8")
    for name, text in (("run", machine(content)), ("ratios", ratios(results)), ("times", times(results))):
        page = with_block(page, name, text)
    PAGE.write_text(page, encoding="utf-8")
    readme = with_block(README.read_text(encoding="utf-8"), "ratios", highlights(results))
    README.write_text(readme, encoding="utf-8")
    write_plot(results, PICTURE)
