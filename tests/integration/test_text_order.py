"""Text compares and changes case by code point and by Unicode's own rules, whatever the database's locale."""

from __future__ import annotations

import sys
import unicodedata

import psycopg2
import pytest

from reactive.expr import Const, Field
from store.client import StoreClient
from tests.fix_postgres import StoreDatabase
from tests.integration.samples import Position

pytestmark = pytest.mark.both_servers

# Code points in order; a Turkish locale orders and folds several of them otherwise, and so does a plain C locale.
LABELS = ["", " ", "A", "I", "Z", "_", "a", "i", "z", "Ä", "ß", "ä", "İ", "\u0131", "Σ", "ΑΣ", "ς", "ﬁ", "🂡", "😀"]


@pytest.fixture
def client(store_db: StoreDatabase) -> StoreClient:
    client = store_db.client("alice")
    client.write_many([Position(label=label) for label in reversed(LABELS)])
    return client


def labels(client: StoreClient, condition: object = None, **options: object) -> list[str | None]:
    return [found.label for found in client.query(Position, condition, limit=None, **options)]  # type: ignore[arg-type]


def test_order_is_that_of_code_points(client: StoreClient) -> None:
    assert sorted(LABELS, key=str.casefold) != LABELS
    assert labels(client, order_by="label") == sorted(LABELS)
    assert labels(client, order_by="-label") == sorted(LABELS, reverse=True)


@pytest.mark.parametrize("bound", ["I", "_", "i", "\u0131", "😀"])
def test_comparison_is_by_code_points(client: StoreClient, bound: str) -> None:
    assert sorted(labels(client, Field("label") < bound)) == sorted(x for x in LABELS if x < bound)  # type: ignore[type-var]
    assert sorted(labels(client, Field("label") >= bound)) == sorted(x for x in LABELS if x >= bound)  # type: ignore[type-var]


@pytest.mark.parametrize("change", ["upper", "lower"])
def test_case_changes_as_in_python(client: StoreClient, change: str) -> None:
    for label in LABELS:
        changed = getattr(Field("label"), change)()
        expected = sorted(x for x in LABELS if getattr(x, change)() == getattr(label, change)())
        assert sorted(labels(client, changed == getattr(label, change)())) == expected  # type: ignore[type-var]


def test_changed_case_compares_concatenates_and_orders_by_code_points(client: StoreClient) -> None:
    upper = Field("label").upper()
    assert sorted(labels(client, upper < "_")) == sorted(x for x in LABELS if x.upper() < "_")  # type: ignore[type-var]
    twice = upper.concat(Field("label").lower())
    assert sorted(labels(client, twice >= Const("Ii"))) == sorted(x for x in LABELS if x.upper() + x.lower() >= "Ii")  # type: ignore[type-var]
    assert sorted(labels(client, upper.contains("S"))) == sorted(x for x in LABELS if "S" in x.upper())  # type: ignore[type-var]


def test_order_of_names_is_that_of_code_points(store_db: StoreDatabase) -> None:
    for user in ("alice", "Zoe", "_bot", "\u0131lker"):
        store_db.provision(user)
        store_db.client(user, readers=["bob"]).write(Position(label=user))
    found = [obj.owner for obj in store_db.client("bob").query(Position, order_by="owner")]
    assert found == sorted(["alice", "Zoe", "_bot", "\u0131lker"])


def test_every_letter_changes_case_as_in_python(store_db: StoreDatabase) -> None:
    # But for letters to which only one side's edition of Unicode gives another case.
    letters = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n))[0] == "L"]
    connection: psycopg2.extensions.connection = store_db.connect("alice")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT x, upper(x COLLATE store.casing), lower(x COLLATE store.casing) FROM unnest(%s) AS x", (letters,)
        )
        found = {x: {(upper, lower), (x.upper(), x.lower())} for x, upper, lower in cursor}
    differing = {x: cases - {(x, x)} for x, cases in found.items() if len(cases) > 1}
    assert len(found) > 100_000
    assert {x: cases for x, cases in differing.items() if len(cases) > 1} == {}
    assert len(differing) < 200
