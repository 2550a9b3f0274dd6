"""A graph as text: a value's parts as a tree, and the whole as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from reactive.errors import ReactiveError, shown
from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.graph.cells import Cell, ExpressionCell, FieldCell, FunctionCell, GroupCell, Node

if TYPE_CHECKING:
    from reactive.graph.core import ReactiveGraph

__all__ = ["explain", "infix", "to_mermaid"]

# Of an explanation: a person reads no more.
_MAX_LEVELS = 50
_MAX_PARTS = 100
_MAX_LENGTH = 200


def infix(expr: Expr) -> str:
    """Return an expression as a person writes it.

    Example:
        >>> infix((Field("price") - Field("cost")) * 2)
        '(price - cost) * 2'
    """
    return _bare(expr, _infix(expr))


def _bare(expr: Expr, text: str) -> str:
    return text[1:-1] if isinstance(expr, BinOp) else text


def _short(expr: Expr) -> str:
    text = infix(expr)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def _infix(expr: Expr) -> str:
    operands = [_infix(child) for child in expr.children]
    if isinstance(expr, Field):
        return expr.name
    if isinstance(expr, Const):
        return shown(expr.value)
    if isinstance(expr, BinOp):
        return f"({operands[0]} {expr.op} {operands[1]})"
    if isinstance(expr, UnaryOp) and expr.op != "abs":
        return f"{'-' if expr.op == 'neg' else '~'}{operands[0]}"
    name = expr.name if isinstance(expr, Func) else expr.op if isinstance(expr, (UnaryOp, StrOp)) else ""
    if not name:
        name = {If: "if", Coalesce: "coalesce", IsNull: "is_null"}[type(expr)]
    return f"{name}({', '.join(map(_bare, expr.children, operands))})"


def explain(graph: ReactiveGraph, cell: Cell) -> str:
    """Return how a value comes about; see `ReactiveGraph.explain`."""
    return "\n".join(_tree(_Explanation(graph).of_cell(cell, 0)))


# A part: its line, and its own parts.
_Part = tuple[str, list[Any]]


def _tree(part: _Part, first: str = "", rest: str = "") -> Iterator[str]:
    line, parts = part
    yield f"{first}{line}"
    for place, each in enumerate(parts):
        last = place == len(parts) - 1
        yield from _tree(each, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


class _Explanation:
    """The parts of a value, each value in full where it is met first."""

    def __init__(self, graph: ReactiveGraph) -> None:
        self._graph = graph
        self._shown: set[Cell] = set()

    def of_cell(self, cell: Cell, level: int) -> _Part:
        try:
            value = shown(self._graph._read(cell), 60)
        except ReactiveError as error:
            value = f"{type(error).__name__}: {error}"
        line = f"{cell.label} = {value}"
        if cell in self._shown and not isinstance(cell, FieldCell):
            return f"{line}  (as above)", []
        self._shown.add(cell)
        if isinstance(cell, ExpressionCell) and cell.expr is not None:
            return f"{line}  [{_short(cell.expr)}]", self._operands(cell, cell.expr, level)
        if isinstance(cell, GroupCell):
            line = f"{line}  [{cell.reduction_name} of {cell.of} over {len(cell.members)} nodes]"
            return line, self._cells(list(cell.members.values()), level)
        if isinstance(cell, FunctionCell):
            return f"{line}  [function]", self._cells(list(cell.reads), level)
        return line, []

    def _cells(self, cells: list[Cell], level: int) -> list[_Part]:
        if level >= _MAX_LEVELS:
            return [("...", [])] if cells else []
        parts = [self.of_cell(cell, level + 1) for cell in cells[:_MAX_PARTS]]
        if len(cells) > _MAX_PARTS:
            parts.append((f"... and {len(cells) - _MAX_PARTS:,} more", []))
        return parts

    def _operands(self, cell: ExpressionCell, expr: Expr, level: int) -> list[_Part]:
        operands = [expr] if isinstance(expr, (Field, Const)) else expr.children
        if level >= _MAX_LEVELS:
            return [("...", [])]
        parts: list[_Part] = []
        for operand in operands:
            inner = cell.node.cells.get(operand.name) if isinstance(operand, Field) else None
            if isinstance(inner, ExpressionCell):
                parts.append(self.of_cell(inner, level + 1))
            elif isinstance(operand, Field):
                parts.append((f"{operand.name} = {shown(cell.node.values[operand.name], 60)}", []))
            elif not isinstance(operand, Const):
                try:
                    value = shown(operand.eval(cell.node.values), 60)
                except ReactiveError as error:
                    value = f"{type(error).__name__}: {error}"
                parts.append((f"{_short(operand)} = {value}", self._operands(cell, operand, level + 1)))
        return parts


def to_mermaid(nodes: Iterable[Node], results: Iterable[Cell]) -> str:
    """Return a graph as a Mermaid flowchart; see `ReactiveGraph.to_mermaid`."""
    lines = ["flowchart LR"]
    edges: list[tuple[Any, Any]] = []
    names: dict[Any, str] = {}

    def name_of(key: Any) -> str:
        return names.setdefault(key, f"v{len(names)}")

    for node in nodes:
        lines.append(f'    subgraph {name_of(node)}["{_escaped(node.id)}"]')
        computed = [cell for cell in node.cells.values() if isinstance(cell, ExpressionCell)]
        read = {field for cell in computed if cell.expr is not None for field in cell.expr.fields()}
        read |= {name for name, cell in node.cells.items() if cell.dependents or cell.groups or cell.watched}
        for field in node.fields:
            if field in read and not isinstance(node.cells.get(field), ExpressionCell):
                lines.append(f'        {name_of((node, field))}(["{_escaped(field)}"])')
        for cell in computed:
            assert cell.expr is not None
            lines.append(
                f'        {name_of((node, cell.name))}["{_escaped(cell.name)}<br>{_escaped(_short(cell.expr))}"]'
            )
            edges += [((node, field), (node, cell.name)) for field in sorted(cell.expr.fields())]
        lines.append("    end")
    for result in results:
        if isinstance(result, GroupCell):
            detail = _escaped(f"{result.reduction_name} of {result.of}")
            lines.append(f'    {name_of(result)}{{{{"{_escaped(result.label)}<br>{detail}"}}}}')
            edges += [(_key(member), result) for member in result.members.values()]
        elif isinstance(result, FunctionCell):
            lines.append(f'    {name_of(result)}[/"{_escaped(result.label)}"/]')
            edges += [(_key(source), result) for source in result.reads]
    return "\n".join([*lines, *(f"    {name_of(source)} --> {name_of(target)}" for source, target in edges)])


def _key(cell: Cell) -> Any:
    node, name = getattr(cell, "node", None), getattr(cell, "name", None)
    return cell if node is None else (node, name)


def _escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in " _.,-+*/()=!~" else f"#{ord(char)};" for char in text)
