"""One edge of a lifecycle: its states, its conditions and its side effects."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from store.errors import StateMachineError, shown
from store.scalars import ValueRefused, require_text

__all__ = ["Guard", "Hook", "Transition", "listed", "state_problem"]

_LONGEST_NAME = 255  # bytes; what the database takes for the name of a state

Hook = Callable[[Any, str, str], Any]

_SIDES = ("obj", "from_state", "to_state")
_ARGUMENTS = {"action": _SIDES, "on_exit": _SIDES, "on_enter": _SIDES, "start_workflow": ("entity_id",)}


@runtime_checkable
class Guard(Protocol):
    """What a guard must offer; the expressions of `reactive.expr` do."""

    def eval(self, ctx: Any) -> Any:
        """Return the value for an object or a mapping of fields."""

    def fields(self) -> Iterable[str]:
        """Return the names of the fields that the expression reads."""


@dataclass(frozen=True, eq=False)
class Transition:
    """One edge of a lifecycle, with everything that belongs to it.

    Attributes:
        from_state: The state that the edge leaves.
        to_state: The state that it enters.
        guard: Expression over the object's data that must be true.
        action: Tier 1, `(obj, from_state, to_state)`: inside the transaction; an exception rolls everything back.
        on_exit: Tier 2, the same arguments: after the commit, best effort, before `on_enter`.
        on_enter: Tier 2, the same arguments: after the commit, best effort.
        start_workflow: Tier 3: a module-level function of the entity id, run durably by the workflow engine.
        allowed_by: Users and groups that may take the edge, None for everybody who may write.

    Raises:
        StateMachineError: An argument is not what it must be.

    Example:
        >>> Transition("PENDING", "CANCELLED", allowed_by=["risk_manager"])
        Transition('PENDING', 'CANCELLED')
    """

    from_state: str
    to_state: str
    guard: Guard | None = None
    action: Hook | None = None
    on_exit: Hook | None = None
    on_enter: Hook | None = None
    start_workflow: Callable[..., Any] | None = None
    allowed_by: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the arguments one by one; the machine checks how edges fit together."""
        problems: list[str] = []
        for name in ("from_state", "to_state"):
            problem = state_problem(getattr(self, name))
            if problem is not None:
                problems.append(f"{name}: {problem}")
        if self.guard is not None and (isinstance(self.guard, type) or not isinstance(self.guard, Guard)):
            hint = "write it with Field and Const of reactive.expr, such as Field('quantity') > Const(0)"
            problems.append(f"guard: expected an expression, found {shown(self.guard)}; {hint}")
        for name, arguments in _ARGUMENTS.items():
            hook = getattr(self, name)
            if hook is None:
                continue
            if not callable(hook):
                problems.append(f"{name}: expected a function, found {shown(hook)}")
            elif name != "start_workflow" and _is_async(hook):
                hint = "a transition does not wait for coroutines; start_workflow takes an async function"
                problems.append(f"{name}: expected a plain function, found an async one, {shown(hook)}; {hint}")
            elif not _takes(hook, len(arguments)):
                problems.append(f"{name}: expected a function of ({', '.join(arguments)}), found {shown(hook)}")
        if self.start_workflow is not None and callable(self.start_workflow):
            problems += _import_problems(self.start_workflow)
        if self.allowed_by is not None:
            users = self.allowed_by
            if isinstance(users, (str, bytes)) or not isinstance(users, Iterable):
                problems.append(f"allowed_by: expected a list of user names, found {shown(users)}; write [{users!r}]")
            else:
                object.__setattr__(self, "allowed_by", tuple(users))
                if not self.allowed_by or not all(_is_name(user) for user in self.allowed_by):
                    problems.append(f"allowed_by: expected at least one user name, found {shown(users)}")
        if problems:
            edge = f"{self.from_state} -> {self.to_state}"
            raise StateMachineError(listed(f"transition {edge}", problems), problems=problems)

    def __repr__(self) -> str:
        """Return the edge alone; hooks and guards make no short text."""
        return f"Transition({self.from_state!r}, {self.to_state!r})"

    def permits(self, user: str, groups: Collection[str] = ()) -> bool:
        """Return whether a user who is a member of some groups may take the edge as far as `allowed_by` goes."""
        return self.allowed_by is None or user in self.allowed_by or not set(self.allowed_by).isdisjoint(groups)


def state_problem(state: object) -> str | None:
    """Return why a value cannot name a state, None when it can."""
    if not _is_name(state):
        return f"expected the name of a state, found {shown(state)}"
    length = len(str(state).encode())
    return f"expected at most {_LONGEST_NAME} bytes, found {length}: {shown(state)}" if length > _LONGEST_NAME else None


def _is_name(value: object) -> bool:
    """Return whether a value is text that the database can hold, and not blank."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        require_text(value)
    except ValueRefused:
        return False
    return True


def _is_async(hook: object) -> bool:
    called = getattr(hook, "__call__", None)  # noqa: B004 - an object may have an async __call__
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(called)


def _takes(hook: Callable[..., Any], arguments: int) -> bool:
    """Return whether a function can be called with so many arguments, as far as it tells what it takes."""
    try:
        # Of the function that is called: a decorator may give the one it wraps more than it takes itself.
        signature = inspect.signature(hook, follow_wrapped=False)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True


def _import_problems(target: Callable[..., Any]) -> list[str]:
    """Return why a workflow could not be found again by name in a new process, nothing when it could."""
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    hint = "write a function with def at the top level of a module"
    if not isinstance(module, str) or not isinstance(name, str):
        return [f"start_workflow: {shown(target)} has no module and name; {hint}"]
    if "<" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "local to a function"
        return [f"start_workflow: {name} is {kind} and cannot be imported after a restart; {hint}"]
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not target:
        return [f"start_workflow: {module}.{name} is not what importing that name gives; {hint}"]
    return []


def listed(what: str, problems: Sequence[str]) -> str:
    """Return one message for one problem or several."""
    if len(problems) == 1:
        return f"{what}: {problems[0]}"
    return f"{what}: {len(problems)} problems" + "".join(f"\n  - {problem}" for problem in problems)
