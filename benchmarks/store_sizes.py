"""What reading costs as the store grows: `python -m benchmarks.store_sizes [--events 10000000]`.

Stores of 1,000 to 1,000,000 entities with 1, 10 and 100 versions each, as far as the number of events allows. Not part
of `make bench`: loading takes from ten minutes to an hour. Writes the figures as JSON and draws them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.store_scene import Scene, add_database, deepen, load, running_server
from store.models import Trade

ENTITIES = (1_000, 10_000, 100_000, 1_000_000)
VERSIONS = (1, 10, 100)
MATCHES = 50
PAGE = 50
MOST_REPEATS, LEAST_REPEATS, MOST_SECONDS = 30, 3, 3.0

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "results" / "store_sizes.json"
PLOT = ROOT / "docs" / "images" / "benchmark_store_sizes.png"


class Cost(NamedTuple):
    """The median time of one operation on a store of one size, in seconds."""

    operation: str
    entities: int
    versions: int
    seconds: float


def operations(scene: Scene, entity_id: str) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    client = scene.client
    midway = client.history(Trade, entity_id)[-1].tx_time
    return {
        "read": lambda: client.read(Trade, entity_id),
        "as-of, one entity": lambda: client.as_of(Trade, entity_id, tx_time=midway),
        "query 50, 50 match": lambda: client.query(Trade, {"symbol": "SYM7"}, limit=PAGE),
        "query 50, half match": lambda: client.query(Trade, {"side": "BUY"}, limit=PAGE),
        "query 50, no filter": lambda: client.query(Trade, limit=PAGE),
        "as-of, query 50, half match": lambda: client.query(Trade, {"side": "BUY"}, limit=PAGE, tx_time=midway),
    }


def seconds_of(operation: Callable[[], object]) -> float:
    """Return the median time of an operation: of 30 runs, of fewer when they are slow."""
    operation()
    times: list[float] = []
    while len(times) < MOST_REPEATS and (len(times) < LEAST_REPEATS or sum(times) < MOST_SECONDS):
        begin = time.perf_counter()
        operation()
        times.append(time.perf_counter() - begin)
    return median(times)


def costs(events: int) -> Iterator[Cost]:
    """Load stores of all sizes with at most so many events and measure each."""
    with running_server() as server:
        for entities in (size for size in ENTITIES if size <= events):
            with closing(add_database(server)) as scene:
                trades = load(scene.client, entities, symbols=entities // MATCHES)
                reached = 1
                for versions in (depth for depth in VERSIONS if entities * depth <= events):
                    for version in range(reached + 1, versions + 1):
                        deepen(scene.client, trades, version)
                    reached = versions
                    scene.settle()
                    for name, operation in operations(scene, str(trades[entities // 2].entity_id)).items():
                        yield Cost(name, entities, versions, seconds_of(operation))


def draw(figures: Sequence[Cost], path: Path) -> None:
    """Draw the cost of each operation against the number of entities, a line for each number of versions."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(cost.operation for cost in figures))
    figure = Figure(figsize=(12, 7), layout="constrained")
    for axes, name in zip(figure.subplots(2, 3, sharex=True, sharey=True).flat, names, strict=True):
        for versions, style in zip(VERSIONS, ("o-", "s--", "^:"), strict=True):
            line = [cost for cost in figures if cost.operation == name and cost.versions == versions]
            label = f"{versions} version{'s' * (versions > 1)} each"
            axes.loglog([cost.entities for cost in line], [cost.seconds * 1e3 for cost in line], style, label=label)
        axes.set_title(name)
        axes.set_xlabel("entities")
        axes.set_ylabel("milliseconds")
        axes.grid(alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure, print each figure as it comes, write all of them and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_sizes", description="Reading against size.")
    parser.add_argument("--events", type=int, default=1_000_000, help="the most events in a store (default: 1 million)")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="where the figures go, as JSON")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the drawing goes")
    options = parser.parse_args()
    figures: list[Cost] = []
    for cost in costs(options.events):
        figures.append(cost)
        size = f"{cost.entities:>9,} x {cost.versions:>3}"
        print(f"{size}  {cost.operation:<28} {cost.seconds * 1e3:10.2f} ms", flush=True)
    options.figures.parent.mkdir(parents=True, exist_ok=True)
    options.figures.write_text(json.dumps([cost._asdict() for cost in figures], indent=1) + "\n", encoding="utf-8")
    draw(figures, options.plot)


if __name__ == "__main__":
    main()
