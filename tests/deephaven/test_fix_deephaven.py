"""The server that the tests share."""

from __future__ import annotations

from typing import Any

import pytest
from pydeephaven import DHError, Session

from server.embedded import AUTH_TYPE, DeephavenServer


def test_deephaven_session_sees_a_table_published_in_this_process(
    deephaven_context: Any, deephaven_session: Session
) -> None:
    from deephaven import empty_table

    import __main__

    __main__.fixture_table = empty_table(3).update("Square = ii * ii")
    try:
        shown = deephaven_session.open_table("fixture_table").to_arrow().to_pydict()
    finally:
        del __main__.fixture_table
    assert shown == {"Square": [0, 1, 4]}


def test_deephaven_server_wrong_key_is_refused(deephaven_server: DeephavenServer) -> None:
    with pytest.raises(DHError):
        Session(host=deephaven_server.host, port=deephaven_server.port, auth_type=AUTH_TYPE, auth_token="wrong")


def test_deephaven_server_leaves_pytest_its_streams(
    deephaven_server: DeephavenServer, capsys: pytest.CaptureFixture[str]
) -> None:
    print("seen by pytest")
    assert capsys.readouterr().out == "seen by pytest\n"
