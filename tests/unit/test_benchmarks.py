"""The benchmark harness, on toy pairs and a clock of its own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import run_one
from benchmarks.harness import Benchmark, Pair, Result, Samples, measure, percentile, ratio
from benchmarks.page import ON_THE_README, highlights, machine, ratios, times
from benchmarks.report import (
    change,
    document,
    duration,
    previous,
    rate,
    read_json,
    results_of,
    show,
    write_json,
    write_plot,
)
from tools.page_blocks import ROOT


class Toy:
    """Two sides that take the time they are told, and a record of the order in which they ran."""

    def __init__(self, ours: list[float], raw: list[float]) -> None:
        self.now = 0.0
        self.order: list[str] = []
        self._ours, self._raw = iter(ours), iter(raw)

    def clock(self) -> float:
        return self.now

    def ours(self) -> None:
        self.order.append("ours")
        self.now += next(self._ours)

    def raw(self) -> None:
        self.order.append("raw")
        self.now += next(self._raw)

    def benchmark(self, aim: float | None = 0.5, **options: object) -> Benchmark:
        def start() -> Iterator[Pair]:
            self.order.append("set-up")
            yield Pair(self.ours, self.raw, **options)
            self.order.append("clean-up")

        return Benchmark("toy", "raw toy", aim, aim, {}, start, __name__)


def test_measure_pair_ratio_is_the_median_of_the_repeats_without_the_warm_up() -> None:
    toy = Toy(ours=[99.0, 2.0, 4.0, 2.0], raw=[99.0, 1.0, 1.0, 1.0])
    (result,) = measure(toy.benchmark(), repeats=3, clock=toy.clock)
    assert (result.ratio, result.ours, result.raw) == (0.5, 2.0, 1.0)
    assert result.repeats == [2.0, 4.0, 2.0]
    assert result.passed


def test_measure_pair_sides_alternate_inside_one_set_up() -> None:
    toy = Toy(ours=[1.0] * 3, raw=[1.0] * 3)
    measure(toy.benchmark(), repeats=2, clock=toy.clock)
    assert toy.order == ["set-up", "raw", "ours", "ours", "raw", "raw", "ours", "clean-up"]


def test_measure_pair_operations_divide_each_side_by_its_own_number() -> None:
    toy = Toy(ours=[6.0] * 2, raw=[4.0] * 2)
    (result,) = measure(toy.benchmark(operations=3, raw_operations=4), repeats=1, clock=toy.clock)
    assert (result.ours, result.raw, result.ratio) == (2.0, 1.0, 0.5)


def test_measure_pair_reset_runs_unmeasured_before_each_side() -> None:
    toy = Toy(ours=[1.0] * 2, raw=[1.0] * 2)

    def reset() -> None:
        toy.now += 50.0

    (result,) = measure(toy.benchmark(reset=reset), repeats=1, clock=toy.clock)
    assert (toy.now, result.ours, result.raw) == (204.0, 1.0, 1.0)


def test_measure_pair_own_measure_replaces_the_clock() -> None:
    def start() -> Iterator[Pair]:
        yield Pair(ours=lambda: 0.5, raw=lambda: 0.25)

    (result,) = measure(Benchmark("toy", "raw", 0.8, 0.6, {}, start, __name__), repeats=1)
    assert (result.ours, result.ratio, result.passed) == (0.5, 0.5, False)


def test_measure_samples_each_limit_is_a_row() -> None:
    def start() -> Iterator[Samples]:
        yield Samples(lambda: [0.001] * 98 + [0.002, 0.004])

    limits = {"p50": 0.002, "p99": 0.002, "max": 0.005}
    rows = measure(Benchmark("lag", "", None, None, limits, start, __name__), repeats=3)
    assert [(row.name, row.ours, row.passed) for row in rows] == [
        ("lag, p50", 0.001, True),
        ("lag, p99", 0.002, False),
        ("lag, max", 0.004, True),
    ]


@pytest.mark.parametrize(("percent", "expected"), [(0, 1.0), (50, 2.0), (75, 3.0), (76, 4.0), (100, 4.0)])
def test_percentile_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected


@pytest.mark.parametrize(
    ("result", "passed"),
    [
        (Result("r", ratio=0.5, floor=0.5), True),
        (Result("r", ratio=0.49, floor=0.5), False),
        (Result("r", ratio=0.49), True),
        (Result("r", ratio=2.0, floor=0.5, ours=0.004, limit=0.005), True),
        (Result("r", ratio=2.0, floor=0.5, ours=0.005, limit=0.005), False),
        (Result("r", floor=0.5, error="gone"), False),
    ],
)
def test_result_passes_when_floor_is_reached_and_limit_kept(result: Result, passed: bool) -> None:
    assert result.passed is passed


@pytest.mark.parametrize(
    ("asked", "least"), [({"aim": 0.5}, 0.4), ({"aim": 0.5, "floor": 0.1}, 0.1), ({"aim": None}, None)]
)
def test_ratio_fails_below_four_fifths_of_what_is_asked_for_or_below_its_own_floor(
    asked: dict[str, float | None], least: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[Benchmark] = []
    monkeypatch.setattr("benchmarks.harness.REGISTERED", registered)
    ratio("toy", against="raw toy", **asked)(lambda: iter(()))  # type: ignore[arg-type]
    assert (registered[0].aim, registered[0].floor) == (asked["aim"], least)


@pytest.mark.parametrize(("reached", "short"), [(0.39, False), (0.4, True), (0.49, True), (0.5, False)])
def test_result_between_floor_and_aim_is_short(reached: float, short: bool) -> None:
    assert Result("r", ratio=reached, aim=0.5, floor=0.4).short is short


def test_run_one_raising_benchmark_becomes_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    def start() -> Iterator[Pair]:
        raise OSError("no disk")
        yield

    (result,) = run_one(Benchmark("toy", "raw", 0.5, 0.4, {}, start, __name__), repeats=1)
    assert (result.error, result.passed) == ("OSError: no disk", False)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2.00 s"), (0.0015, "1.50 ms"), (0.25, "250 ms"), (3.2e-5, "32.00 us"), (5e-8, "50 ns")]
)
def test_duration_takes_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


ROWS = [
    Result("write", "raw INSERT", ours=0.002, raw=0.001, ratio=0.5, aim=0.4, floor=0.32, repeats=[0.002]),
    Result("read", "raw SELECT", ours=0.002, raw=0.001, ratio=0.5, aim=0.7, floor=0.56, repeats=[0.002]),
    Result("update", "raw INSERT", ours=0.002, raw=0.001, ratio=0.5, aim=0.6, floor=0.48, repeats=[0.002]),
    Result("csp", "csp", ours=0.002, raw=0.001, ratio=0.5, repeats=[0.002]),
]


def test_show_marks_rows_and_counts_those_that_are_judged() -> None:
    console = Console(width=150, record=True, file=io.StringIO())
    show(ROWS, console, {})
    text = console.export_text()
    marks = [line.split("│")[-2].strip() for line in text.splitlines() if "0.50x" in line]
    assert marks == ["pass", "FAIL", "short", ""]
    assert "1 of 3" in text
    assert "short of it, and not failed: update (fails below 0.48x)" in text


def test_write_json_rows_read_back_equal(tmp_path: Path) -> None:
    write_json(document(ROWS, {"toy": 1.25}, 0.24), tmp_path / "new" / "run.json")
    content = read_json(tmp_path / "new" / "run.json")
    assert results_of(content) == ROWS
    assert [row["passed"] for row in content["results"]] == [True, False, True, True]
    assert content["seconds"] == {"toy": 1.2}
    assert content["python"] and content["cores"]
    assert "load" not in machine(content)
    assert "**Others were using the machine: the load was 9 before it began.**" in machine({**content, "load": 9.1})


def test_results_of_another_version_are_read_as_far_as_they_are_known() -> None:
    row = {"name": "write", "ratio": 0.5, "passed": True, "later": 1}
    assert results_of({"results": [row]}) == [Result("write", ratio=0.5)]


def test_previous_is_the_newest_run_or_the_reference(tmp_path: Path) -> None:
    folder, reference = tmp_path / "results", tmp_path / "reference.json"
    assert previous(folder, reference) == {}

    def write(path: Path, moment: str, ratio: float) -> None:
        write_json({**document([Result("write", ratio=ratio)], {}, 0.0), "measured_at": moment}, path)

    write(reference, "2030-01-01", 0.1)
    assert previous(folder, reference)["write"].ratio == 0.1
    for moment, reached in (("2026-02-22T10:00:00", 0.3), ("2026-02-22T09:00:00", 0.2)):
        write_json(
            {**document([Result("write", ratio=reached)], {}, 0.0), "measured_at": moment}, folder / f"{reached}.json"
        )
    assert previous(folder, reference)["write"].ratio == 0.3


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [
        (Result("r", ratio=0.8), Result("r", ratio=1.0), "1.00x"),
        (Result("r", ratio=0.79), Result("r", ratio=1.0), "1.00x !"),
        (Result("r", ours=0.00125), Result("r", ours=0.001), "1.00 ms"),
        (Result("r", ours=0.00126), Result("r", ours=0.001), "1.00 ms !"),
        (Result("r", ratio=0.1), Result("other", ratio=1.0), ""),
        (Result("r", error="gone"), Result("r", ratio=1.0), ""),
    ],
)
def test_change_tells_what_a_row_was_and_marks_what_became_worse(now: Result, before: Result, shown: str) -> None:
    assert change(now, {before.name: before}) == shown


@pytest.mark.parametrize(
    ("seconds", "operations", "shown"),
    [(2.5e-5, 20_000, "40.0k"), (1e-9, 10, "1000M"), (0.5, 10, "2"), (0.5, 1, ""), (5e-6, 2, "200k")],
)
def test_rate_is_what_is_done_in_a_second(seconds: float, operations: int, shown: str) -> None:
    assert rate(Result("r", ours=seconds, operations=operations)) == shown


def test_measure_of_what_takes_long_stops_after_three_repeats() -> None:
    toy = Toy(ours=[4.0] * 9, raw=[4.0] * 9)
    (result,) = measure(toy.benchmark(), repeats=5, clock=toy.clock)
    assert result.repeats == [4.0] * 3
    assert (result.ratio, toy.order[-1]) == (1.0, "clean-up")


def test_page_shows_ratios_apart_from_times() -> None:
    rows = [*ROWS, Result("lag, p50", ours=0.001, limit=0.002), Result("broken", "raw", error="OSError: no disk")]
    assert "| write | raw INSERT | **0.50x** | 0.40x | 2.00 ms |  | pass |" in ratios(rows).splitlines()
    assert "| broken | OSError: no disk |  |  |  |  | error |" in ratios(rows).splitlines()
    assert times(rows).splitlines()[2:] == ["| lag, p50 | 1.00 ms | 2.00 ms | pass |"]


def test_write_plot_draws_a_png(tmp_path: Path) -> None:
    write_plot(ROWS, tmp_path / "latest.png")
    assert (tmp_path / "latest.png").read_bytes().startswith(b"\x89PNG")


def test_readme_shows_rows_that_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks", "--list"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(ON_THE_README) <= {line.partition(": ")[2] for line in listed.splitlines()}
    row = Result("write one", "raw INSERT", ours=0.002, raw=0.001, ratio=0.5)
    assert highlights([row, Result("read by id", "raw SELECT", error="gone")]).splitlines()[2:] == [
        "| write one | raw INSERT | **0.50x** | 2.00 ms |"
    ]
