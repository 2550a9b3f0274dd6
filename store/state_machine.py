"""Declarative lifecycles: states, the edges between them, who may take one and what happens then.

This module defines machines and answers what is allowed; `StoreClient.transition` carries transitions out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from store.errors import (
    GuardFailure,
    InvalidTransition,
    StateMachineError,
    TransitionNotPermitted,
    nearest_names,
    shown,
)
from store.transition import Guard, Transition, listed, state_problem

__all__ = [
    "AllowedTransitions",
    "Guard",
    "GuardFailure",
    "InvalidTransition",
    "StateMachine",
    "StateMachineError",
    "Transition",
    "TransitionNotPermitted",
    "check_attachment",
]


class AllowedTransitions(list[str]):
    """The states that can be entered now; equal to a plain list of them.

    Attributes:
        refused: Each other state of the machine, with the reason why not.
    """

    def __init__(self, targets: Iterable[str] = (), refused: Mapping[str, str] | None = None) -> None:
        super().__init__(targets)
        self.refused: dict[str, str] = dict(refused or {})


class StateMachine:
    """Base of the lifecycles. A subclass says where objects start and which edges there are.

    The definition is checked with the class: states that cannot be reached, duplicate edges, workflows that cannot be
    imported by name. A machine is used as the class itself; an instance does as well.

    Attributes:
        initial: State of a newly written object.
        transitions: The edges.
        states: All states, in the order of first mention; if declared, the list that edges must keep to.

    Raises:
        StateMachineError: The definition is not well formed; every fault is in `problems`.

    Example:
        >>> class Ticket(StateMachine):
        ...     initial = "OPEN"
        ...     transitions = [Transition("OPEN", "DONE")]
        >>> Ticket.allowed_transitions("OPEN")
        ['DONE']
    """

    initial: ClassVar[str]
    transitions: ClassVar[Sequence[Transition]] = ()
    states: ClassVar[Sequence[str]] = ()
    _edges: ClassVar[dict[tuple[str, str], Transition]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the definition and index the edges."""
        super().__init_subclass__(**kwargs)
        edges = _checked_edges(cls)
        declared = cls.__dict__.get("states")
        mentioned = [cls.initial, *(state for pair in edges for state in pair)]
        cls.states = tuple(declared) if declared is not None else tuple(dict.fromkeys(mentioned))
        cls.transitions = tuple(edges.values())
        cls._edges = edges

    @classmethod
    def edge(cls, from_state: str | None, to_state: str) -> Transition:
        """Return the edge between two states.

        Raises:
            InvalidTransition: There is none; `allowed` lists the states that can be entered from `from_state`.
        """
        named = isinstance(from_state, str) and isinstance(to_state, str)
        found = cls._edges.get((from_state, to_state)) if named else None  # type: ignore[arg-type]
        if found is None:
            raise InvalidTransition(
                f"{cls.__name__}: {cls._no_edge(from_state, to_state)}",
                machine=cls.__name__,
                from_state=from_state,
                to_state=to_state,
                allowed=cls._targets(from_state),
            )
        return found

    @classmethod
    def check_transition(
        cls, obj: Any, to_state: str, user: str | None = None, groups: Collection[str] = ()
    ) -> Transition:
        """Return the edge that takes an object to a state, after all checks: edge, then `allowed_by`, then guard.

        Args:
            obj: A stored object; its `state` is where the edge starts, its data is what the guard reads.
            to_state: The state to enter.
            user: Who asks; None skips the check of `allowed_by`.
            groups: The groups that the user is a member of.

        Raises:
            InvalidTransition: No such edge.
            TransitionNotPermitted: `allowed_by` names neither the user nor one of the groups.
            GuardFailure: The guard is false, null or failed.
        """
        edge = cls.edge(obj.state, to_state)
        if user is not None and not edge.permits(user, groups):
            raise TransitionNotPermitted(
                f"{cls.__name__}: {_not_permitted(edge, user)}",
                user=user,
                from_state=edge.from_state,
                to_state=to_state,
                allowed_by=edge.allowed_by or (),
            )
        _check_guard(cls.__name__, edge, obj)
        return edge

    @classmethod
    def allowed_transitions(
        cls, obj_or_state: Any, user: str | None = None, groups: Collection[str] = ()
    ) -> AllowedTransitions:
        """Return the states that can be entered, and why each of the others cannot.

        Args:
            obj_or_state: A stored object, or a state's name; with a name alone no guard is evaluated.
            user: Who asks; None leaves `allowed_by` aside.
            groups: The groups that the user is a member of.

        Returns:
            The targets in the order of the definition; `refused` gives the reason for each other state.

        Raises:
            InvalidTransition: The machine has no such state.
        """
        by_name = isinstance(obj_or_state, str)
        if not by_name and not hasattr(obj_or_state, "state"):
            raise StateMachineError(
                f"{cls.__name__}: expected a stored object or the name of a state, found {shown(obj_or_state)}",
                machine=cls.__name__,
            )
        state: str | None = obj_or_state if by_name else obj_or_state.state
        if state is not None and state not in cls.states:
            near = nearest_names(state, cls.states)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(cls.states)}"
            raise InvalidTransition(
                f"{cls.__name__} has no state {state!r}; {hint}", machine=cls.__name__, from_state=state
            )
        allowed: list[str] = []
        refused: dict[str, str] = {}
        for target in cls.states:
            edge = cls._edges.get((state, target)) if state is not None else None
            if edge is None:
                refused[target] = cls._no_edge(state, target)
            elif user is not None and not edge.permits(user, groups):
                refused[target] = _not_permitted(edge, user)
            else:
                try:
                    if not by_name:
                        _check_guard(cls.__name__, edge, obj_or_state)
                    allowed.append(target)
                except GuardFailure as error:
                    refused[target] = str(error).partition(": ")[2]
        return AllowedTransitions(allowed, refused)

    @classmethod
    def _targets(cls, state: str | None) -> tuple[str, ...]:
        return tuple(target for source, target in cls._edges if source == state)

    @classmethod
    def _no_edge(cls, from_state: str | None, to_state: str) -> str:
        if from_state is None:
            return f"no transition to {to_state!r}: the object has no state yet; write() puts it into {cls.initial!r}"
        if to_state not in cls.states:
            near = nearest_names(to_state, cls.states) if isinstance(to_state, str) else ()
            hint = f"did you mean {near[0]!r}?" if near else f"the states are {', '.join(cls.states)}"
            return f"no state {shown(to_state)}; {hint}"
        if from_state not in cls.states:
            known = f"the object stands in {from_state!r}, which {cls.__name__} does not have"
            return f"no transition {from_state!r} -> {to_state!r}; {known}"
        targets = cls._targets(from_state)
        known = f"from {from_state!r} it can go to {', '.join(targets)}" if targets else f"{from_state!r} is final"
        return f"no transition {from_state!r} -> {to_state!r}; {known}"

    @classmethod
    def to_mermaid(cls) -> str:
        """Return the machine as a Mermaid state diagram, guards and permissions on the edges.

        Example:
            >>> class Ticket(StateMachine):
            ...     initial = "OPEN"
            ...     transitions = [Transition("OPEN", "DONE")]
            >>> print(Ticket.to_mermaid())
            stateDiagram-v2
                [*] --> OPEN
                OPEN --> DONE
                DONE --> [*]
        """
        names = {s: str.__str__(s) if _is_mermaid_name(s) else f"state{n}" for n, s in enumerate(cls.states, 1)}
        lines = ["stateDiagram-v2"]
        lines += [f'    state "{_mermaid_text(s)}" as {alias}' for s, alias in names.items() if s != alias]
        lines.append(f"    [*] --> {names[cls.initial]}")
        for edge in cls._edges.values():
            notes = [f"[{edge.guard}]"] if edge.guard is not None else []
            notes += [f"by {', '.join(edge.allowed_by)}"] if edge.allowed_by else []
            notes += [f"starts {edge.start_workflow.__qualname__}"] if edge.start_workflow is not None else []
            label = f" : {_mermaid_text(' '.join(notes))}" if notes else ""
            lines.append(f"    {names[edge.from_state]} --> {names[edge.to_state]}{label}")
        lines += [f"    {names[state]} --> [*]" for state in cls.states if not cls._targets(state)]
        return "\n".join(lines)


# Words of Mermaid's own, in any case, and the names that stand for states which have none that it takes.
_MERMAID_WORD = re.compile(
    r"state\d*|note|end|class|classdef|style|scale|default|direction|hide|click|href|as|fork|join|choice|title"
    r"|accdescr|acctitle|statediagram",
    re.IGNORECASE,
)


def _is_mermaid_name(state: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", state) is not None and _MERMAID_WORD.fullmatch(state) is None


def _mermaid_text(text: str) -> str:
    """Return text as Mermaid takes it inside a label: its special characters as entities."""
    return "".join(f"#{ord(c)};" if c in '#;:"<>{}\\' or not c.isprintable() else c for c in text)


def _not_permitted(edge: Transition, user: str) -> str:
    allowed = ", ".join(edge.allowed_by or ())
    return f"{user!r} may not take {edge.from_state!r} -> {edge.to_state!r}; allowed: {allowed}"


def _check_guard(machine: str, edge: Transition, obj: Any) -> None:
    if edge.guard is None:
        return
    failure: Exception | None = None
    try:
        if edge.guard.eval(obj):
            return
        outcome = "is not true"
    except Exception as error:  # a guard that cannot be evaluated does not let anything through
        failure = error
        outcome = f"failed with {type(error).__name__}: {error}"
    values = {name: _guard_value(obj, name) for name in sorted(edge.guard.fields())}
    listed = ", ".join(f"{name}={value!r}" for name, value in values.items())
    raise GuardFailure(
        f"{machine}: guard of {edge.from_state!r} -> {edge.to_state!r} {outcome}: {edge.guard} with {listed}",
        from_state=edge.from_state,
        to_state=edge.to_state,
        guard=str(edge.guard),
        values=values,
    ) from failure


def _guard_value(obj: Any, name: str) -> Any:
    """Return what a guard reads under a name, None where that cannot be told."""
    from reactive.expr import Field

    try:
        return getattr(obj, name) if hasattr(obj, name) else Field(name).eval(obj)
    except Exception:
        return None


def _checked_edges(cls: type[StateMachine]) -> dict[tuple[str, str], Transition]:
    """Return the edges by their states, or raise with everything that is wrong with the machine."""
    problems: list[str] = []
    initial = getattr(cls, "initial", None)
    problem = state_problem(initial)
    if problem is not None:
        problems.append(f"initial: {problem}")
    edges: dict[tuple[str, str], Transition] = {}
    transitions = cls.transitions
    if isinstance(transitions, (str, bytes)) or not isinstance(transitions, Iterable):
        problems.append(f"transitions: expected a list of Transition, found {shown(transitions)}")
        transitions = ()
    for item in transitions:
        if not isinstance(item, Transition):
            problems.append(f"transitions: expected Transition, found {shown(item)}")
            continue
        pair = (item.from_state, item.to_state)
        if pair in edges:
            problems.append(f"transitions: the edge {item.from_state!r} -> {item.to_state!r} is given twice")
        edges[pair] = item
    declared = cls.__dict__.get("states")
    if declared is not None and not _is_list_of_names(declared):
        problems.append(f"states: expected a list of names, each once, found {shown(declared)}")
    if not problems and isinstance(initial, str):
        problems = _graph_problems(initial, edges, declared)
    if problems:
        raise StateMachineError(listed(cls.__name__, problems), machine=cls.__name__, problems=problems)
    return edges


def _is_list_of_names(value: Any) -> bool:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return False
    return all(isinstance(state, str) for state in value) and len(set(value)) == len(value)


def _graph_problems(
    initial: str, edges: Mapping[tuple[str, str], Transition], declared: Sequence[str] | None
) -> list[str]:
    """Return the states that are unknown or that no path from the initial state reaches."""
    problems: list[str] = []
    mentioned = list(dict.fromkeys(state for pair in edges for state in pair))
    known = (mentioned or [initial]) if declared is None else list(declared)
    for state in dict.fromkeys([initial, *mentioned]):
        if state not in known:
            near = nearest_names(state, known)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            where = "initial" if state == initial else "transitions"
            problems.append(f"{where}: unknown state {state!r}{hint}")
    reached, frontier = {initial}, [initial]
    while frontier:
        state = frontier.pop()
        for source, target in edges:
            if source == state and target not in reached:
                reached.add(target)
                frontier.append(target)
    if not problems:
        problems += [f"states: {s!r} cannot be reached from {initial!r}" for s in known if s not in reached]
    return problems


def _named_expressions(cls: type) -> Iterable[str]:
    if not hasattr(cls, "expressions"):
        return ()
    from reactive.expr.named import named_expressions

    return named_expressions(cls)


def check_attachment(cls: type, machine: Any, fields: Iterable[str]) -> None:
    """Check that a machine fits a stored class: it is one, and its guards read fields that the class has.

    Args:
        cls: The stored class.
        machine: A subclass of StateMachine, or an instance of one.
        fields: The fields of the class.

    Raises:
        StateMachineError: It does not fit; every fault is in `problems`.
    """
    kind = machine if isinstance(machine, type) else type(machine)
    if not issubclass(kind, StateMachine) or kind is StateMachine:
        message = f"{cls.__name__}: expected a subclass of StateMachine, found {shown(machine)}"
        raise StateMachineError(message, machine=getattr(kind, "__name__", None), problems=[message])
    known = {*fields, *_named_expressions(cls)}
    problems: list[str] = []
    for edge in kind.transitions:
        for name in sorted(edge.guard.fields()) if edge.guard is not None else ():
            if name not in known:
                near = nearest_names(name, known)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                where = f"{edge.from_state!r} -> {edge.to_state!r}"
                problems.append(f"the guard of {where} reads {name!r}, which {cls.__name__} does not have{hint}")
    if problems:
        raise StateMachineError(
            listed(f"{cls.__name__} with {kind.__name__}", problems), machine=kind.__name__, problems=problems
        )
