"""`StoreClient`: the store as one user sees it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from psycopg2.extensions import connection as Connection
from typing_extensions import Self

from store import frames, query, reading
from store.base import Storable
from store.connection import Database
from store.conninfo import conninfo, login_shown
from store.errors import StoreError, VersionConflict, shown
from store.events import ChangeEvent, EventBus
from store.items import Append, changed_fields, names_of, several, starts_of
from store.metrics import ClientStats, Meter, measured
from store.query import Filters, QueryResult
from store.reading import Change, Point
from store.transitions import Transitions
from store.users import change_own_password
from store.wakeup import Pinger
from store.writing import Writer

if TYPE_CHECKING:
    import pandas

__all__ = ["Change", "QueryResult", "StoreClient", "VersionConflict"]

T = TypeVar("T", bound=Storable)


@measured("write", "write_many", "write_frame", "update", "update_many", "delete", "transition")
@measured("read", "as_of", "history", "audit", "diff", "query", "count", "list_types", "stable_time")
class StoreClient:
    """Reads and writes objects as one user; safe to share between threads and asyncio tasks.

    Nothing is ever overwritten: each call that changes an object appends an event to it. After such a call the object
    equals what `read` returns; after one that failed it is as before. A call whose connection broke is never repeated
    by itself: its error says whether it may have been committed, and an `idempotency_key` makes repeating it safe.

    Args:
        user, password: The user's login.
        host: The server's host, or the directory of its socket.
        port, dbname: The server's port, and the database.
        event_bus: Where this client's own events are announced after commit.
        readers: Users and groups who may read what this client writes.
        writers: Users and groups who may read and change what this client writes.
        sslmode, sslrootcert: As in libpq; `verify-full` and a file of authorities' certificates for a server elsewhere.

    Raises:
        ConnectionLost: The server cannot be reached, or refused the login.

    Example:
        >>> client = StoreClient(user="alice", password="alice_pw", host=host, port=port, dbname=dbname)
        >>> entity_id = client.write(Trade(symbol="AAPL", quantity=100, price=150.0, side="BUY"))
        >>> client.read(Trade, entity_id).price
        150.0
    """

    def __init__(
        self,
        user: str,
        password: str,
        host: str,
        port: int | str,
        dbname: str,
        *,
        event_bus: EventBus | None = None,
        readers: Sequence[str] = (),
        writers: Sequence[str] = (),
        sslmode: str | None = None,
        sslrootcert: str | os.PathLike[str] | None = None,
    ) -> None:
        """Connect, so that a wrong login shows here."""
        readers, writers = names_of("readers", readers), names_of("writers", writers)
        if not (event_bus is None or isinstance(event_bus, EventBus)):
            raise StoreError(f"event_bus takes an EventBus, not {shown(event_bus)}")
        self._login = conninfo(user, password, host, port, dbname, sslmode, sslrootcert)
        self.meter = Meter()
        self._database = Database(self._login)
        self._pinger = Pinger(self._login)
        self._bus = event_bus
        self._writer = Writer(self._database, readers, writers, self._announce, event_bus is not None)
        self._transitions = Transitions(self._database, self._writer)
        with self._database.connection():
            pass

    def write(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Write a new object: a CREATED event.

        Args:
            obj: An object that is not in the store yet.
            valid_from: From when on it holds; its time of recording when None. The past (a late booking) and the
                future (not seen by `read` before then) are both fine.
            valid_to: Until when it holds; open-ended when None.
            idempotency_key: A name for this call: repeating it returns the first call's entity.

        Returns:
            The entity's id.

        Raises:
            RegistryError: A field's value is not allowed; nothing was sent.
            StoreError: The object is written already, or the database refused it.
        """
        return self._writer.create([obj], [valid_from], valid_to, idempotency_key)[0]

    def write_many(
        self,
        objs: Iterable[Storable],
        *,
        valid_from: datetime | Iterable[datetime | None] | None = None,
        idempotency_key: str | None = None,
    ) -> list[str]:
        """Write new objects, all or none. Raises as `write`.

        Args:
            objs: The objects, of one class or several.
            valid_from: One time for all, or one for each.
            idempotency_key: A name for this call, as for `write`.

        Returns:
            The entities' ids, in order.
        """
        objects = several(objs, "write_many")
        starts = starts_of(valid_from, len(objects))
        return self._writer.create(objects, starts, None, idempotency_key) if objects else []

    def write_frame(
        self, cls: type[T], frame: pandas.DataFrame, *, valid_from: str | datetime | None = None
    ) -> list[str]:
        """Write one object for each row of a pandas DataFrame, all or none.

        Args:
            cls: The objects' class; its fields are taken from the columns of those names.
            frame: The rows. A column that is not a field is an error, a field without a column takes its default.
            valid_from: From when on the objects hold: a time, or the name of a column of times.

        Returns:
            The entities' ids, in order.
        """
        objects, starts = frames.objects_of(cls, frame, valid_from)
        return self._writer.create(objects, starts) if objects else []

    def update(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        fields: Iterable[str] | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Store what changed in an object: an UPDATED event, or CORRECTED when it holds from a time in the past.

        Args:
            obj: An object that was read or written, at the entity's newest version.
            valid_from: From when on the change holds; its time of recording when None.
            valid_to: Until when it holds; open-ended when None.
            fields: The fields to store; those that differ from what was read or written when None.
            idempotency_key: A name for this call: repeating it changes nothing more.

        Raises:
            VersionConflict: The entity has a newer version.
            EntityDeleted: The entity is deleted in that range.
            AccessDenied: The user may read the entity but not change it.
        """
        change = Append(obj, "UPDATED", changed_fields(obj, fields), None, valid_from, valid_to)
        self._writer.append([change], idempotency_key)

    def update_many(
        self,
        objs: Iterable[Storable],
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Update several objects, all or none. See `update`."""
        if changes := [
            Append(obj, "UPDATED", None, None, valid_from, valid_to) for obj in several(objs, "update_many")
        ]:
            self._writer.append(changes, idempotency_key)

    def delete(
        self,
        obj: Storable,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Make an entity absent over a range: a DELETED event. Its history and earlier as-of reads keep it.

        Args:
            obj: An object at the entity's newest version.
            valid_from: From when on it is gone; the time of recording when None.
            valid_to: Until when; for good when None.
            idempotency_key: A name for this call, as for `update`, which raises the same errors.
        """
        self._writer.append([Append(obj, "DELETED", {}, None, valid_from, valid_to)], idempotency_key)

    def transition(
        self,
        obj: Storable,
        to_state: str,
        *,
        valid_from: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Move an object to another state: a STATE_CHANGE event, together with its unsaved changes.

        Args:
            obj: An object at the entity's newest version, of a class with a state machine.
            to_state: The state to move to.
            valid_from: From when on it holds: neither in the future nor before the latest change of state.
            idempotency_key: A name for this call, as for `update`.

        Raises:
            InvalidTransition: The machine has no such edge.
            TransitionNotPermitted: The edge is not for this user.
            GuardFailure: The edge's guard does not hold for the object.
            EngineMissing: The edge starts a workflow, and the class has no engine.
            VersionConflict: The entity has a newer version.
        """
        self._transitions.run(obj, to_state, valid_from, idempotency_key)

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Make all calls of this thread or task inside the block one transaction; nested, a savepoint.

        When the block raises, nothing of it is stored and every object that it wrote or changed is as before; likewise
        when it ends in another thread, task or process than it began (a generator's may), which is an error.
        Callbacks of the event bus run after the commit.

        Example:
            >>> with client.transaction():
            ...     client.write(first)
            ...     client.write(second)
        """
        with self._database.transaction():
            yield self

    # ---- reading

    def read(self, cls: type[T], entity_id: str) -> T | None:
        """Return an entity's current state; None when there is none, it is deleted, or the user may not see it.

        Raises:
            TypeMismatch: The entity is of another type.
        """
        return reading.read(self._database, cls, entity_id)

    def as_of(
        self,
        cls: type[T],
        entity_id: str,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
    ) -> T | None:
        """Return an entity's state at a point of both time axes.

        Args:
            cls: The entity's class.
            entity_id: The entity.
            tx_time: With what was known then; everything known now when None.
            valid_time: As it was effective then; at `tx_time` when None, so that `as_of(tx_time=t)` is what `read`
                returned at `t`.

        Returns:
            The object, None when the entity was not there.
        """
        return reading.as_of(self._database, cls, entity_id, tx_time, valid_time)

    def history(self, cls: type[T], entity_id: str) -> list[T]:
        """Return an object for each event of an entity, oldest first: its state then, as known then; 512 MiB in all."""
        return reading.history(self._database, cls, entity_id)

    def audit(self, entity_id: str) -> list[dict[str, Any]]:
        """Return who did what to an entity, oldest first; refused beyond 512 MiB of changes.

        Returns:
            For each event a dict of version, event_type, updated_by, tx_time, valid_from, valid_to, state, changes
            (field: old and new value, the old one as known just before) and meta; SHARED and UNSHARED entries
            name the grantor as updated_by, and the principal and access in meta.
        """
        return reading.audit(self._database, entity_id)

    def diff(self, cls: type[T], entity_id: str, a: Point, b: Point) -> dict[str, Change]:
        """Return what differs between two points of an entity's life.

        Args:
            cls: The entity's class.
            entity_id: The entity.
            a: A version, or a pair (tx_time, valid_time) as for `as_of`.
            b: Likewise.

        Returns:
            For each differing field, and `state`, its value at `a` and at `b`; None where the entity was absent.
        """
        return reading.diff(self._database, cls, entity_id, a, b)

    def query(
        self,
        cls: type[T],
        filters: Filters = None,
        limit: int | None = 100,
        cursor: str | None = None,
        order_by: str | None = None,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
    ) -> QueryResult[T]:
        """Return the objects of a class whose state passes a filter.

        Args:
            cls: The class.
            filters: A dict (name: value; a list means any of its values, None means null), or an expression: over the
                fields, the class's named expressions, and the metadata (state, owner, version, tx_time and so on).
            limit: The most objects to return; None returns all.
            cursor: The `next_cursor` of the page before; it fits only the same query.
            order_by: A field, named expression or tx_time, `-` in front for the other direction; ties and no order go
                by entity id.
            tx_time: The whole collection with what was known then, as for `as_of`.
            valid_time: The whole collection as effective then, as for `as_of`.

        Raises:
            InvalidFilter: The filter, order or cursor cannot be used.
        """
        return query.run(self._database, cls, filters, limit, cursor, order_by, tx_time, valid_time)

    def count(
        self,
        cls: type[Storable],
        filters: Filters = None,
        tx_time: datetime | None = None,
        valid_time: datetime | None = None,
    ) -> int:
        """Return how many objects `query` would return without a limit."""
        return query.count(self._database, cls, filters, tx_time, valid_time)

    def list_types(self) -> list[str]:
        """Return the type names of the entities that the user may see."""
        return [row[0] for row in self._database.fetch("list_types")]

    def stable_time(self) -> datetime:
        """Return the newest transaction time whose answers can no longer change: no earlier one is still under way."""
        return cast("datetime", self._database.fetch("stable_time")[0][0])

    # ---- the connection

    def stats(self) -> ClientStats:
        """Return what the client's calls came to, and how its connections stand. Costs no query."""
        return ClientStats(self.meter.operations(), self._database.retries, self._database.pool())

    @property
    def conn(self) -> Connection:
        """A psycopg2 connection of this user, the open transaction's, else one in autocommit mode kept for this."""
        return self._database.apart()

    def change_password(self, password: str) -> None:
        """Set the user's own password; this client goes on with it, others need it from their next connection on."""
        with self._database.connection() as conn:
            change_own_password(conn, password)
        self._login["password"] = password

    def __repr__(self) -> str:
        return f"<StoreClient: {login_shown(self._login)}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: the connections cannot be."""
        raise TypeError("a StoreClient can be neither copied nor pickled: make a new StoreClient where one is needed")

    def close(self) -> None:
        """Close the client's connections; hints to listeners are sent first."""
        self._pinger.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _announce(self, events: list[ChangeEvent]) -> None:
        self._pinger.ping()
        if self._bus is not None:
            for event in events:
                self._bus.emit(event)
