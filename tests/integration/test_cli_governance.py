"""`python -m store publish`, `retire`, `published`, `govern` and `catalog`, as administrators and users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from store.base import record_schema
from store.client import StoreClient
from store.columns import REGISTRY
from store.errors import NotPublished
from store.models import Trade
from tests.fix_postgres import StoreDatabase
from tests.integration.workers.command_line import CommandLine, by_url

DESK = """\
from dataclasses import dataclass
from store import StateMachine, Storable, Transition
from store.columns import REGISTRY
from store.models import Trade

REGISTRY.define("fund", str, description="Fund that asks", role="dimension", max_length=8, synonyms=["vehicle"])

class Life(StateMachine):
    initial = "OPEN"
    transitions = [Transition("OPEN", "DONE", allowed_by=["head_of_desk"])]

class Base(Storable):
    pass

@dataclass
class Ticket(Base, state_machine=Life):
    symbol: str = ""
    fund: str = ""

@dataclass
class Note(Base):
    label: str = ""
"""


@pytest.fixture
def modules(tmp_path: Path) -> dict[str, str]:
    """The environment of commands that find `desk_classes`."""
    (tmp_path / "desk_classes.py").write_text(DESK)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaving.py").write_text("raise SystemExit(0)")
    (tmp_path / "imports_only.py").write_text("from store.models import Trade")
    root = CommandLine().environment()["PYTHONPATH"]
    return {"PYTHONPATH": f"{root}:{tmp_path}"}


def test_publish_module_publishes_the_classes_that_it_defines(store_db: StoreDatabase, modules: dict[str, str]) -> None:
    owner = by_url(store_db, "postgres")
    done = owner.run("publish", "desk_classes", "store.models:Trade", **modules)
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["type", "revision", "result"],
        ["Ticket", "1", "published"],
        ["Note", "1", "published"],
        ["Trade", "1", "published"],
    ]
    assert done.stderr == "Ticket: 'head_of_desk' may take a transition, and is no user or group yet\n"
    assert owner.lines("publish", "desk_classes:Note", **modules)[1].split() == ["Note", "1", "unchanged"]
    [record] = owner.records("publish", "desk_classes:Ticket", **modules)
    assert record == {"type": "Ticket", "revision": 1, "changed": False, "notes": []}
    rows = by_url(store_db, "alice").records("published")
    assert [(row["type"], row["fields"], row["machine"], row["published_by"]) for row in rows] == [
        ("Note", 1, None, "postgres"),
        ("Ticket", 2, "Life", "postgres"),
        ("Trade", len(record_schema(Trade).fields), None, "postgres"),
    ]


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("no_such_module", "cannot import no_such_module: No module named 'no_such_module'"),
        ("broken", "cannot import broken: ZeroDivisionError: division by zero"),
        ("leaving", "cannot import leaving: SystemExit: 0"),
        ("imports_only", "imports_only defines no stored class; it imports some from store.models"),
        ("desk_classes:Tickt", "desk_classes has no stored class Tickt; did you mean Ticket?"),
    ],
)
def test_publish_of_what_is_no_class_says_so(
    module_store_db: StoreDatabase, modules: dict[str, str], module: str, told: str
) -> None:
    assert by_url(module_store_db, "postgres").fails("publish", module, **modules) == f"Error: {told}"


def test_publish_that_would_lose_data_fails_with_the_way_out(store_db: StoreDatabase, modules: dict[str, str]) -> None:
    client = store_db.client()
    entity_id = client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY", book="EQ"))
    by_url(store_db, "postgres").lines("publish", "store.models:Trade")
    narrow = Path(modules["PYTHONPATH"].rpartition(":")[2]) / "narrow.py"
    narrow.write_text(
        "from dataclasses import dataclass\nfrom store import Storable\n\n"
        "@dataclass\nclass Trade(Storable):\n    symbol: str = ''\n    quantity: int = 0\n    price: float = 0.0\n"
        "    side: str = ''\n    currency: str = 'USD'\n"
    )
    line = by_url(store_db, "postgres").fails("publish", "narrow", **modules)
    assert f"Trade.book: 1 entity (such as {entity_id}) holds a value in this field" in line
    assert "trader_name" not in line  # nobody gave it a value


def test_commands_of_administrators_are_refused_to_users(store_db: StoreDatabase) -> None:
    alice = by_url(store_db, "alice")
    for command in (["publish", "store.models"], ["retire", "Trade"], ["govern"]):
        assert alice.fails(*command) == "Error: alice may not do that: it takes an administrator's login"
    assert alice.lines("published") == ["type  revision  retired  fields  machine  published_by  published_at"]


def test_govern_and_retire_close_the_store_to_clients(store_db: StoreDatabase) -> None:
    owner = by_url(store_db, "postgres")
    client: StoreClient = store_db.client()
    trade = Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY")
    assert owner.lines("govern") == ["the store takes published types only"]
    with pytest.raises(NotPublished, match="python -m store publish MODULE"):
        client.write(trade)
    owner.lines("publish", "store.models")
    client.write(trade)
    assert owner.records("retire", "Trade") == [{"type": "Trade", "changed": True}]
    with pytest.raises(NotPublished, match="retired"):
        client.delete(trade)
    assert owner.lines("retire", "Trade") == ["Trade was already retired"]
    assert owner.fails("retire", "Tradee") == "Error: Tradee is not published"
    assert owner.lines("govern", "--off") == ["the store takes types that are not published, too"]
    trail = [(row["action"], row["subject"], row["detail"]) for row in owner.records("trail")]
    assert ("GOVERNED", store_db.dbname, None) in trail
    assert ("TYPE_PUBLISHED", "Trade", "revision 1") in trail
    assert trail[-2:] == [("TYPE_RETIRED", "Trade", "revision 2"), ("UNGOVERNED", store_db.dbname, None)]


# ---- the catalog


def test_catalog_shows_every_column_in_each_form() -> None:
    line = CommandLine()
    names = [row.split()[0] for row in line.lines("catalog")[1:]]
    assert len(names) >= 49
    assert set(names) <= {column.name for column in REGISTRY.all_columns()}  # where other tests may have added some
    assert [row["name"] for row in line.records("catalog")] == names
    assert [json.loads(row)["name"] for row in line.lines("catalog", "--json")] == names
    rows = [row for row in line.lines("catalog", "--markdown") if row.startswith("| ") and "| column |" not in row]
    assert sorted(row.split("|")[1].strip() for row in rows) == sorted(names)


def test_catalog_searches_and_shows_what_a_module_defines(modules: dict[str, str]) -> None:
    line = CommandLine()
    assert [row.split()[0] for row in line.lines("catalog", "ticker")][:2] == ["column", "symbol"]
    found = line.lines("catalog", "vehicle", "--module", "desk_classes", "--json", **modules)
    assert json.loads(found[0])["name"] == "fund"
    assert line.fails("catalog", "zzzzqqqq") == "Error: no column answers to 'zzzzqqqq'"
    schema = json.loads("\n".join(line.lines("catalog", "--schema", "Ticket", "--module", "desk_classes", **modules)))
    assert (schema["title"], schema["description"], list(schema["properties"])) == ("Ticket", "", ["symbol", "fund"])
    assert line.fails("catalog", "--schema", "Tickt", "--module", "desk_classes", **modules) == (
        "Error: there is no class of type Tickt; did you mean Ticket?"
    )
