"""Where to connect: what cannot be a login is refused before libpq takes it for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge import StoreBridge
from store.conninfo import conninfo
from store.errors import StoreError
from store.events import EventBus
from store.server import ObjectStoreServer
from store.subscriptions import SubscriptionListener

LOGIN: dict[str, Any] = {"user": "alice", "password": "sesame", "host": "localhost", "port": 5432, "dbname": "store"}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("user", "", "user is the name of a login, not ''"),
        ("user", None, "user is the name of a login, not None"),
        ("user", 5, "user is the name of a login, not 5"),
        ("user", "al\x00ice", "user: expected text without NUL characters"),
        ("user", "\ud800", "user: expected valid Unicode text"),
        ("password", "se\x00same", "password: expected text without NUL characters"),
        ("password", "\ud800", "password: expected valid Unicode text"),
        ("host", "local\x00host", "host: expected text without NUL characters"),
        ("dbname", "", "dbname is the name of a database, not ''"),
        ("dbname", None, "dbname is the name of a database, not None"),
        ("dbname", "st\x00ore", "dbname: expected text without NUL characters"),
    ],
)
def test_conninfo_refuses_what_libpq_cannot_take_or_would_replace(name: str, value: Any, told: str) -> None:
    with pytest.raises(StoreError) as caught:
        conninfo(**(LOGIN | {name: value}))
    assert told in str(caught.value)
    assert "same" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("password", ""), ("password", None), ("host", ""), ("port", "5432")])
def test_conninfo_leaves_to_libpq_what_it_knows_by_itself(name: str, value: Any) -> None:
    assert conninfo(**(LOGIN | {name: value}))[name] == value


def test_what_connects_shows_whereto_and_never_with_which_password() -> None:
    where = "'alice' at localhost:5432/store"
    assert repr(SubscriptionListener(EventBus(), **LOGIN)) == f"<SubscriptionListener: {where}>"
    assert repr(SubscriptionListener(EventBus(), **LOGIN, subscriber_id="risk")) == (
        f"<SubscriptionListener 'risk': {where}>"
    )
    assert repr(StoreBridge(**LOGIN)) == f"<StoreBridge of no type: {where}>"


def test_a_server_shows_where_its_data_is(tmp_path: Path) -> None:
    assert repr(ObjectStoreServer(tmp_path)) == f"<ObjectStoreServer in {tmp_path}, not running>"
    assert repr(ObjectStoreServer()) == "<ObjectStoreServer in a temporary directory, not running>"
