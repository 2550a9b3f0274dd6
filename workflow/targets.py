"""Names for functions: under which a new process finds a workflow again, and by which a step is known."""

from __future__ import annotations

import functools
import hashlib
import importlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from workflow.errors import TargetNotFound

__all__ = ["Target", "find", "forget", "step_name", "target_of", "unwrapped"]

LOCAL = "<local>"  # the module of what cannot be imported
_numbers = itertools.count(1)
_locals: dict[str, Callable[..., Any]] = {}


class Target(NamedTuple):
    """Where a workflow's function is found.

    Attributes:
        name: `module:qualname`; for what has no importable name, a text that is good in this process only.
        origin: The script whose `__main__` holds it, empty for any other module.
        importable: Whether a new process can find it.
    """

    name: str
    origin: str
    importable: bool


def target_of(fn: Callable[..., Any]) -> Target:
    """Return the name of a function; one that cannot be imported is kept under a name of this process."""
    module, qualname = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualname, str) and "<" not in qualname:
        found: Any = sys.modules.get(module)
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if found is not None and found == fn:
            return Target(f"{module}:{qualname}", _script() if module == "__main__" else "", True)
    name = f"{LOCAL}:{qualname or type(fn).__qualname__}#{next(_numbers)}"
    _locals[name] = fn
    return Target(name, "", False)


def forget(name: str) -> None:
    """Let go of a function that was kept under a name of this process."""
    _locals.pop(name, None)


def find(name: str, origin: str) -> Callable[..., Any]:
    """Return the function of a name.

    Raises:
        TargetNotFound: It is not there; the message says why.
    """
    if name.startswith(LOCAL):
        kept = _locals.get(name)
        if kept is not None:
            return kept
        raise _missing(name, "it is a lambda or a local function, and the process that held it is gone")
    module, _, qualname = name.partition(":")
    if module == "__main__" and origin != _script():
        raise _missing(name, f"it belongs to the script {origin}, and this one is {_script()}")
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module may end the program that imports it
        raise _missing(name, f"importing {module} failed: {type(error).__name__}: {error}") from error
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise _missing(name, f"{module} has no {qualname}") from None
    if not callable(found):
        raise _missing(name, f"it is a {type(found).__name__}, no function")
    made: Callable[..., Any] = found
    return made


def unwrapped(fn: Callable[..., Any]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return the function inside a `functools.partial`, and the arguments that it holds."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    while isinstance(fn, functools.partial):
        args, kwargs = (*fn.args, *args), {**fn.keywords, **kwargs}
        fn = fn.func
    return fn, args, kwargs


def step_name(fn: Callable[..., Any]) -> str:
    """Return the name of a step: the function's own, for a lambda with a digest of its code.

    Two lambdas that stand in the same function have the same name; the digest tells them apart when they change places.
    """
    fn = unwrapped(fn)[0]
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    code = getattr(fn, "__code__", None)
    if isinstance(code, CodeType) and code.co_name == "<lambda>":
        return f"{name}#{_digest(code)}"
    return name


def _digest(code: CodeType) -> str:
    """Return a digest of what code does, whatever line it stands in."""
    constants = [_digest(item) if isinstance(item, CodeType) else _stable(item) for item in code.co_consts]
    parts = (code.co_code.hex(), constants, code.co_names, code.co_freevars, code.co_varnames)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _stable(constant: Any) -> str:
    """Return the text of a constant, the same in every process: a set of strings has no order of its own."""
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)


def _script() -> str:
    """Return what tells one `__main__` from another: the module's name after `python -m`, else the script's."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).name if isinstance(file, str) else "<interactive>"


def _missing(name: str, reason: str) -> TargetNotFound:
    return TargetNotFound(f"the workflow's function {name} cannot be found: {reason}", target=name)
