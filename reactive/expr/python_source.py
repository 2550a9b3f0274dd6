"""Python source from expressions: tests of what may be null, then arithmetic on locals.

Each value is written as an expression that holds once its guards, tests for null in the order in which they must be
made, have all been found false. Operations on values gather the guards of their operands, so that a whole tree of
arithmetic is one line of tests and one of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reactive.expr.base import Expr
from reactive.expr.inference import ARITHMETIC, COMPARISONS, Inference
from reactive.expr.kinds import EXACT_BELOW, EXP_LIMIT, NUMERIC
from reactive.expr.nodes import BinOp, Coalesce, Const, Field, Func, If, IsNull, StrOp, UnaryOp

__all__ = ["Emitter"]

# Kinds whose values may come in their JSON form, and the Python type that they have otherwise.
_COERCED = {"date": "date", "datetime": "datetime", "decimal": "Decimal"}


@dataclass
class _Code:
    """The code of a value.

    Attributes:
        text: An expression that is not null once every guard has been found false.
        guards: Expressions to be tested in order; if one is true, the value is null.
        is_float: Whether the text is certainly a float.
        unchecked: Whether the text may be infinite or NaN. Sums and products stay so once they are, so that one check
            at the end of a chain of them does.
        is_name: Whether the text is a local name or constant, which may stand more than once.
        from_row: Whether the text is the name of a field that may hold a NaN, which counts as null.
        infinite: Whether the text may be an infinity that came with the row.
    """

    text: str
    guards: tuple[str, ...] = ()
    is_float: bool = False
    unchecked: bool = False
    is_name: bool = False
    from_row: bool = False
    infinite: bool = False


class Emitter:
    """Writes the source of the function of one expression."""

    def __init__(self, inference: Inference, functions: Mapping[int, Callable[[Any], Any]]) -> None:
        """Know the kinds of nodes, and the functions of those that have one of their own, by id."""
        self._inference = inference
        self._functions = functions
        self._fields: dict[str, str] = {}
        self._arguments: dict[str, Any] = {}
        self._locals = 0
        self._counts = {"n": 0, "c": 0, "k": 0}

    def function(self, expr: Expr) -> tuple[str, list[Any]]:
        """Return the source of a factory of the function, and the arguments for it."""
        code = self.emit(expr, None, root=True)
        # By subscript, which is twice as fast as get(); a missing key raises, and that row is computed again.
        lines = [f"f{name[1:]} = row[{name}]" for name in self._fields.values()]
        if code.from_row:
            code = self._checked(code)
        if code.guards:
            lines += [f"if {' or '.join(code.guards)}:", "    return None"]
        if code.is_float:
            # Numbers of NumPy's own, which may be of fewer digits, stay such, and so do complex ones and spans of time.
            value = "r if r - r == 0.0 else None" if code.unchecked else "r"
            lines += [f"r = {code.text}", "if type(r) is float:", f"    return {value}", "return interpret_(row)"]
        elif self._inference.kind(expr) in (None, "str", "int"):
            # What may be as the row has it: a member of an Enum, say.
            lines += [f"r = {code.text}", "return r if type(r) in PLAIN else plain(r)"]
        else:
            lines += [f"return {code.text}"]
        source = [
            f"def bind({', '.join([*self._arguments, 'interpret_'])}):",
            "    def evaluate(row):",
            "        if type(row) is not dict:",
            "            return interpret_(row)",
            "        try:",
            *(f"            {line}" for line in lines),
            "        except ERRORS:",
            "            return interpret_(row)",
            "    return evaluate",
        ]
        return "\n".join(source), list(self._arguments.values())

    # How values are built of values.

    def _new(self) -> str:
        self._locals += 1
        return f"t{self._locals}"

    def _argument(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{self._counts[prefix]}"
        self._counts[prefix] += 1
        self._arguments[name] = value
        return name

    def _checked(self, code: _Code) -> _Code:
        """Return a value that is finite, or null; an infinity that came with the row stays."""
        if code.from_row:
            return replace(code, guards=(*code.guards, f"{code.text} != {code.text}"), from_row=False)
        if not code.unchecked:
            return code
        local = self._new()
        # Infinity minus itself, and NaN minus itself, are NaN: cheaper than a call of isfinite, or two comparisons.
        guard = f"({local} := {code.text}) - {local} != 0.0"
        return _Code(local, (*code.guards, guard), code.is_float, is_name=True)

    def _named(self, code: _Code, always_false: str = "is None") -> _Code:
        """Return a finite value that is a name, so that it may stand more than once."""
        code = self._checked(code)
        if code.is_name:
            return code
        local = self._new()
        guard = f"({local} := {code.text}) {always_false}"
        return _Code(local, (*code.guards, guard), code.is_float, is_name=True, infinite=code.infinite)

    def _nullable(self, code: _Code) -> str:
        """Return an expression that is None where the value is null."""
        code = self._checked(code)
        if code.is_name and code.guards == (f"{code.text} is None",):
            return code.text
        return f"(None if {' or '.join(code.guards)} else {code.text})" if code.guards else code.text

    def _float(self, code: _Code) -> _Code:
        """Return a number as a double."""
        if code.is_float:
            return code
        # Exact for every double, a quarter of the time of float(), and an error for what is not a number.
        return replace(code, text=f"({code.text} * 1.0)", is_float=True, is_name=False)

    @staticmethod
    def _guards(codes: Sequence[_Code]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(guard for code in codes for guard in code.guards))

    def _from_nullable(self, text: str, is_float: bool, infinite: bool = False) -> _Code:
        local = self._new()
        return _Code(local, (f"({local} := {text}) is None",), is_float, is_name=True, infinite=infinite)

    # Nodes.

    def emit(self, node: Expr, want: str | None, root: bool = False) -> _Code:
        """Return the code of a node whose place asks for a kind of value."""
        function = None if root else self._functions.get(id(node))
        if function is not None:
            return self._from_nullable(f"{self._argument('k', function)}(row)", False, infinite=True)
        if isinstance(node, Field):
            return self._field(node, want)
        if isinstance(node, Const):
            return self._const(node, want)
        if isinstance(node, If):
            return self._if(node, want)
        if isinstance(node, Coalesce):
            return self._coalesce(node, want)
        if isinstance(node, IsNull):
            guards = self._checked(self.emit(node.operand, None)).guards
            return _Code(f"(True if {' or '.join(guards)} else False)" if guards else "False")
        if isinstance(node, StrOp):
            return self._string(node, want)
        if isinstance(node, Func):
            return self._function(node)
        if isinstance(node, UnaryOp):
            return self._unary(node)
        assert isinstance(node, BinOp)
        if node.op in ARITHMETIC:
            return self._arithmetic(node)
        return self._comparison(node) if node.op in COMPARISONS else self._logical(node)

    def _field(self, node: Field, want: str | None) -> _Code:
        if node.name not in self._fields:
            self._fields[node.name] = self._argument("n", node.name)
        local = f"f{self._fields[node.name][1:]}"
        kind = self._inference.kind(node)
        guards: tuple[str, ...] = (f"{local} is None",)
        if (kind or want) == "bool":
            return _Code(f"({local} if {local} is True or {local} is False else boolean({local}))", guards)
        if (kind or want) == "decimal":
            guards = (*guards, f"{local} != {local}")
        if kind == "decimal" and want == "float":
            return _Code(f"float({local})", guards, True)
        if (kind or want) in _COERCED:
            name, type_name = kind or want, _COERCED[kind or want or ""]
            return _Code(f"({local} if type({local}) is {type_name} else coerce({local}, '{name}'))", guards)
        may_be_odd = kind == "float" or (kind is None and want in (None, "float", "int", "json"))
        return _Code(local, guards, is_name=True, from_row=may_be_odd, infinite=may_be_odd)

    def _const(self, node: Const, want: str | None) -> _Code:
        value = node.value
        if want == "float" and value is not None:
            try:
                value = float(value)
            except OverflowError:
                value = None
        if value is None or value is True or value is False:
            return _Code("None", ("True",)) if value is None else _Code(repr(value), is_name=True)
        return _Code(self._argument("c", value), is_float=type(value) is float, is_name=True)

    def _arithmetic(self, node: BinOp) -> _Code:
        left, right = (self.emit(operand, "float") for operand in node.children)
        if node.op == "**":
            left, right = self._checked(left), self._checked(right)
            local = self._new()
            guard = f"({local} := power({left.text}, {right.text})) is None"
            return _Code(local, (*self._guards((left, right)), guard), True, is_name=True)
        # A NaN is found where the result is checked.
        left, right = replace(left, from_row=False), replace(right, from_row=False)
        if node.op in ("/", "%"):
            constant = isinstance(node.right, Const) and node.right.value
            right = self._named(right, "== 0.0")
            if not constant and (right.guards == () or not right.guards[-1].endswith("== 0.0")):
                right.guards = (*right.guards, f"{right.text} == 0.0")
            if node.op == "%":
                left = self._named(self._float(left))
                text = f"({left.text} - {right.text} * ({left.text} / {right.text} // 1.0))"
                return _Code(text, self._guards((left, right)), True, True)
        # One double makes the result one; of two ints, it would be an int without bound.
        if not left.is_float and not right.is_float:
            left = self._float(left)
        return _Code(f"({left.text} {node.op} {right.text})", self._guards((left, right)), True, True)

    def _unary(self, node: UnaryOp) -> _Code:
        if node.op == "not":
            return self._logical(node)
        code = self.emit(node.operand, "float")
        text = f"(-{self._float(code).text})" if node.op == "neg" else f"abs({self._float(code).text})"
        return _Code(text, code.guards, True, code.unchecked or code.infinite)

    def _function(self, node: Func) -> _Code:
        if node.name in ("min", "max"):
            return self._extreme(node)
        operand = self._named(self._float(self._checked(self.emit(node.children[0], "float"))))
        x, guards, unchecked = operand.text, operand.guards, operand.infinite
        if node.name == "sqrt":
            return _Code(f"sqrt({x})", (*guards, f"{x} < 0.0"), True, unchecked)
        if node.name == "log":
            return _Code(f"log({x})", (*guards, f"{x} <= 0.0"), True, unchecked)
        if node.name == "exp":
            return _Code(f"exp({x})", (*guards, f"{x} > {EXP_LIMIT!r}"), True)
        if len(node.children) == 2:
            places = node.children[1]
            assert isinstance(places, Const)
            call = f"round_places({x}, {self._argument('c', places.value)})"
            if not unchecked:
                return _Code(call, guards, True)
            rounded = self._from_nullable(call, True)
            return replace(rounded, guards=(*guards, *rounded.guards))
        # Adding 0.0 turns -0.0 into 0.0. To round an infinity is an error, and that row computed again.
        text = {"floor": f"({x} // 1.0 + 0.0)", "ceil": f"(0.0 - -{x} // 1.0)", "round": f"(round({x}) + 0.0)"}
        return _Code(text[node.name], guards, True, unchecked)

    def _extreme(self, node: Func) -> _Code:
        best, *others = (self._named(self._checked(self.emit(operand, "float"))) for operand in node.children)
        sign = "<=" if node.name == "min" else ">="
        for other in others:
            best = self._named(best)
            best = _Code(
                f"({best.text} if {best.text} {sign} {other.text} else {other.text})",
                self._guards((best, other)),
                best.is_float and other.is_float,
                infinite=best.infinite or other.infinite,
            )
        best = self._float(best)
        return replace(best, unchecked=best.infinite, infinite=False)

    def _comparison(self, node: BinOp, *, null_is_false: bool = False) -> _Code:
        kind = self._inference.comparison(node)
        # Unless one of them is exact, numbers of which nothing is known compare in Python as they are.
        want = None if kind == "decimal" and "decimal" not in map(self._inference.kind, node.children) else kind
        left, right = (self.emit(operand, want) for operand in node.children)
        if null_is_false and node.op != "!=":
            # With a NaN every comparison but this one is false.
            left, right = replace(left, from_row=False), replace(right, from_row=False)
        left, right = self._checked(left), self._checked(right)
        if kind == "decimal" and want is None:
            left, right = self._named(left), self._named(right)
        if kind in ("json", "str") and node.op in ("==", "!="):
            return self._equality(node, kind, self._named(left), self._named(right))
        if kind == "float":
            constants = [operand.value for operand in node.children if isinstance(operand, Const)]
            if not any(value is not None and value == value // 1 and abs(value) < EXACT_BELOW for value in constants):
                # Python compares an int or a Decimal with a double digit by digit; as doubles, Decimal("0.1") is 0.1.
                kinds = map(self._inference.kind, node.children)
                codes = zip((left, right), kinds, strict=True)
                left, right = (code if known == "float" else self._float(code) for code, known in codes)
        text = f"{left.text} {node.op} {right.text}"
        if node.op in ("==", "!="):
            return self._equality(node, kind, left, right)
        if kind == "decimal" and want is None:
            # The double 0.1 is more than a tenth; of a Decimal and a double the interpreter compares the doubles.
            types = f"type({left.text}), type({right.text})"
            text = f"{text} if type({left.text}) is type({right.text}) or Decimal not in ({types}) else boolean(None)"
        return _Code(self._decided(text), self._guards((left, right)))

    def _decided(self, text: str) -> str:
        """Return a truth value of Python's own: NumPy's are another's, and may be of numbers with fewer digits."""
        local = self._new()
        return f"(({local} := {text}) is True or {local} is not False and boolean({local}))"

    def _equality(self, node: BinOp, kind: str, left: _Code, right: _Code) -> _Code:
        """Compare as Python does where that tells what is meant: members of an Enum, and True and 1, need more."""
        if kind == "json":
            test = f"type({left.text}) is type({right.text})"
        else:
            sides = zip(node.children, (left, right), strict=True)
            # Only what is as the row has it may be odd.
            names = [code.text for side, code in sides if not isinstance(side, (Const, StrOp)) and code.is_name]
            test = " and ".join(f"type({name}) {'is str' if kind == 'str' else 'in PLAIN'}" for name in names) or "True"
        usual, unusual = f"{left.text} {node.op} {right.text}", f"alike({left.text}, {right.text})"
        text = f"({usual} if {test} else {'not ' * (node.op == '!=')}{unusual})"
        return _Code(self._decided(text), self._guards((left, right)))

    def _logical(self, node: Expr) -> _Code:
        operands = [self._checked(self.emit(operand, "bool")) for operand in node.children]
        if all(not code.guards for code in operands):
            if isinstance(node, UnaryOp):
                return _Code(f"(not {operands[0].text})")
            word = "and" if isinstance(node, BinOp) and node.op == "&" else "or"
            return _Code(f"({operands[0].text} {word} {operands[1].text})")
        if isinstance(node, UnaryOp):
            return _Code(f"(not {operands[0].text})", operands[0].guards)
        assert isinstance(node, BinOp)
        decisive, other = ("False", "True") if node.op == "&" else ("True", "False")
        first, second = self._new(), self._new()
        left, right = (self._nullable(code) for code in operands)
        text = (
            f"({decisive} if ({first} := {left}) is {decisive} or ({second} := {right}) is {decisive} "
            f"else None if {first} is None or {second} is None else {other})"
        )
        return self._from_nullable(text, False)

    def _truth(self, node: Expr, value: bool = True) -> str:
        """Return an expression that is true where a condition has that value, and false where it has not or is null."""
        if id(node) not in self._functions:
            if isinstance(node, BinOp) and node.op in ("&", "|"):
                word = "and" if (node.op == "&") is value else "or"
                return f"({self._truth(node.left, value)} {word} {self._truth(node.right, value)})"
            if isinstance(node, UnaryOp) and node.op == "not":
                return self._truth(node.operand, not value)
        if isinstance(node, BinOp) and node.op in COMPARISONS and id(node) not in self._functions:
            code = self._comparison(node, null_is_false=value)
        else:
            code = self._checked(self.emit(node, "bool"))
        text = code.text if value else f"not {code.text}"
        return f"(not ({' or '.join(code.guards)}) and {text})" if code.guards else f"({text})"

    def _common(self, node: Expr, want: str | None) -> str | None:
        kind = self._inference.kind(node)
        return want if kind is None or (kind in NUMERIC and want in NUMERIC) else kind

    def _if(self, node: If, want: str | None) -> _Code:
        kind = self._common(node, want)
        condition = self._truth(node.condition)
        branches = [self._checked(self.emit(branch, kind)) for branch in (node.then, node.otherwise)]
        if kind == "float":
            branches = [self._float(branch) for branch in branches]
        then, otherwise = (self._nullable(branch) for branch in branches)
        is_float = all(branch.is_float for branch in branches)
        infinite = any(branch.infinite for branch in branches)
        text = f"({then} if {condition} else {otherwise})"
        if self._guards(branches):
            return self._from_nullable(text, is_float, infinite)
        return _Code(text, (), is_float, infinite=infinite)

    def _coalesce(self, node: Coalesce, want: str | None) -> _Code:
        kind = self._common(node, want)
        codes = [self._checked(self.emit(operand, kind)) for operand in node.children]
        if kind == "float":
            codes = [self._float(code) for code in codes]
        parts = []
        for code in codes[:-1]:
            local = self._new()
            parts.append(f"{local} if ({local} := {self._nullable(code)}) is not None else ")
        text = f"({''.join(parts)}{self._nullable(codes[-1])})"
        is_float, infinite = all(code.is_float for code in codes), any(code.infinite for code in codes)
        if codes[-1].guards:
            return self._from_nullable(text, is_float, infinite)
        return _Code(text, (), is_float, infinite=infinite)

    def _string(self, node: StrOp, want: str | None) -> _Code:
        codes = [self.emit(operand, "str") for operand in node.children]
        texts, guards = [code.text for code in codes], self._guards(codes)
        if node.op == "length":
            # Of a list, len would be a number as well; a string alone has this method.
            return _Code(f"len({texts[0]}.casefold and {texts[0]})", guards)
        forms = {
            "upper": "{0}.upper()",
            "lower": "{0}.lower()",
            "contains": "({0}.find({1}) >= 0)",
            "starts_with": "{0}.startswith({1})",
        }
        if node.op == "concat":
            return _Code(f"join(({', '.join(texts)},))", guards)
        return _Code(forms[node.op].format(*texts), guards)
