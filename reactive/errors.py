"""Every error that expressions and the reactive graph raise, in one tree under `ReactiveError`.

Each error is also the builtin that a caller would expect. The message says what, where, which value and what to do; the
same facts are attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "ComputationError",
    "CycleError",
    "ExpressionError",
    "ExpressionTypeError",
    "GraphError",
    "MalformedExpression",
    "NumpyMissing",
    "ReactiveError",
    "UnknownFieldError",
    "UnknownNodeError",
    "UnsupportedNode",
    "did_you_mean",
    "shown",
]


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return ` (did you mean 'price'?)`, or an empty string when no known name is close.

    Example:
        >>> did_you_mean("pirce", ["price", "quantity"])
        " (did you mean 'price'?)"
    """
    from difflib import get_close_matches  # here: only an error needs it

    close = get_close_matches(str(name), [str(each) for each in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: object, limit: int = 120) -> str:
    """Return a value's repr, cut to `limit` characters; of what has none, such as a huge int, its class."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__} without a repr>"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


class ReactiveError(Exception):
    """The base of every error of this package."""


class NumpyMissing(ReactiveError, ImportError):
    """A call over whole columns, which need NumPy; the rest of the expressions does without."""


class ExpressionError(ReactiveError, ValueError):
    """An expression that cannot be built, compiled or computed.

    Attributes:
        node: The node at fault, or None when there is none yet.
    """

    def __init__(self, message: str, node: Any = None) -> None:
        """Keep the node beside the message."""
        super().__init__(message)
        self.node = node


class ExpressionTypeError(ExpressionError, TypeError):
    """A node whose operands are of kinds that it does not take, such as a number added to a string."""


class UnknownFieldError(ExpressionError, LookupError):
    """A field that the class or object does not have.

    Attributes:
        name: The name that was asked for.
        known: The names that there are.
    """

    def __init__(self, name: str, where: str, known: Iterable[str], node: Any = None) -> None:
        """Build the message: the name, where it was looked for, the nearest name, and all of them."""
        self.name = name
        self.known = tuple(known)
        has = f"; it has {', '.join(self.known)}" if self.known else ""
        super().__init__(f"{where} has no field {name!r}{did_you_mean(name, self.known)}{has}", node)


class UnsupportedNode(ExpressionError, TypeError):
    """A node that a target has no form for.

    Attributes:
        target: The name of the target, such as "deephaven".
    """

    def __init__(self, target: str, node: Any, why: str) -> None:
        """Build the message: the node, the target and the reason."""
        super().__init__(f"{shown(node)} has no form in {target}: {why}", node)
        self.target = target


class MalformedExpression(ExpressionError):
    """A text that is not an expression as `to_json` writes it.

    Attributes:
        path: Where in the document, such as `expr.args[1]`.
    """

    def __init__(self, message: str, path: str = "") -> None:
        """Name the place before the reason."""
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class GraphError(ReactiveError, ValueError):
    """A call on a reactive graph that cannot be carried out."""


class UnknownNodeError(GraphError, LookupError):
    """A node, computed, group or effect that the graph does not hold.

    Attributes:
        name: What was asked for.
        known: What there is.
    """

    def __init__(self, what: str, name: object, known: Iterable[object]) -> None:
        """Build the message: what was asked for, the nearest name, and what there is."""
        self.name = name
        self.known = tuple(known)
        few = ", ".join(repr(each) for each in self.known[:20]) or "none"
        more = ", ..." if len(self.known) > 20 else ""
        super().__init__(f"no {what} {name!r}{did_you_mean(name, self.known)}; there is {few}{more}")


class CycleError(GraphError):
    """A computed that would depend on itself.

    Attributes:
        path: The names along the cycle, the first repeated at the end.
    """

    def __init__(self, path: Iterable[object]) -> None:
        """Show the way around."""
        self.path = tuple(path)
        steps = [str(step) for step in self.path]
        if len(steps) > 12:
            steps[6:-5] = ["..."]
        super().__init__(f"cyclic dependency: {' -> '.join(steps)}")


class ComputationError(GraphError):
    """A value that cannot be read because computing it, or what it depends on, failed.

    The original error is the cause (`__cause__`). It clears when the inputs change to values that compute.

    Attributes:
        name: The computed that failed first, as `node.name`.
    """

    def __init__(self, name: str, error: BaseException) -> None:
        """Name the computed and the original error."""
        super().__init__(f"{name} failed: {type(error).__name__}: {error}")
        self.name = name
