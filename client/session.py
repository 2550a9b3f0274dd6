"""The session with a Deephaven server, as pydeephaven has it, without what would hold a client up."""

from __future__ import annotations

import logging
from collections import deque

from pydeephaven import Session
from pydeephaven.ticket import Ticket

__all__ = ["ClientSession"]

# Its timer reports a lost connection on the terminal, over and over; the client says so once, as an error.
logging.getLogger("pydeephaven").addHandler(logging.NullHandler())


class ClientSession(Session):
    """A session that lets go of tables in the thread of its next call, not in that of the garbage collector.

    The collector may run inside gRPC's own thread, where pydeephaven's `Table.__del__` would wait for an answer that
    only this thread can take, or for the lock of a call that waits for one: for ever.
    """

    _let_go: deque[Ticket]

    @property
    def is_alive(self) -> bool:
        """Whether the session is open; asks nobody, and waits for no lock."""
        return bool(self.is_connected)

    def release(self, ticket: Ticket) -> None:
        """Remember a ticket that nobody needs any more."""
        self.__dict__.setdefault("_let_go", deque()).append(ticket)

    def release_tables(self) -> None:
        """Tell the server what nobody needs any more."""
        tickets = self.__dict__.setdefault("_let_go", deque())
        while tickets:
            super().release(tickets.popleft())
