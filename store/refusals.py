"""What PostgreSQL refuses, as the store's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import psycopg2

from store import errors
from store.conninfo import advice
from store.wording import printable

__all__ = ["FAILED", "LARGEST_OBJECT", "raise_store_error"]

FAILED = (
    "a call in this transaction failed, so that nothing of it can be committed: let its error end the block, or wrap a"
    " call that may fail in a nested transaction()"
)

LARGEST_OBJECT = "4 MiB"  # as the tables' constraint `object_size` says, like the next
LONGEST_OBJECT = "24 MiB"

_ENTITY_ERRORS: dict[str, type[errors.StoreError]] = {
    "TS001": errors.EntityNotFound,
    "TS002": errors.AccessDenied,
    "TS003": errors.VersionConflict,
    "TS004": errors.TypeMismatch,
    "TS006": errors.EntityDeleted,
    "TS007": errors.IdempotencyMismatch,
    "TS010": errors.UnknownPrincipal,
    "TS011": errors.InvalidTransition,
    "TS021": errors.NotPublished,
    "TS022": errors.InvalidTransition,
    "TS023": errors.TransitionNotPermitted,
}
_ADVICE = {
    "TS003": "; read it again, redo the change and update",
    "TS005": "; valid_from must come before valid_to, and without valid_from it begins at the time of recording",
    "TS006": "; a change may not overlap a deleted range: bound it with valid_from= and valid_to=",
    "TS011": ", where the object was read at another valid time: read it again",
    "TS009": "; a transition may not lie in the future or before the latest change of state",
}
_BOUNDS = {
    "readable_values": "an object's values nest at most 127 levels deep, and its numbers have at most 4300 digits",
    "short_names": "the name of a type and of a state has 1 to 255 bytes",
}


def raise_store_error(
    error: psycopg2.Error, *, changing: bool, lost: bool = False, conninfo: dict[str, Any] | None = None
) -> NoReturn:
    """Raise the store's error for one of PostgreSQL's.

    Args:
        error: What psycopg2 raised.
        changing: Whether the statement was one that changes the store.
        lost: Whether the connection is gone.
        conninfo: Where a connection was to be opened, when that failed.
    """
    code = error.pgcode or ""
    # libpq's own words come in lines, of which the second asks a question.
    message = printable((error.diag.message_primary or "").strip()) or "; ".join(
        " ".join(line.split()) for line in str(error).splitlines() if line.strip()
    )
    if conninfo is not None:
        host, port = conninfo.get("host"), conninfo.get("port")
        place = f" at {host or 'the default host'}" + (f":{port}" if port else "")
        raise errors.ConnectionLost(
            f"cannot connect as {conninfo.get('user')!r} to {conninfo.get('dbname')!r}{place}:"
            f" {message}{advice(message)}"
        ) from error
    if code.startswith("TS"):
        message += _ADVICE.get(code, "")
        kind = _ENTITY_ERRORS.get(code)
        facts = json.loads(error.diag.message_detail or "{}") if kind is not None or code == "TS020" else {}
        if code == "TS020":
            raise _unpublished_value(message, facts) from error
        if kind is not None:
            known = kind.__init__.__kwdefaults__ or {}
            raise kind(message, **{name: value for name, value in facts.items() if name in known}) from error
        if code in ("TS005", "TS009"):
            raise errors.InvalidRange(message) from error
        if code == "TS012":
            raise errors.InvalidValue(message) from error
        raise errors.StoreError(message) from error
    if lost:
        if changing:
            message += (
                "; the change may have been committed or not: read the entity again, or repeat the call with the same"
                " idempotency_key, which applies it once"
            )
        raise errors.ConnectionLost(f"the connection to the server was lost: {message}", ambiguous=changing) from error
    if code in ("40001", "40P01", "55P03"):
        raise errors.TransactionConflict(f"{message}: the transaction was undone, run it again") from error
    if code == "23514" and error.diag.constraint_name == "valid_range":
        raise errors.InvalidRange(f"the valid range of a new entity is empty{_ADVICE['TS005']}") from error
    if code == "23514" and error.diag.constraint_name == "valid_years":
        raise errors.InvalidRange("a valid time lies outside the years 1 to 9999") from error
    if code == "23514" and error.diag.constraint_name == "object_size":
        raise errors.InvalidValue(
            f"an object takes at most {LARGEST_OBJECT}, in PostgreSQL's form of JSON, and {LONGEST_OBJECT} when that is"
            " written out: store what is larger as several objects, or elsewhere"
        ) from error
    if code == "54000":
        raise errors.StoreError(
            f"too much for one call ({message}): write fewer or smaller objects at a time"
        ) from error
    if code == "23514" and error.diag.constraint_name in _BOUNDS:
        raise errors.InvalidValue(_BOUNDS[error.diag.constraint_name]) from error
    if code == "25P02":
        raise errors.StoreError(FAILED) from error
    if code == "42501":
        if message.startswith("permission denied for function"):  # which others than users may call
            message += ": it takes an administrator's login"
        raise errors.AccessDenied(message) from error
    raise errors.StoreError(f"PostgreSQL refused the statement ({code or type(error).__name__}): {message}") from error


def _unpublished_value(message: str, facts: Mapping[str, Any]) -> errors.InvalidValue:
    """Return the error of a field that is not as its type is published."""
    if facts["item"] is not None:
        message = f"object {facts['item']}, counted from 0: {message}"
    text = f"{message} (as published in this database, whatever the class here says)"
    violation = errors.Violation(facts["field"], facts["rule"], facts["expected"], facts.get("value"), text)
    return errors.InvalidValue(text, type_name=facts["type_name"], violations=[violation])
