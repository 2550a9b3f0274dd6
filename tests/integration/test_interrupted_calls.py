"""Ctrl-C inside a call: the client goes on, and no connection is left in a state that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from store import connection
from store.models import Trade
from tests.fix_postgres import StoreDatabase


def trade() -> Trade:
    return Trade(symbol="AAPL", quantity=1, price=150.0, side="BUY")


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "transaction"])
def test_ctrl_c_once_a_statement_is_prepared_leaves_the_client_sound(
    store_db: StoreDatabase, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    client, obj, run = store_db.client(), trade(), connection.run

    def interrupted(conn: Any, text: str, *params: Any, **options: Any) -> Any:
        rows = run(conn, text, *params, **options)
        if text.startswith("PREPARE"):  # the signal came while libpq waited: Python sees it now
            raise KeyboardInterrupt
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(connection, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            if inside:
                with client.transaction():
                    client.write(obj)
            else:
                client.write(obj)
    assert obj.entity_id is None
    for _ in range(2):
        client.write(trade())
    assert client.count(Trade) == 2
    assert client.stats().pool.in_use == 0
