"""What an administrator does to govern a store: publish classes, retire a type, refuse what is not published."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from psycopg2.extensions import connection as Connection

from store.base import Storable
from store.connection import run
from store.errors import IncompatiblePublication, StoreError, Violation, shown
from store.publication import Document, publication_of
from store.wording import printable

__all__ = ["Publication", "misfits", "publish", "retire", "set_governed"]


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
    """Where stored data do not fit a publication; see `store.breaches` in SQL.

    The last of a kind that is told has, as `unlisted`, how many follow that are not.
    """

    kind: str
    name: str | None
    entities: int
    example: str | None
    unlisted: int

    @property
    def label(self) -> str | None:
        """The name as a message shows it: what others called a field or a state may hold anything."""
        return None if self.name is None else printable(self.name if len(self.name) <= 80 else f"{self.name[:77]}...")

    def verb(self, one: str, several: str) -> str:
        """Return the form of a verb that goes with the number of entities."""
        return one if self.entities == 1 else several

    def __str__(self) -> str:
        """Return how many, and which one to look at."""
        some = "1 entity" if self.entities == 1 else f"{self.entities:,} entities"
        return f"{some} (such as {self.example})"


_MOST = 20
_BREACHES = """SELECT breach, field, entities, example::text, CASE n WHEN %s THEN all_of_them - n ELSE 0 END
FROM (SELECT *, row_number() OVER (PARTITION BY breach ORDER BY field) AS n,
             count(*) OVER (PARTITION BY breach) AS all_of_them
      FROM store.breaches(%s, %s)) b
WHERE n <= %s ORDER BY 1, 2"""
_Sentence = Callable[[_Breach, Mapping[str, str], Mapping[str, Any] | None], str]


def publish(admin_conn: Connection, *classes: type[Storable], despite_misfits: bool = False) -> list[Publication]:
    """Publish classes: from now on the database holds every write of these types to them, whoever sends it.

    All or none. A class that is published anew may have more fields, if they have a default, and other rules; what is
    stored must stay readable. Guards and side effects stay with Python.

    Before a type is published, anybody may write what does not fit it, and the log does not change: with
    `despite_misfits`, that keeps nobody from publishing.

    Args:
        admin_conn: An administrator's connection, outside a transaction.
        *classes: Dataclasses of `Storable`, with their state machines attached.
        despite_misfits: Publish although data are stored that the class cannot read, or would lose; they stand in
            `notes`, and `misfits` tells of them from then on.

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
            if despite_misfits:
                made = made._replace(notes=(*(fault.message for fault in found), *made.notes))
                found = []
            done.append(made)
            faults += found
        if faults:
            texts = [fault.message for fault in faults]
            listed = texts[0] if len(texts) == 1 else "".join(f"\n  - {text}" for text in texts)
            raise IncompatiblePublication(f"nothing was published: {listed}", violations=faults)
    return done


def misfits(admin_conn: Connection) -> list[str]:
    """Return, in words, where what is stored does not fit what is published; this reads the whole log.

    What was there when its type was published was told then. What was in an open transaction at that moment landed by
    the old rules, and is told here only.

    Raises:
        AccessDenied: The connection is not an administrator's.
    """
    found: list[str] = []
    with admin_conn:
        for type_name, text in run(
            admin_conn,
            "SELECT t.type_name, p.document::text"
            " FROM store.published() t, store.publication(t.type_name) p ORDER BY 1",
        ):
            document = json.loads(text)
            for breach in _breaches(admin_conn, type_name, [field["field"] for field in document["fields"]]):
                noted = _is_noted(breach, document)
                found.append(_told(type_name, breach, document, _sentence if noted else _late_sentence))
    return found


def _publish_one(conn: Connection, cls: type[Storable], document: Document) -> tuple[Publication, list[Violation]]:
    """Store a publication, and return it with the reasons for which it must not stand."""
    type_name = cls.type_name()
    before = run(conn, "SELECT document::text FROM store.publication(%s)", (type_name,))
    known = json.loads(before[0][0])["fields"] if before else []
    revision, changed = run(conn, "SELECT * FROM store.publish(%s, %s)", (type_name, json.dumps(document)))[0]
    if not changed:
        return Publication(type_name, revision, False, ()), []
    notes: list[str] = []
    faults: list[Violation] = []
    fields = [field["field"] for field in document["fields"] if field not in known]
    for breach in _breaches(conn, type_name, fields):
        text = _told(type_name, breach, document, _sentence)
        if _is_noted(breach, document):
            notes.append(text)
        else:
            faults.append(Violation(breach.label or "", breach.kind, "data that fit", breach.example, text))
    return Publication(type_name, revision, True, tuple(notes)), faults


def _breaches(conn: Connection, type_name: str, fields: list[str]) -> list[_Breach]:
    """Return where what is stored does not fit the publication that stands: any entity's state, and these fields.

    Anybody can have stored any number of other fields and states: of each kind, the first few are told.
    """
    return [_Breach(*row) for row in run(conn, _BREACHES, (_MOST, type_name, fields, _MOST))]


def _is_noted(breach: _Breach, document: Document) -> bool:
    """Say whether a breach may stand: what is stored is read all the same."""
    return breach.kind in ("broken", "nobody") or _stateless(breach, document)


def _told(type_name: str, breach: _Breach, document: Document, sentence: _Sentence) -> str:
    link = ": " if breach.kind in ("stranded", "nobody") else "."
    types = {field["field"]: field["type"] for field in document["fields"]}
    what = {"stranded": "states", "nobody": "names"}.get(breach.kind, "fields")
    more = f" (so it is with {breach.unlisted:,} more {what})" if breach.unlisted else ""
    return f"{type_name}{link}{sentence(breach, types, document['machine'])}{more}"


def _stateless(breach: _Breach, document: Document) -> bool:
    """Say whether a breach is of entities that were written before their class had any machine."""
    return breach.kind == "stranded" and breach.name is None and document["machine"] is not None


def _sentence(breach: _Breach, types: Mapping[str, str], machine: Mapping[str, Any] | None) -> str:
    name = breach.label
    if breach.kind == "unreadable":
        return (
            f"{name}: the log holds values that are no {types[str(breach.name)]}, of {breach}, and the log does not"
            " change: leave this field as it was, and keep the new values in a field of another name; or publish all"
            " the same (despite_misfits), where nobody needs what such entities hold"
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


def _late_sentence(breach: _Breach, types: Mapping[str, str], machine: Mapping[str, Any] | None) -> str:
    """The same of data that came past the publication: it stands, and they are looked after."""
    name, has = breach.label, breach.verb("has", "have")
    fault = {
        "unreadable": f"{name}: {breach} {has} values that are no {types.get(str(breach.name))}",
        "missing": f"{name}: {breach} {breach.verb('lacks', 'lack')} this field, which has no default",
        "lost": f"{name}: {breach} {breach.verb('holds', 'hold')} this field, which is not published",
        "stranded": f"{breach} {breach.verb('is', 'are')} in the state {name!r}, which is not published",
    }[breach.kind]
    return (
        f"{fault}, as written before the type was published so: reads of {breach.verb('it', 'them')} may fail;"
        " withdraw from others what you do not trust (unshare)"
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
