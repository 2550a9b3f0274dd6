"""What outlives the process: arguments, results, errors and messages as bytes, and copies for the steps."""

from __future__ import annotations

import copy
import hashlib
import pickle
from typing import Any

from store.base import Storable
from workflow.errors import NotSerializable

__all__ = [
    "Outcome",
    "RecordedError",
    "copied",
    "digest",
    "dump",
    "load",
    "outcome_of_error",
    "outcome_of_value",
    "value_of",
]

# A recorded outcome: ("value", "", pickled) or ("error", text for people, pickled). Its outside needs none of the
# user's classes, so that a program without them can still show what happened.
Outcome = tuple[str, str, bytes]


def dump(value: Any, what: str) -> bytes:
    """Return a value as bytes.

    Raises:
        NotSerializable: It cannot be pickled; the message says what it was.
    """
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise NotSerializable(
            f"{what} cannot be recorded: {_told(error)}; pass what can be pickled, such as an entity's id, and make"
            " connections, locks and functions where they are used"
        ) from error


def load(data: bytes, what: str) -> Any:
    """Return the value of `dump`.

    Raises:
        NotSerializable: It cannot be read back, as when its class has moved.
    """
    try:
        return pickle.loads(data)
    except Exception as error:
        raise NotSerializable(f"{what} cannot be read back: {_told(error)}") from error


def digest(data: bytes) -> str:
    """Return a digest by which two recorded values are compared."""
    return hashlib.sha256(data).hexdigest()


def outcome_of_value(value: Any, what: str) -> Outcome:
    """Return the outcome that records a result; for one that cannot be recorded, that it cannot."""
    try:
        data = dump(value, f"the result of {what}, a {type(value).__name__},")
        if not isinstance(value, _PLAIN):
            load(data, f"the result of {what}")
    except NotSerializable as error:
        return outcome_of_error(error, what)
    return ("value", "", data)


def outcome_of_error(error: BaseException, what: str) -> Outcome:
    """Return the outcome that records an error; one that cannot be pickled is recorded by its text."""
    told = _told(error)
    try:
        data = pickle.dumps(error)
        if not isinstance(pickle.loads(data), Exception):
            raise TypeError(f"{type(error).__name__} is no Exception")
    except Exception as reason:
        substitute = NotSerializable(f"{what} raised {told}; this error cannot be recorded itself: {_told(reason)}")
        data = pickle.dumps(substitute)
    return ("error", told, data)


def value_of(outcome: Outcome, what: str) -> Any:
    """Return the value of an outcome, or raise its error."""
    kind, _, data = outcome
    found = load(data, f"what {what} {'returned' if kind == 'value' else 'raised'}")
    if kind == "value":
        return found
    raise found


def copied(value: Any) -> Any:
    """Return a value with its Storables copied, in lists, tuples, sets and dicts too: a step changes its own."""
    if isinstance(value, Storable):
        return copy.deepcopy(value)
    kind = type(value)
    if kind in (list, tuple, set):
        return kind(copied(item) for item in value)
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    return value


_PLAIN = (str, int, float, bool, type(None), bytes)


def _told(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be made)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class RecordedError(Exception):
    """Carries a workflow's error into the backend's table, in a form that every process can read back."""

    def __init__(self, told: str, data: bytes) -> None:
        """Keep the outcome's parts."""
        super().__init__(told, data)
        self.outcome: Outcome = ("error", told, data)

    def __str__(self) -> str:
        """Return the error's text."""
        return self.outcome[1]
