"""What an administrator does to govern a store: publish classes, retire a type, refuse what is not published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from store.base import Storable
from store.connection import run
from store.errors import IncompatiblePublication, StoreError, Violation, shown
from store.publication import Document, publication_of

__all__ = ["Publication", "publish", "retire", "set_governed"]


class Publication(NamedTuple):
    """What publishing one class did.

    Attributes:
        type_name: The type.
        revision: The number of its publication, from 1.
        changed: Whether this one is new; False when the type was published just so before.
        notes: What the administrator should know of the stored data and of the machine, in words.
    """

    type_name: str
    revision: int
    changed: bool
    notes: tuple[str, ...]


class _Breach(NamedTuple):
    """Where stored data do not fit a publication; see `store.breaches` in SQL."""

    kind: str
    name: str | None
    entities: int
    example: str | None

    def verb(self, one: str, several: str) -> str:
        """Return the form of a verb that goes with the number of entities."""
        return one if self.entities == 1 else several

    def __str__(self) -> str:
        """Return how many, and which one to look at."""
        some = "1 entity" if self.entities == 1 else f"{self.entities:,} entities"
        return f"{some} (such as {self.example})"


def publish(admin_conn: Connection, *classes: type[Storable]) -> list[Publication]:
    """Publish classes: from now on the database holds every write of these types to them, whoever sends it.

    All or none. A class that is published anew may have more fields, if they have a default, and other rules; what is
    stored must stay readable. Guards and side effects stay with Python.

    Args:
        admin_conn: An administrator's connection, outside a transaction.
        *classes: Dataclasses of `Storable`, with their state machines attached.

    Returns:
        One entry a class, in order.

    Raises:
        IncompatiblePublication: Data are stored that the class could not read, or would lose; the message says how to
            migrate them.
        RegistryError: A class breaks a rule of the registry.
        AccessDenied: The connection is not an administrator's.

    Example:
        >>> [publication.type_name for publication in publish(admin_conn, Order, Trade)]
        ['Order', 'Trade']
    """
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Storable)) or cls is Storable:
            raise StoreError(f"publish() takes classes made of Storable, not {shown(cls)}")
    documents = [(cls, publication_of(cls)) for cls in classes]
    with admin_conn:
        run(admin_conn, "SELECT store.lock_publications()")
        done: list[Publication] = []
        faults: list[Violation] = []
        for cls, document in documents:
            made, found = _publish_one(admin_conn, cls, document)
            done.append(made)
            faults += found
        if faults:
            texts = [fault.message for fault in faults]
            listed = texts[0] if len(texts) == 1 else "".join(f"\n  - {text}" for text in texts)
            raise IncompatiblePublication(f"nothing was published: {listed}", violations=faults)
    return done


def _publish_one(conn: Connection, cls: type[Storable], document: Document) -> tuple[Publication, list[Violation]]:
    """Store a publication, and return it with the reasons for which it must not stand."""
    type_name = cls.type_name()
    before = run(conn, "SELECT document::text FROM store.publication(%s)", (type_name,))
    known = {field["field"]: field for field in json.loads(before[0][0])["fields"]} if before else {}
    revision, changed = run(conn, "SELECT * FROM store.publish(%s, %s)", (type_name, json.dumps(document)))[0]
    if not changed:
        return Publication(type_name, revision, False, ()), []
    fields = [field for field in document["fields"] if field != known.get(field["field"])]
    defaults = {name: field["default"] for name, field in known.items()}
    rows = run(
        conn,
        "SELECT breach, field, entities, example::text FROM store.breaches(%s, %s, %s) ORDER BY 1, 2",
        (type_name, [field["field"] for field in fields], json.dumps(defaults)),
    )
    types = {field["field"]: field["type"] for field in document["fields"]}
    notes: list[str] = []
    faults: list[Violation] = []
    for breach in (_Breach(*row) for row in rows):
        link = ": " if breach.kind in ("stranded", "nobody") else "."
        text = f"{type_name}{link}{_sentence(breach, types, document['machine'])}"
        if breach.kind in ("broken", "nobody") or _stateless(breach, document):
            notes.append(text)
        else:
            faults.append(Violation(breach.name or "", breach.kind, "data that fit", breach.example, text))
    return Publication(type_name, revision, True, tuple(notes)), faults


def _stateless(breach: _Breach, document: Document) -> bool:
    """Say whether a breach is of entities that were written before their class had any machine."""
    return breach.kind == "stranded" and breach.name is None and document["machine"] is not None


def _sentence(breach: _Breach, types: Mapping[str, str], machine: Mapping[str, Any] | None) -> str:
    name = breach.name
    if breach.kind == "unreadable":
        return (
            f"{name}: the log holds values that are no {types[str(name)]}, of {breach}, and the log does not change:"
            " leave this field as it was, and keep the new values in a field of another name"
        )
    if breach.kind == "missing":
        return f"{name}: {breach} without this field: give it a default, with which such entities are read"
    if breach.kind == "lost":
        return (
            f"{name}: {breach} {breach.verb('holds', 'hold')} a value in this field, which the class no longer has:"
            " keep the field; or name it in the field that takes its place,"
            f' field(..., metadata={{"former_names": ("{name}",)}}); or first update'
            " these entities to the default that it had"
        )
    if breach.kind == "broken":
        return f"{name}: the value of {breach} breaks a rule of its column; it is read as before, and cannot be written"
    if breach.kind == "nobody":
        return f"{name!r} may take a transition, and is no user or group yet"
    are = f"{breach} {breach.verb('is', 'are')}"
    if machine is None:
        return f"{are} in the state {name!r}, and the class has no state machine: attach it before you publish"
    if name is None:
        has = breach.verb("has", "have")
        return f"{breach} {has} no state, as written without a machine: no transition leads out of that"
    return (
        f"{are} in the state {name!r}, which {machine['name']} does not have: keep the state, with a transition"
        " that leads out of it, until none is left in it"
    )


def retire(admin_conn: Connection, type_name: str) -> bool:
    """Close a published type to writers: its objects stay, to be read. Publishing the type again opens it.

    Returns:
        False when it was retired already.

    Raises:
        NotPublished: No such type is published.
    """
    if not isinstance(type_name, str):
        raise StoreError(f"retire() takes the name of a type, not {shown(type_name)}")
    with admin_conn:
        return bool(run(admin_conn, "SELECT store.retire(%s)", (type_name,))[0][0])


def set_governed(admin_conn: Connection, governed: bool) -> None:
    """Refuse, or take again, writes of types that are not published; every client of the database is bound."""
    if not isinstance(governed, bool):
        raise StoreError(f"set_governed() takes True or False, not {shown(governed)}")
    with admin_conn:
        run(admin_conn, "SELECT store.set_governed(%s)", (governed,))
