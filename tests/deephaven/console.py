"""What the console of the web IDE shows: Deephaven sends it to every browser that has logged in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any


def console_messages(session: Any) -> Iterator[str]:
    """Yield what the console of the web IDE is sent within two seconds from the first message on."""
    import grpc
    from deephaven_core.proto import console_pb2, console_pb2_grpc

    stub = console_pb2_grpc.ConsoleServiceStub(session.grpc_channel)
    stream = stub.SubscribeToLogs(console_pb2.LogSubscriptionRequest(), metadata=session.grpc_metadata, timeout=60)
    end = threading.Timer(2, stream.cancel)
    try:
        for number, message in enumerate(stream):
            if number == 0:
                end.start()
            yield message.message
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)  # type: ignore[attr-defined]
