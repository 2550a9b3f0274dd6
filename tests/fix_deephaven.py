"""One Deephaven server for the whole run, started by the first test that asks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pydeephaven import Session

    from server.embedded import DeephavenServer


@pytest.fixture(scope="session")
def deephaven_server(tmp_path_factory: pytest.TempPathFactory) -> DeephavenServer:
    """The run's Deephaven server, on a free port, with a key of its own.

    It lives as long as the process: a JVM can neither stop nor start again.
    """
    from server.embedded import DeephavenServer

    streams = sys.stdout, sys.stderr
    try:
        return DeephavenServer(port=0, heap="1g", key_file=tmp_path_factory.mktemp("key") / "deephaven.key").start()
    finally:
        # Deephaven puts its own streams in place, past which pytest would not see what a test prints.
        sys.stdout, sys.stderr = streams


@pytest.fixture
def deephaven_context(deephaven_server: DeephavenServer) -> Iterator[Any]:
    """Deephaven's execution context, open, in a liveness scope that releases the test's tables at its end."""
    from deephaven.execution_context import get_exec_ctx
    from deephaven.liveness_scope import liveness_scope

    context = get_exec_ctx()
    with context, liveness_scope():
        yield context


@pytest.fixture
def deephaven_session(deephaven_server: DeephavenServer) -> Iterator[Session]:
    """A client's session, as another process would open it."""
    from client.session import ClientSession
    from server.embedded import AUTH_TYPE

    session = ClientSession(
        host=deephaven_server.host,
        port=deephaven_server.port,
        auth_type=AUTH_TYPE,
        auth_token=deephaven_server.key,
    )
    yield session
    with suppress(Exception):
        session.close()
