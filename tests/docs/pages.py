"""Pages of documentation as programs: each Python block runs, and what it prints is what the page says it prints.

A block fenced as `python` is executed; a block fenced as `output` after it is what it must print, where `...` stands
for what differs from run to run. A block that prints needs its output block. The blocks of a page are one program: they
share their names, and find `host`, `port` and `dbname` of an empty store whose users are alice, bob and carol, with
passwords like `alice_pw`. The line `<!-- needs: deephaven -->` runs the page beside a Deephaven server, and
`<!-- runs: alone -->` as a program of its own, which finds nothing: `python -m tests.docs.pages PAGE`.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
COMPARISON = doctest.ELLIPSIS | doctest.REPORT_NDIFF
NEEDS = re.compile(r"<!-- needs: (\w+) -->")
ALONE = "<!-- runs: alone -->"
SHELL_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return README.md and every page under docs/."""
    return [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.exists()]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name


def needs(page: Path) -> set[str]:
    """Return what the page's `needs` comments name."""
    return set(NEEDS.findall(page.read_text(encoding="utf-8")))


def runs_alone(page: Path) -> bool:
    """Say whether the page is a program of its own."""
    return ALONE in page.read_text(encoding="utf-8")


def shell_commands(page: Path) -> list[str]:
    """Return the lines of the page's shell blocks, without prompts, comments and output."""
    commands = []
    for block in SHELL_BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        commands += prompted or [line for line in lines if not line.startswith("#")]
    return commands


class _Run:
    """The execution of one page: what the last Python block printed, and whether an output block has followed it."""

    def __init__(self) -> None:
        self._execute = PythonEvaluator()
        self._printed = ""
        self._printing: Example | None = None

    def python(self, example: Example) -> None:
        self.finish()
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            self._execute(example)
        self._printed = stream.getvalue()
        self._printing = example if self._printed.strip() else None

    def output(self, example: Example) -> str | None:
        printed, self._printed, self._printing = self._printed, "", None
        checker = doctest.OutputChecker()
        wanted = doctest.Example("", str(example.parsed))
        if checker.check_output(wanted.want, _trimmed(printed), COMPARISON):
            return None
        return checker.output_difference(wanted, _trimmed(printed), COMPARISON)

    def finish(self) -> None:
        """Fail if the last block printed something that the page does not show."""
        if self._printing is not None:
            raise SybilFailure(self._printing, f"It prints what no output block after it shows:\n{self._printed}")


def run_page(page: Path, names: Mapping[str, Any], module: types.ModuleType | None = None) -> int:
    """Execute a page with the given names defined, in a module of its own or the given one; return their number.

    Raises:
        SybilFailure: A block prints something else than the page says; the message has the line.
    """
    run = _Run()
    document = Document.parse(str(page), CodeBlockParser("python", run.python), CodeBlockParser("output", run.output))
    with contextlib.nullcontext(module) if module else _module(page) as module:
        vars(module).update(names)
        document.namespace = vars(module)
        examples = list(document.examples())
        for example in examples:
            example.evaluate()
    run.finish()
    return len(examples)


@contextlib.contextmanager
def _module(page: Path) -> Iterator[types.ModuleType]:
    """Make the page a module, so that its classes and functions can be found by name, as those of a script can."""
    module = types.ModuleType("page_" + re.sub(r"\W", "_", page.stem))
    sys.modules[module.__name__] = module
    try:
        yield module
    finally:
        del sys.modules[module.__name__]


def _trimmed(text: str) -> str:
    """Drop what a page cannot show: blanks at the ends of lines and of the whole."""
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


if __name__ == "__main__":
    # The page's names become those of this program, as when a reader types them.
    run_page(Path(sys.argv[1]), {}, sys.modules["__main__"])
