"""Faults, one at a time: every place in a file of SQL or Python where a rule knows a likely mistake, and the mistake.

What is mutated is code: no comments, no docstrings, no annotations, no error messages.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["Mutant", "mutants_of"]

CONTEXT = 36


class Mutant(NamedTuple):
    """A fault in a file.

    Attributes:
        file: The file, relative to the project.
        rule: What kind of mistake it is.
        start: Where the text that is replaced begins.
        end: And ends.
        new: What stands there instead.
        change: What the change looks like, with what stands around it.
    """

    file: str
    rule: str
    start: int
    end: int
    new: str
    change: str

    def applied(self, text: str) -> str:
        """Return the text of the file with the fault in it."""
        return text[: self.start] + self.new + text[self.end :]

    @property
    def draw(self) -> str:
        """A number drawn for the fault by what it is: the same until the line changes, and nobody's choice."""
        return hashlib.sha256(f"{self.file}|{self.rule}|{self.change}".encode()).hexdigest()


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Return the faults of a file in the order in which they were drawn, of each rule in turn."""
    seeds = _sql_seeds(text) if file.endswith(".sql") else _PythonSeeds(text).found
    found = {}
    for rule, start, end, new in seeds:
        mutant = Mutant(file, rule, start, end, new, _change(text, start, end, new))
        if mutant.applied(text) != text:
            found[mutant.start, mutant.end, mutant.new] = mutant
    by_rule: dict[str, list[Mutant]] = {}
    for mutant in sorted(found.values(), key=lambda mutant: mutant.draw):
        by_rule.setdefault(mutant.rule, []).append(mutant)
    turns = itertools.zip_longest(*by_rule.values())
    return [mutant for turn in turns for mutant in turn if mutant is not None]


def _change(text: str, start: int, end: int, new: str) -> str:
    """Show a change within its line."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    head = text[first:start].lstrip()
    tail = text[end : last if last >= 0 else len(text)]
    head = head if len(head) <= CONTEXT else "…" + head[-CONTEXT:]
    tail = tail if len(tail) <= CONTEXT else tail[:CONTEXT] + "…"
    sides = (" ".join(f"{head}{middle}{tail}".split()) for middle in (text[start:end], new))
    return " → ".join(f"`{side}`" for side in sides)


# SQL

Seed = tuple[str, int, int, str]
_FLIPPED = {"<=": "<", ">=": ">", "<": "<=", ">": ">=", "=": "<>", "<>": "=", "@>": "<@", "<@": "@>", "~": "!~"}
_SQL_WORDS: list[tuple[str, str, str | Callable[[re.Match[str]], str]]] = [
    ("comparison", r"(?<= )(<=|>=|<>|<|>|=|@>|<@|~)(?= )", lambda m: _FLIPPED[m[0]]),
    ("and/or", r"\bAND\b(?! (?:'|[0-9]))", "OR"),
    ("and/or", r"\bOR\b(?! REPLACE)", "AND"),
    ("negation", r"\bNOT (?!NULL|EXISTS \(SELECT FROM store\.published_types)", ""),
    ("negation", r"\bIS NOT NULL\b", "IS NULL"),
    ("negation", r"\bIS NULL\b", "IS NOT NULL"),
    ("negation", r"\bIS DISTINCT FROM\b", "IS NOT DISTINCT FROM"),
    ("condition", r"(?<=\bIF )[^;]+?(?= THEN\n)", "false"),
    ("condition", r"(?<=\bIF )[^;]+?(?= THEN\n)", "true"),
    ("extreme", r"\bgreatest(?=\()", "least"),
    ("extreme", r"\bleast(?=\()", "greatest"),
    ("extreme", r"\bmax(?=\()", "min"),
    ("extreme", r"\bmin(?=\()", "max"),
    ("order", r" DESC\b", ""),
    ("order", r"\bv_data \|\| (?=[a-z])(\S+)(?=;)", lambda m: f"{m[1]} || v_data"),
    ("order", r"\(h\)\.data \|\| p_changes", "p_changes || (h).data"),
    ("constant", r"(?<![\w.$'])[0-9]+(?![\w.'])", lambda m: str(int(m[0]) + 1)),
    ("constant", r"\btrue\b", "false"),
    ("constant", r"\bfalse\b", "true"),
    ("identity", r"\bsession_user\b", "current_user"),
    ("identity", r"\bv_principals\b(?= *[;,)\n])", "ARRAY['']"),
    ("left out", r"^ *PERFORM store\.[^;]+;", "NULL;"),
    ("left out", r"^REVOKE [^;]+;", ""),
    ("left out", r"\bFOR (?:UPDATE|SHARE|KEY SHARE)(?= *;)", ""),
    ("left out", r" SET search_path = pg_catalog, store, pg_temp", ""),
    ("row security", r"(?<=USING )\(.+\)(?=;)", "(true)"),
    ("row security", r"(?<=store\.%I )ENABLE(?= ROW)", "DISABLE"),
    ("row security", r"(?<=store\.%I )FORCE(?= ROW)", "NO FORCE"),
    ("row security", r"(?<=store\.%I TO )store_owner(?= USING)", "PUBLIC"),
    ("rights", r"(?<=\bPUBLIC), store_user, store_admin, store_engine(?=;)", ""),
    ("rights", r"(?<=^GRANT )SELECT(?= ON)", "SELECT, INSERT, UPDATE, DELETE"),
    ("rights", r"^        EXECUTE format\('REVOKE[^;]+;", "        NULL;"),
    ("rights", r"^    EXECUTE format\('REVOKE[^;]+;", "    NULL;"),
    ("rights", r"(?<=store_)user(?=', 'USAGE'\))", "admin"),
]
_IN_STRINGS = ("row security", "rights")
_CONJUNCT_END = re.compile(
    r"\b(?:AND|OR|ORDER|GROUP|LIMIT|FOR|RETURNING|UNION|THEN|ELSE|END|LEFT|CROSS|JOIN|LOOP|WINDOW|AS|WHEN)\b|;|\$\$"
)


def _blanked(match: re.Match[str]) -> str:
    return re.sub(r"[^\n']", "_", match[0]) if match[0].startswith("'") else re.sub(r"[^\n]", " ", match[0])


def _sql_seeds(text: str) -> Iterator[Seed]:
    code = re.sub(r"--[^\n]*|'[^'\n]*'", lambda m: _blanked(m) if m[0].startswith("--") else m[0], text)
    bare = re.sub(r"'[^'\n]*'", _blanked, code)
    for rule, pattern, new in _SQL_WORDS:
        for match in re.finditer(pattern, code if rule in _IN_STRINGS else bare, re.MULTILINE):
            yield rule, match.start(), match.end(), new if isinstance(new, str) else match.expand(new(match))
    for match in re.finditer(r"(?:\bAND|\bWHERE) (?!CASE)", bare):
        end = _conjunct(bare, match.end())
        if match[0].startswith("AND") and re.search(r"BETWEEN [\w.]+ $", bare[: match.start()]):
            continue
        yield "condition", match.start(), end, "" if match[0].startswith("AND") else "WHERE true "


def _conjunct(code: str, start: int) -> int:
    """Return where the condition that begins at a place ends."""
    depth, place = 0, start
    while place < len(code):
        character = code[place]
        if character == ")" and depth == 0:
            break
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and place > start and (found := _CONJUNCT_END.match(code, place)) and found.start() == place:
            break
        place += 1
    return place


# Python

_OPERATORS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
# What stands in the texts that an emitter writes, in whichever language.
_FORMS: list[tuple[str, str]] = [
    (r"(?<= )<=(?= )", "<"),
    (r"(?<= )>=(?= )", ">"),
    (r"(?<= )<(?= )", "<="),
    (r"(?<= )>(?= )", ">="),
    (r"(?<= )==(?= )", "!="),
    (r"(?<= )!=(?= )", "=="),
    (r"(?<= )<>(?= )", "="),
    (r"(?<= )=(?= )", "<>"),
    (r"(?<= )\+(?= )", "-"),
    (r"(?<= )-(?= )", "+"),
    (r"(?<= )\*(?= )", "/"),
    (r"(?<= )/(?= )", "*"),
    (r"&&", "||"),
    (r"\|\|(?! ' )", "&&"),
    (r"\bAND\b", "OR"),
    (r"\bOR\b", "AND"),
    (r"(?<=\()NOT ", ""),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bis None\b", "is not None"),
    (r"\bisEmpty\b", "isNotEmpty"),
    (r"(?<![!\w])isNull\b", "!isNull"),
    (r"!isNull\b", "isNull"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"\bTrue\b", "False"),
    (r"\bFalse\b", "True"),
    (r"(?<![\w.{\[-])[0-9]+\.[0-9]+(?![\w.}])", "1.5"),
    (r"(?<![\w.{\[])[0-9]+(?![\w.}\]])", "7"),
    (r"\{0\}", "{1}"),
    (r"\{1\}", "{0}"),
    (r"\bmin\b(?=\()", "max"),
    (r"\bLEAST\b", "GREATEST"),
    (r"\b(?:FLOOR|CEIL)\b", "ROUND"),
    (r"\b(?:floor|ceil|ceiling|rint)\b(?=\()", "round"),
    (r"NULLIF\(\{1\}, 0\)", "{1}"),
    (r"->toFloat\(\)", ""),
    (r"HALF_UP", "HALF_EVEN"),
    (r'COLLATE "C"', ""),
]


class _PythonSeeds(ast.NodeVisitor):
    """Gathers the seeds of a module."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = text.splitlines(keepends=True)
        self.found: list[Seed] = []
        self.visit(ast.parse(text))

    def _place(self, line: int, column: int) -> int:
        # Columns are counted in bytes.
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def _span(self, node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def _add(self, rule: str, start: int, end: int, new: str) -> None:
        self.found.append((rule, start, end, new))

    def _nothing(self, node: ast.AST) -> None:
        """Leave a node as it is."""

    visit_Raise = visit_Assert = visit_Import = visit_ImportFrom = _nothing

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._body(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._body(node.body)

    def visit_Module(self, node: ast.Module) -> None:
        self._body(node.body)

    def _body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not (isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"):
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for place, operator in enumerate(node.ops):
            old, new = _OPERATORS[type(operator)]
            begin, end = self._span(operands[place])[1], self._span(operands[place + 1])[0]
            found = self._text.find(old, begin, end)
            if found >= 0:
                self._add("comparison", found, found + len(old), new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            end, start = self._span(left)[1], self._span(right)[0]
            found = self._text.find(f"{old} ", end, start)
            if found >= 0:
                self._add("and/or", found, found + len(old), new)
        neutral = "True" if old == "and" else "False"
        for value in node.values:
            self._add("condition", *self._span(value), neutral)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            start = self._span(node)[0]
            self._add("negation", start, self._span(node.operand)[0], "(" * self._opened(node))
        self.generic_visit(node)

    def _opened(self, node: ast.UnaryOp) -> int:
        return self._text[self._span(node)[0] : self._span(node.operand)[0]].count("(")

    def visit_If(self, node: ast.If) -> None:
        for new in ("True", "False"):
            self._add("condition", *self._span(node.test), new)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        for new in ("True", "False"):
            self._add("condition", *self._span(node.test), new)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "strict":
            self.visit(node.value)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        if any(isinstance(element, ast.Starred) for element in node.elts):
            self._without_one(node.elts)
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        self._without_one(node.elts)

    def _without_one(self, elements: list[ast.expr]) -> None:
        for element in elements:
            start, end = self._span(element)
            comma = re.compile(r",? ?").match(self._text, end)
            assert comma is not None
            self._add("left out", start, comma.end(), "")

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add("constant", *self._span(node), str(not value))
        elif isinstance(value, int):
            self._add("constant", *self._span(node), str(value + 1))
        elif isinstance(value, float):
            self._add("constant", *self._span(node), repr(value + 1.0))
        elif isinstance(value, str):
            self._form(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._form(node)

    def _form(self, node: ast.expr) -> None:
        start, end = self._span(node)
        for pattern, new in _FORMS:
            for match in re.finditer(pattern, self._text[start:end]):
                self._add("form", start + match.start(), start + match.end(), new)
