"""The store's log as ticking Deephaven tables: a library to embed in the process that runs the Deephaven server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from bridge.errors import BridgeError
from bridge.feed import Feed, RowWriter
from bridge.follower import Follower, log_end, wait_current
from bridge.java_columns import require_jvm
from bridge.metrics import FeedStats
from bridge.replay import Replay
from store.base import Storable, record_schema
from store.checkpoint import require_subscriber_id
from store.connection import PooledConnection, connect
from store.conninfo import conninfo, login_shown
from store.log_reader import is_poll_interval
from store.subscriptions import Lag

if TYPE_CHECKING:
    from deephaven.table import Table

    from reactive.expr import Expr

__all__ = ["StoreBridge"]


class StoreBridge:
    """Replays the log into tables, then follows it: every event once, in the order of the log.

    The tables show what the bridge's user may read. They start empty, so a new bridge replays the log from its
    beginning. The connection is opened again when it is lost, and what was missed is read then. What is withdrawn from
    the user, the right to read everything too, leaves the live tables within a second or so, and comes back when it is
    granted again; the raw tables keep the rows that there are.

    Args:
        host: The server's host, or the directory of its socket.
        port: The server's port.
        dbname: The database.
        user: The bridge's login; `provision_user(..., reads_all=True)` makes one that sees every entity.
        password: Its password.
        subscriber_id: The name of a checkpoint in the database that moves with the bridge, so that others see how far
            it is.
        poll_seconds: How long a lost hint can delay an event.
        sslmode: As in libpq; `verify-full` for a server on the network.
        sslrootcert: The file with the certificates of the authorities that may have signed the server's.

    Example:
        >>> bridge = StoreBridge(host=host, port=port, dbname=dbname, user="bridge_user", password="bridge_pw")
        >>> bridge.register(Order)
        >>> bridge.start()
        >>> orders_live = bridge.live(Order)
    """

    def __init__(
        self,
        host: str,
        port: int | str,
        dbname: str,
        user: str,
        password: str,
        subscriber_id: str | None = None,
        *,
        poll_seconds: float = 1.0,
        sslmode: str | None = None,
        sslrootcert: str | os.PathLike[str] | None = None,
    ) -> None:
        if not is_poll_interval(poll_seconds):
            raise BridgeError(
                f"poll_seconds takes a number of seconds above 0, of an hour at most, not {poll_seconds!r}"
            )
        self._conninfo = conninfo(user, password, host, port, dbname, sslmode, sslrootcert)
        self._subscriber_id = None if subscriber_id is None else require_subscriber_id(subscriber_id)
        self._poll_seconds = poll_seconds
        self._feeds: dict[str, Feed] = {}  # by type name: a notebook cell that runs again makes another class
        self._followers: list[Follower] = []
        self._lock = threading.Lock()
        self._running = False

    def register(
        self,
        cls: type[Storable],
        *,
        filter: Expr | None = None,
        columns: Iterable[str] | None = None,
        writer: RowWriter | None = None,
    ) -> None:
        """Show the entities of a type. Call it in the main thread, or inside Deephaven's execution context.

        Args:
            cls: The type.
            filter: Show only entities whose fields make this true; one that no longer does leaves the live table.
            columns: Show only these fields, and named expressions of the class, computed for each event; by default
                all fields. The metadata columns are always there.
            writer: Write the rows here instead of into a raw table of the bridge's own:
                `DynamicTableWriter(infer_dh_schema(cls, columns))`, or anything with a `write_row`. One that raises is
                given the same row again, second after second; `stats()` says why.

        Raises:
            BridgeError: The type is registered already, a name is unknown, a field cannot be a column, or no JVM runs.
            RegistryError: It is no stored class.

        Example:
            >>> bridge.register(Trade, filter=Field("symbol") == Const("AAPL"))
        """
        require_jvm()
        name = record_schema(cls).type_name
        with self._lock:
            if name in self._feeds:
                raise BridgeError(f"{name} is registered already; derive other views from its tables")
            feed = Feed(cls, filter=filter, columns=columns, writer=writer)
            feed.open()
            if self._running:
                self._follow([feed])
            self._feeds[name] = feed

    def table(self, cls: type[Storable]) -> Table:
        """Return the raw table of a type: append-only, one row per event; fields as they were just after it.

        Raises:
            BridgeError: The type is not registered, or its rows go to a writer that has no table.

        Example:
            >>> bridge.table(Order).last_by("EntityId")
        """
        raw = self._feed(cls).raw
        if raw is None:
            raise BridgeError(
                f"the rows of {cls.type_name()} go to a writer of your own, which has no attribute 'table'"
            )
        return raw

    def live(self, cls: type[Storable]) -> Table:
        """Return the live table of a type: the latest row of each entity that is not deleted and passes the filter.

        Raises:
            BridgeError: The type is not registered.

        Example:
            >>> bridge.live(Order).where("State = `PENDING`")
        """
        return self._feed(cls).live

    def start(self) -> Self:
        """Begin to replay the log, in a thread of the bridge's own; returns once the connection stands.

        Types that are registered later join in.

        Raises:
            BridgeError: The bridge runs already.
            ConnectionLost: The server cannot be reached, or refused the login.

        Example:
            >>> bridge.start()
        """
        with self._lock:
            if self._running:
                raise BridgeError("this bridge runs already")
            if not self._feeds:
                with self._probe():  # a wrong login is told here, not when a type is registered
                    pass
            feeds = list(self._feeds.values())
            try:
                for group in [[feed for feed in feeds if not feed.has_writer], *([f] for f in feeds if f.has_writer)]:
                    if group:
                        self._follow(group)
            except BaseException:
                for follower in self._take_followers():
                    follower.stop()
                raise
            self._running = True
        return self

    def stop(self) -> None:
        """Stop following the log. The tables stay; a later `start` goes on where they end.

        Example:
            >>> bridge.stop()
        """
        with self._lock:
            followers = self._take_followers()
            self._running = False
        for follower in followers:
            follower.stop()

    def wait_current(self, timeout: float | None = None) -> bool:
        """Wait until everything that was committed, or fell due, before the call is visible in the tables.

        What was withdrawn from the user before the call is out of the live tables too, and what was granted in them.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Returns:
            Whether it is.

        Raises:
            BridgeError: The bridge does not run, or a table has failed.
            ConnectionLost: The server cannot be reached.

        Example:
            >>> bridge.wait_current(timeout=10)
            True
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        moment = datetime.now(timezone.utc)
        followers = self._running_followers()
        with self._lock:
            feeds = list(self._feeds.values())
        with self._probe() as conn:
            for follower in followers:
                follower.ask_rights(conn)
            end = log_end(conn)
        if not wait_current(followers, end, moment, deadline):
            return False
        with self._probe() as conn:
            for follower in followers:
                follower.schedule.look_at_rights(conn)
        return all(feed.wait_visible(None if deadline is None else deadline - time.monotonic()) for feed in feeds)

    def lag(self) -> Lag:
        """Return how far behind the newest committed event the tables' writers are. Costs one query.

        Returns:
            The events not yet handed to Deephaven, and the age of the oldest of them in seconds.

        Raises:
            BridgeError: The bridge does not run, or has failed.
            ConnectionLost: The server cannot be reached.

        Example:
            >>> bridge.lag()
            Lag(events=0, seconds=0.0)
        """
        followers = self._running_followers()
        with self._probe() as conn:
            lags = [follower.lag(conn) for follower in followers]
        return Lag(sum(lag.events for lag in lags), max((lag.seconds for lag in lags), default=0.0))

    def silence(self) -> float:
        """Return for how many seconds the store has not told all there is. Costs no query.

        It is within `poll_seconds` or so while all is well, and grows while the server does not answer, or while a
        transaction that somebody leaves open holds the log up: the tables are as they were then.

        Raises:
            BridgeError: The bridge does not run.

        Example:
            >>> bridge.silence() < 5
            True
        """
        with self._lock:
            if not self._running:
                raise BridgeError("this bridge does not run: call start()")
            return max((follower.silence for follower in self._followers), default=0.0)

    def stats(self) -> dict[str, FeedStats]:
        """Return what each type has handed to Deephaven, how fast, and what waits, by type name.

        Example:
            >>> bridge.stats()["Order"].events
            12
        """
        with self._lock:
            return {name: feed.stats() for name, feed in self._feeds.items()}

    def replay(
        self,
        cls: type[Storable],
        start: datetime,
        end: datetime | None = None,
        speed: float = 1.0,
        *,
        filter: Expr | None = None,
        columns: Iterable[str] | None = None,
    ) -> Replay:
        """Play a past stretch of the log into tables of its own. Call it where `register` may be called.

        The bridge need not run, nor the type be registered.

        Args:
            cls: The type.
            start: The stretch's first moment, by time of recording.
            end: The moment after its last; None, or what can still change, stands for `client.stable_time()`.
            speed: Seconds of the past for each second; `math.inf` plays as fast as the tables take it.
            filter: As for `register`.
            columns: Likewise.

        Returns:
            The replay, running, with its tables `table` and `live`.

        Raises:
            BridgeError: The stretch is empty, the speed is not positive, or a name is unknown.
            InvalidRange: A moment has no time zone.
            ConnectionLost: The server cannot be reached.

        Example:
            >>> replay = bridge.replay(Order, nine, ten, speed=60)
            >>> orders_then = replay.live
        """
        require_jvm()
        return Replay(self._conninfo, cls, start, end, speed, filter=filter, columns=columns)

    def __repr__(self) -> str:
        return f"<StoreBridge of {', '.join(sorted(self._feeds)) or 'no type'}: {login_shown(self._conninfo)}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _running_followers(self) -> list[Follower]:
        with self._lock:
            followers, running = list(self._followers), self._running
        if not running:
            raise BridgeError("this bridge does not run: call start()")
        for follower in followers:
            follower.check()
        return followers

    def _probe(self) -> closing[PooledConnection]:
        return closing(connect(self._conninfo))

    def _feed(self, cls: type[Storable]) -> Feed:
        name = record_schema(cls).type_name
        if name not in self._feeds:
            known = ", ".join(sorted(self._feeds)) or "no type"
            raise BridgeError(f"{name} is not registered with this bridge; it has {known}")
        return self._feeds[name]

    def _follow(self, feeds: list[Feed]) -> None:
        # A type that is registered later gets a reader of its own, which begins at the beginning. So does one with a
        # writer that is not ours: where that is slow, or fails, the others go on.
        follower = Follower(self._conninfo, feeds, self._subscriber_id, self._poll_seconds, self._followers)
        follower.start()
        self._followers.append(follower)

    def _take_followers(self) -> list[Follower]:
        followers, self._followers = self._followers, []
        return followers
