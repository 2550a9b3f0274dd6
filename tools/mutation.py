"""Seed faults one by one in a copy of the project, and write into docs/testing.md which of them the tests let pass.

    python -m tools.mutation [WORDS OF A TARGET'S NAME ...] [--jobs N] [--times N]

With words, only the targets whose names hold them are tried; the other rows stay. A fault counts as killed when a test
fails, or does not end; one with which nothing starts any more (SQL that does not install, Python that does not import)
is put aside and the next one drawn in its place.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tools.equivalent_mutants import EQUIVALENT
from tools.mutants import Mutant, mutants_of
from tools.page_blocks import ROOT, TESTING_PAGE, block, rows, table, with_block

SECONDS, SURVIVES = 600, "survives"
PYTEST = ("-q", "-x", "--tb=line", "-p", "no:cacheprovider")
HEADINGS = ("target", "faults", "killed", "equivalent", "survive", "score")
# Errors that say of a fault no more than that it is not SQL or Python.
STILLBORN = re.compile(r"errors\.(SyntaxError|Undefined\w+|DatatypeMismatch|Ambiguous\w+|InvalidFunctionDefinition)")


class Target(NamedTuple):
    """What is tried together.

    Attributes:
        name: Its row in the table.
        file: The file that gets the faults.
        faults: How many.
        suites: The tests that should tell, those that tell most first.
        functions: The SQL functions that count; all of the file when empty.
        lines: What a changed line must hold to count, as a regular expression.
    """

    name: str
    file: str
    faults: int
    suites: tuple[str, ...]
    functions: tuple[str, ...] = ()
    lines: str = ""


def _integration(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/integration/{name}.py" for name in names)


def _hostile(*names: str) -> tuple[str, ...]:
    return _integration(*(f"hostile/test_{name}" for name in names))


TIMES = (
    *_integration("test_time_rules", "test_client_times", "test_client_schedules"),
    "tests/property/test_time_property.py",
    *_integration("test_snapshots", "test_audit_diff", "test_client_objects"),
)
ACCESS = r"acl|principal|session_user|owner|writers|readers|admin|check_|require_|refuse|FOR UPDATE|readable|writable"
EXPR = "reactive/expr/{}.py"
TARGETS = [
    Target("fold", "store/sql/fold.sql", 14, TIMES),
    Target("fold: bounds of valid ranges", "store/sql/mutate.sql", 4, TIMES, ("covers", "next_bound")),
    Target(
        "fold: the head and what an event makes of it",
        "store/sql/append.sql",
        6,
        (*TIMES, *_integration("test_transition", "test_client_updates"), *_hostile("values")),
        ("advanced", "refold_head", "after_append", "logged_as"),
    ),
    Target(
        "security: row security and rights",
        "store/sql/grants.sql",
        5,
        (*_hostile("statements", "reading", "forging"), *_integration("test_access", "test_schema_again")),
    ),
    Target(
        "security: who is asking",
        "store/sql/access.sql",
        3,
        (
            *_hostile("reading", "forging"),
            *_integration("test_groups", "test_users", "test_access", "test_publish_again"),
        ),
    ),
    Target(
        "security: the database",
        "store/sql/database.sql",
        2,
        (*_hostile("entrance", "sabotage", "statements"), *_integration("test_schema_again")),
    ),
    Target(
        "security: sharing",
        "store/sql/share.sql",
        4,
        (
            *_integration("test_access", "test_groups", "test_subscription_grants", "test_subscription_many_grants"),
            *_hostile("forging", "reading"),
        ),
    ),
    Target(
        "security: groups",
        "store/sql/groups.sql",
        3,
        (
            *_integration("test_groups", "test_users", "test_subscription_grants", "test_cli_governance"),
            *_hostile("statements", "forging", "locks"),
        ),
    ),
    Target(
        "security: changing",
        "store/sql/append.sql",
        4,
        (
            *_hostile("forging", "reading"),
            *_integration("test_access", "test_client_objects", "test_client_batches", "test_transition"),
            *_integration("test_client_times", "test_client_idempotency", "test_publish", "test_race"),
        ),
        ("append_allowed", "check_appends", "log_append", "log_appends", "make_events", "append_events"),
        ACCESS,
    ),
    Target(
        "security: creating",
        "store/sql/create.sql",
        2,
        (
            *_hostile("forging"),
            *_integration("test_access", "test_client_idempotency", "test_publish", "test_client_schema_change"),
        ),
        (),
        ACCESS,
    ),
    Target(
        "security: keys and names",
        "store/sql/mutate.sql",
        3,
        (
            *_integration("test_client_idempotency", "test_access", "test_groups"),
            *_hostile("reading", "forging", "locks"),
        ),
        ("claim_key", "check_replay", "require_principals", "replay"),
    ),
    Target(
        "security: reading the past",
        "store/sql/log.sql",
        3,
        (*_hostile("reading", "values"), *_integration("test_states_of_several", "test_access", "test_client_filters")),
        (),
        r"acl|principal|session_user|owner",
    ),
    Target(
        "security: the stream",
        "store/sql/stream.sql",
        3,
        (*_integration("test_subscription_grants", "test_subscriptions"), *_hostile("reading")),
        (
            "standing",
            "granted_at",
            "next_grant",
            "granted_by",
            "events_in_view",
            "read_stream",
            "claim_checkpoint",
            "save_checkpoint",
        ),
        r"acl|principal|session_user|owner|name|since|grant|place|reads_all",
    ),
    Target(
        "security: published types",
        "store/sql/govern.sql",
        3,
        _integration("test_publish", "test_publish_again", "test_cli_governance"),
        ("check_edge", "check_creations", "check_events", "is_misfit"),
    ),
    Target(
        "expressions: Python",
        EXPR.format("python_source"),
        12,
        ("tests/unit/test_expr_python.py", "tests/property/test_expr_targets.py", "tests/unit/test_expr_finance.py"),
    ),
    Target(
        "expressions: PostgreSQL",
        EXPR.format("sql"),
        12,
        (
            *(
                "tests/unit/test_expr_sql.py",
                "tests/unit/test_expr_table.py",
                "tests/integration/test_expr_postgres.py",
            ),
            *("tests/property/test_expr_targets.py", "tests/integration/test_client_filters.py"),
        ),
    ),
    Target(
        "expressions: Pure",
        EXPR.format("pure"),
        12,
        ("tests/unit/test_expr_table.py", "tests/unit/test_expr_nodes.py", "tests/unit/test_expr_inference.py"),
    ),
    Target(
        "expressions: Deephaven",
        EXPR.format("deephaven"),
        12,
        (
            "tests/unit/test_expr_deephaven.py",
            "tests/unit/test_expr_table.py",
            "tests/unit/test_expr_inference.py",
            "tests/deephaven/test_expr_deephaven.py",
        ),
    ),
    Target(
        "expressions: columns",
        EXPR.format("columns"),
        12,
        ("tests/unit/test_expr_columns.py", "tests/property/test_expr_targets.py", "tests/unit/test_expr_finance.py"),
    ),
]


def candidates(target: Target) -> Iterator[Mutant]:
    """Yield the faults of a target in the order in which they are drawn."""
    text = (ROOT / target.file).read_text(encoding="utf-8")
    for mutant in mutants_of(target.file, text):
        inside = re.findall(r"FUNCTION store\.(\w+)\(", text[: mutant.start])
        if target.functions and (not inside or inside[-1] not in target.functions):
            continue
        line = text[text.rfind("\n", 0, mutant.start) + 1 : mutant.end]
        if re.search(target.lines, line + text[mutant.end :].partition("\n")[0]):
            yield mutant


class Worker:
    """A process that runs tests in a copy of the project of its own."""

    def __init__(self, folder: Path, marked: str) -> None:
        """Make the copy and start the process; `marked` says which tests it runs, as in `pytest -m`."""
        self._marked = marked
        hidden = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "*_cache", "results", "htmlcov", ".coverage*")
        shutil.copytree(ROOT, folder, ignore=hidden, symlinks=True)
        command = [sys.executable, "-m", "tools.mutation_worker"]
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def outcome(self, target: Target, mutant: Mutant, killers: Sequence[str]) -> str:
        """Run a target's tests with a fault: what killed it, "" for nothing, or "stillborn"."""
        text = (ROOT / mutant.file).read_text(encoding="utf-8")
        status, output = self.run(target, mutant.file, mutant.applied(text), killers)
        if status == 0:
            return ""
        told = re.search(r"^(FAILED|ERROR) \S*?(\w+\.py)(?:::(\w+))?", output, re.MULTILINE)
        if told is None:
            return "a run that does not end"
        unborn = told[1] == "ERROR" and (told[3] is None or "embedded_server" in output or "errors." in output)
        return "stillborn" if unborn or STILLBORN.search(output) else told[3]

    def run(self, target: Target, file: str, text: str, killers: Sequence[str]) -> tuple[int, str]:
        """Run a target's tests with another text in a file; return the status and the output."""
        order = {
            "file": file,
            "text": text,
            "arguments": [*PYTEST, "-m", self._marked, *target.suites],
            "killers": list(killers),
            "seconds": SECONDS,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], answer["output"]

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def tried(
    target: Target, workers: Sequence[Worker], faults: Iterable[Mutant], wanted: int = sys.maxsize
) -> list[tuple[Mutant, str]]:
    """Try faults of a target until as many are born as are wanted; return those, and what killed each.

    Raises:
        RuntimeError: The tests fail without any fault.
    """
    found: list[tuple[Mutant, str]] = []
    killers: Counter[str] = Counter()
    waiting = iter(faults)
    with ThreadPoolExecutor(len(workers)) as pool:
        while len(found) < wanted:
            drawn = list(itertools.islice(waiting, min(len(workers), wanted - len(found))))
            if not drawn:
                break
            first = [name for name, _ in killers.most_common(12)]
            results = pool.map(Worker.outcome, workers, [target] * len(drawn), drawn, [first] * len(drawn))
            for mutant, killer in zip(drawn, results, strict=True):
                told = killer or EQUIVALENT.get((mutant.file, mutant.change)) or SURVIVES
                print(f"{target.name}: {mutant.rule}: {mutant.change}: {told}", flush=True)
                if killer != "stillborn":
                    found.append((mutant, killer))
                    killers.update([killer] if killer else [])
    if found and all(killer for _, killer in found):
        # Else what failed with each fault might fail without one.
        text = (ROOT / target.file).read_text(encoding="utf-8")
        status, output = workers[0].run(target, target.file, text, [])
        if status != 0:
            raise RuntimeError(f"{target.name}: the tests fail without a fault ({status}):\n{output[-3000:]}")
    return found


Found = Sequence[tuple[Mutant, str]]


def scored(target: Target, found: Found) -> tuple[list[str], list[list[str]]]:
    """Return a target's row of the table of scores, and its rows of the table of those that were not killed."""
    alive = [[target.name, mutant.rule, mutant.change, ""] for mutant, killer in found if not killer]
    return summed(target, len(found), alive)


def looked_at_again(
    target: Target, row: Sequence[str], alive: Sequence[Sequence[str]], found: Found
) -> tuple[list[str], list[list[str]]]:
    """Return a target's rows when some of those that were not killed have been tried again."""
    killed = {mutant.change for mutant, killer in found if killer}
    return summed(target, int(row[1]), [list(each) for each in alive if each[2] not in killed])


def summed(target: Target, tried_: int, alive: Sequence[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Return a target's rows, given how many faults were tried and which are alive."""
    alive = [[*each[:3], EQUIVALENT.get((target.file, each[2]), SURVIVES)] for each in alive]
    surviving = sum(each[3] == SURVIVES for each in alive)
    equal, killed = len(alive) - surviving, tried_ - len(alive)
    score = f"{killed / (tried_ - equal):.0%}" if tried_ > equal else ""
    return [target.name, *map(str, (tried_, killed, equal, surviving)), score], alive


def with_results(page: str, target: Target, found: Found, *, again: bool = False) -> str:
    """Return the page with the rows of a target; those of the others stay."""
    names = [each.name for each in TARGETS]
    scores = {row[0]: row for row in rows(block(page, "mutation score"))}
    alive = rows(block(page, "faults not killed"))
    own = [row for row in alive if row[0] == target.name]
    done = looked_at_again(target, scores[target.name], own, found) if again else scored(target, found)
    scores[target.name] = done[0]
    alive = sorted([*(row for row in alive if row[0] != target.name), *done[1]], key=lambda row: names.index(row[0]))
    body = [scores[name] for name in names if name in scores]
    tried_, killed, equal, surviving = (sum(int(row[place]) for row in body) for place in range(1, 5))
    total = ["**all**", tried_, killed, equal, surviving, f"**{killed / max(tried_ - equal, 1):.0%}**"]
    page = with_block(page, "mutation score", table(HEADINGS, [*body, total]))
    return with_block(page, "faults not killed", table(("target", "kind", "fault", "why"), alive))


def alive_on(page: str, target: Target) -> set[str]:
    """Return the changes of a target that the page says survive, other than those known to be equivalent by now."""
    told = [row for row in rows(block(page, "faults not killed")) if row[0] == target.name]
    return {row[2] for row in told if (target.file, row[2]) not in EQUIVALENT}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the faults; return 1 when one survives that is not known to be equivalent."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("words", nargs="*", help="only the targets whose names hold one of these")
    parser.add_argument("--jobs", type=int, default=2, help="how many faults are tried side by side (default: 2)")
    parser.add_argument("--times", type=int, default=1, help="how many times as many faults as usual (default: 1)")
    parser.add_argument("--again", action="store_true", help="only those that the page says survive")
    parser.add_argument("--without-deephaven", action="store_true", help="leave out the tests that start a JVM")
    options = parser.parse_args(arguments)
    chosen = [target for target in TARGETS if not options.words or any(word in target.name for word in options.words)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        marked = "not external and not deephaven" if options.without_deephaven else "not external"
        workers = [Worker(Path(folder) / str(number), marked) for number in range(options.jobs)]
        for target in chosen:
            page = TESTING_PAGE.read_text(encoding="utf-8")
            if options.again:
                if target.name not in block(page, "mutation score"):
                    continue
                alive = alive_on(page, target)
                found = tried(target, workers, [mutant for mutant in candidates(target) if mutant.change in alive])
            else:
                found = tried(target, workers, candidates(target), target.faults * options.times)
            survivors += sum(not killer and (mutant.file, mutant.change) not in EQUIVALENT for mutant, killer in found)
            page = with_results(TESTING_PAGE.read_text(encoding="utf-8"), target, found, again=options.again)
            TESTING_PAGE.write_text(page, encoding="utf-8")
        for worker in workers:
            worker.close()
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
