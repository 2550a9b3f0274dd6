"""A graph as text: a value's parts as a tree, and the whole as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from reactive.errors import ReactiveError, shown
from reactive.expr import BinOp, Coalesce, Const, Expr, Field, Func, If, IsNull, StrOp, UnaryOp
from reactive.graph.cells import Cell, ExpressionCell, FunctionCell, GroupCell, Node

if TYPE_CHECKING:
    from reactive.graph.core import ReactiveGraph

__all__ = ["explain", "infix", "to_mermaid"]


def infix(expr: Expr) -> str:
    """Return an expression as a person writes it.

    Example:
        >>> infix((Field("price") - Field("cost")) * 2)
        '(price - cost) * 2'
    """
    text = _infix(expr)
    return text[1:-1] if isinstance(expr, BinOp) else text


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
    return f"{name}({', '.join(infix(child) for child in expr.children)})"


def explain(graph: ReactiveGraph, cell: Cell) -> str:
    """Return how a value comes about; see `ReactiveGraph.explain`."""
    return "\n".join(_tree(_of_cell(graph, cell)))


# A part: its line, and its own parts.
_Part = tuple[str, list[Any]]


def _tree(part: _Part, first: str = "", rest: str = "") -> Iterator[str]:
    line, parts = part
    yield f"{first}{line}"
    for place, each in enumerate(parts):
        last = place == len(parts) - 1
        yield from _tree(each, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _value_of(graph: ReactiveGraph, cell: Cell) -> str:
    try:
        return shown(graph._read(cell), 60)
    except ReactiveError as error:
        return f"{type(error).__name__}: {error}"


def _of_cell(graph: ReactiveGraph, cell: Cell) -> _Part:
    value = _value_of(graph, cell)
    if isinstance(cell, ExpressionCell) and cell.expr is not None:
        return f"{cell.label} = {value}  [{infix(cell.expr)}]", _of_operands(graph, cell, cell.expr)
    if isinstance(cell, GroupCell):
        line = f"{cell.label} = {value}  [{cell.reduction_name} of {cell.of} over {len(cell.members)} nodes]"
        return line, [_of_cell(graph, member) for member in cell.members.values()]
    if isinstance(cell, FunctionCell):
        return f"{cell.label} = {value}  [function]", [_of_cell(graph, each) for each in cell.reads]
    return f"{cell.label} = {value}", []


def _of_operands(graph: ReactiveGraph, cell: ExpressionCell, expr: Expr) -> list[_Part]:
    parts: list[_Part] = []
    for child in [expr] if isinstance(expr, (Field, Const)) else expr.children:
        inner = cell.node.cells.get(child.name) if isinstance(child, Field) else None
        if isinstance(inner, ExpressionCell):
            parts.append(_of_cell(graph, inner))
        elif isinstance(child, Field):
            parts.append((f"{child.name} = {shown(cell.node.values[child.name], 60)}", []))
        elif not isinstance(child, Const):
            try:
                value = shown(child.eval(cell.node.values), 60)
            except ReactiveError as error:
                value = f"{type(error).__name__}: {error}"
            parts.append((f"{infix(child)} = {value}", _of_operands(graph, cell, child)))
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
                f'        {name_of((node, cell.name))}["{_escaped(cell.name)}<br>{_escaped(infix(cell.expr))}"]'
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
