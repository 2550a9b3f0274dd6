"""Measure: `python -m benchmarks [NAME ...]`. Each module runs in a process of its own, one after the other."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import benchmarks
from benchmarks.harness import REGISTERED, REPEATS, Benchmark, Result, measure
from benchmarks.page import PAGE, REFERENCE, write_page
from benchmarks.report import document, previous, read_json, show, write_json, write_plot

FRAME = {"__main__", "harness", "page", "report"}
RESULTS = Path(__file__).parent / "results"


def modules() -> list[str]:
    """Return the names of the benchmark modules beside this one."""
    return sorted(info.name for info in pkgutil.iter_modules(benchmarks.__path__) if info.name not in FRAME)


def registered(module: str, names: Sequence[str]) -> list[Benchmark]:
    """Import a module and return its benchmarks: those whose name contains one of the names, or all without names."""
    importlib.import_module(f"benchmarks.{module}")
    wanted = [name.lower() for name in names]
    return [
        benchmark
        for benchmark in REGISTERED
        if benchmark.module == f"benchmarks.{module}"
        and (not wanted or any(name in benchmark.name.lower() for name in wanted))
    ]


def run_one(benchmark: Benchmark, repeats: int) -> list[Result]:
    """Measure; a benchmark that raises becomes a row that says so, and the others still run."""
    print(f"measuring: {benchmark.name}", file=sys.stderr, flush=True)
    try:
        return measure(benchmark, repeats)
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        return [Result(benchmark.name, benchmark.against, aim=benchmark.aim, floor=benchmark.floor, error=message)]


def run_module(module: str, names: Sequence[str], repeats: int) -> list[Result]:
    """Run one module's benchmarks in a child process and return their rows."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.json")
        command = [sys.executable, "-m", "benchmarks", "--repeats", str(repeats)]
        status = subprocess.run([*command, "--module", module, "--rows", str(rows), *names], check=False).returncode
        if not rows.exists():
            return [Result(module, error=f"the process ended with status {status}")]
        return [Result(**row) for row in json.loads(rows.read_text(encoding="utf-8"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one table; return 1 when a row failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure our speed against the raw one.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only the benchmarks whose name contains one of these")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"how often each is measured (default: {REPEATS})")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON and the plot")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md, and keep the run for comparison")
    parser.add_argument(
        "--from-json", type=Path, metavar="FILE", help="write docs/benchmarks.md from a run; measure nothing"
    )
    parser.add_argument("--module", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.list:
        for module in modules():
            for benchmark in registered(module, options.names):
                print(f"{module}: {benchmark.name}")
        return 0
    if options.from_json:
        write_page(read_json(options.from_json))
        return 0
    results: list[Result] = []
    if options.module:
        for benchmark in registered(options.module, options.names):
            results += run_one(benchmark, options.repeats)
        options.rows.write_text(json.dumps([result.to_dict() for result in results]), encoding="utf-8")
        return 0
    seconds: dict[str, float] = {}
    load = os.getloadavg()[0]
    for module in modules():
        begin = time.monotonic()
        found = run_module(module, options.names, options.repeats)
        if found:
            seconds[module] = time.monotonic() - begin
        results += found
    if not results:
        print("there is no such benchmark; --list names them all", file=sys.stderr)
        return 1
    before = previous(options.output, REFERENCE)
    show(results, Console(width=None if sys.stdout.isatty() else 170), before)
    content = document(results, seconds, load)
    file = options.output / f"{content['measured_at'][:16].replace(':', '')}-{content['commit'] or 'unversioned'}.json"
    write_json(content, file)
    write_plot(results, file.with_suffix(".png"))
    print(f"in {sum(seconds.values()):.0f} s; written: {file} and .png")
    if options.page:
        write_json(content, REFERENCE)
        write_page(content)
        print(f"written: {PAGE}, its picture and {REFERENCE}")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
