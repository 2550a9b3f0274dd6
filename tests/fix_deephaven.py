"""One Deephaven server for the whole run, started by the first test that asks for it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pydeephaven import Session

HEAP = "1g"


@dataclass(frozen=True)
class DeephavenServer:
    """Where the run's server listens, and the key that opens it."""

    host: str
    port: int
    key: str

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a client's session; another process uses `host`, `port` and `key` in the same way."""
        from pydeephaven import Session

        session = Session(
            host=self.host,
            port=self.port,
            auth_type="io.deephaven.authentication.psk.PskAuthenticationHandler",
            auth_token=self.key,
        )
        try:
            yield session
        finally:
            session.close()


@pytest.fixture(scope="session")
def deephaven_server() -> DeephavenServer:
    """The run's Deephaven server. It lives as long as the process: a JVM can neither stop nor start again."""
    from deephaven_server import Server

    key = secrets.token_urlsafe(24)
    streams = sys.stdout, sys.stderr
    try:
        server = Server(
            host="127.0.0.1",
            port=0,
            jvm_args=[
                f"-Xmx{HEAP}",
                f"-Dauthentication.psk={key}",
                # Both are a second by default; a test would wait for each.
                "-DPeriodicUpdateGraph.targetCycleDurationMillis=100",
                "-Dbarrage.minUpdateInterval=100",
                "-DBarrageMessageProducer.subscriptionGrowthEnabled=false",
                "-Ddeephaven.console.type=python",
            ],
        )
        server.start()
    finally:
        # The server puts its own in place, past which pytest would not see what a test prints.
        sys.stdout, sys.stderr = streams
    return DeephavenServer("127.0.0.1", server.port, key)


@pytest.fixture
def execution(deephaven_server: DeephavenServer) -> Iterator[Any]:
    """Deephaven's execution context and a liveness scope, so that a test's tables are released at its end."""
    from deephaven.execution_context import get_exec_ctx
    from deephaven.liveness_scope import liveness_scope

    context = get_exec_ctx()
    with context, liveness_scope():
        yield context
