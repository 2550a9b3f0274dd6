"""The demo as a person runs it: a process of its own, watched from outside."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from server.access_key import load_or_create_key
from server.embedded import AUTH_TYPE
from store.client import StoreClient
from store.models import Order
from store.server import ObjectStoreServer
from tests.deephaven.console import console_messages
from tests.fix_children import Child, Children
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pydeephaven import Session

pytestmark = pytest.mark.timeout(900)  # the demo is started twice in a test
START_SECONDS = 150.0  # even where other programs keep all cores busy
TABLES = (
    *("orders_raw", "orders_live", "trades_raw", "trades_live"),
    *("portfolio", "risk_calcs", "risk_live", "risk_totals"),
)


class Demo:
    """Starts the demo with a key and a store of its own."""

    def __init__(self, children: Children, folder: Path) -> None:
        self._children = children
        self._config = folder / "config"
        self.store = folder / "store"
        self.key = load_or_create_key(self._config / "deephaven-trading-platform" / "deephaven.key")

    def run(self, *arguments: str) -> Child:
        variables = {"XDG_CONFIG_HOME": str(self._config)}
        return self._children.run("demo_bridge.py", "--port", "0", "--seed", "1", *arguments, env=variables)

    @contextmanager
    def session(self, child: Child) -> Iterator[Session]:
        """Connect to a running demo, as another program does with the address that it prints."""
        from client.session import ClientSession

        address = child.wait_for_line("http://127.0.0.1:", START_SECONDS).split()[-1]
        assert address.endswith(f"/?psk={self.key}")
        port = int(address.split(":")[2].split("/")[0])
        session = ClientSession(host="127.0.0.1", port=port, auth_type=AUTH_TYPE, auth_token=self.key)
        try:
            yield session
        finally:
            session.close()


@pytest.fixture
def demo(children: Children, tmp_path: Path) -> Demo:
    return Demo(children, tmp_path)


def rows(session: Session, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return a published table's rows."""
    found = session.open_table(table).to_arrow().select(list(columns)).to_pylist()
    return [tuple(row.values()) for row in found]


def belonging_to(store: Path) -> list[psutil.Process]:
    """Return the processes that serve a store, those of PostgreSQL among them; its main one is no child of ours."""
    main = [
        process
        for process in psutil.process_iter(["pid", "cmdline"])
        if str(store) in " ".join(process.info["cmdline"] or ())
    ]
    return [*main, *(child for process in main for child in children_of(process))]


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes below one; none below one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def listening_addresses(process: psutil.Process) -> list[str]:
    """Return where a process listens; nowhere if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return [found.laddr.ip for found in process.net_connections("tcp") if found.status == psutil.CONN_LISTEN]
    return []


def told_at_start(process: psutil.Process) -> bytes:
    """Return the arguments and variables of a process, which everybody of its user may look up."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        return b"".join(Path(f"/proc/{process.pid}/{place}").read_bytes() for place in ("cmdline", "environ"))
    return b""


def assert_ended_cleanly(child: Child, demo: Demo) -> None:
    assert child.wait() == 0, child.output
    assert "Stopped." in child.lines
    assert "Traceback" not in child.output
    assert belonging_to(demo.store) == []


def test_demo_interrupted_and_started_again_shows_every_event_once(demo: Demo) -> None:
    first = demo.run("--data-dir", str(demo.store))
    with demo.session(first) as session, ObjectStoreServer(demo.store) as store:
        store.provision_user("auditor", "auditor_pw", reads_all=True)
        with StoreClient(user="auditor", password="auditor_pw", **store.conn_info()) as client:
            for table in TABLES:
                wait_until(lambda table=table: session.open_table(table).to_arrow().num_rows > 0)

            def live_equals_read() -> bool:
                shown = rows(session, "orders_live", "EntityId", "State", "quantity")
                read = [client.read(Order, entity) for entity, _, _ in shown]
                orders = [(order.entity_id, order.state, order.quantity) for order in read if order is not None]
                return sorted(shown) == sorted(orders) and len(shown) == client.count(Order) > 5

            wait_until(live_equals_read)
        events = rows(session, "orders_raw", "EntityId", "Version")
    first.interrupt()
    assert_ended_cleanly(first, demo)

    second = demo.run("--data-dir", str(demo.store))
    with demo.session(second) as session:
        wait_until(lambda: set(events) <= set(rows(session, "orders_raw", "EntityId", "Version")))
        again = Counter(rows(session, "orders_raw", "EntityId", "Version"))
    assert set(again.values()) == {1}
    second.send(signal.SIGTERM)
    assert_ended_cleanly(second, demo)


def test_demo_listens_on_loopback_only_and_leaves_its_secrets_nowhere(demo: Demo, tmp_path: Path) -> None:
    child = demo.run("--data-dir", str(demo.store))
    with demo.session(child) as session:
        wait_until(lambda: session.open_table("orders_live").to_arrow().num_rows > 0)
        console = list(console_messages(session))
    demo_process = psutil.Process(child.pid)
    processes = {
        process.pid: process for process in [demo_process, *children_of(demo_process), *belonging_to(demo.store)]
    }
    assert any(b"postgres" in told_at_start(process) for process in processes.values())
    listening = [address for process in processes.values() for address in listening_addresses(process)]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}
    passwords = {path: path.read_text().strip() for path in demo.store.rglob("*.password")}
    secrets = [demo.key, *passwords.values()]
    assert all(secrets)
    for process in processes.values():
        told = told_at_start(process)
        assert not [secret for secret in secrets if secret.encode() in told], process
    assert console
    assert not [message for message in console for secret in secrets if secret in message]
    child.interrupt()
    assert_ended_cleanly(child, demo)
    assert child.output.count(demo.key) == 1  # the address to open
    assert not [password for password in passwords.values() if password in child.output]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "deephaven.key"]
    assert [path for path in written if path.name.endswith("log") and path.stat().st_size]
    found = [
        path
        for path in written
        if path not in passwords and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]
    assert found == []


def test_demo_told_to_stop_while_it_starts_ends_cleanly(demo: Demo) -> None:
    child = demo.run("--data-dir", str(demo.store))
    child.wait_for_line("PostgreSQL is up")
    child.send(signal.SIGTERM)
    assert_ended_cleanly(child, demo)


def test_demo_price_history_is_played_to_its_last_close(demo: Demo) -> None:
    package = importlib.util.find_spec("bokeh_sampledata")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "_data" / "stocks.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        bars = sorted((row["Date"], row["Ticker"], row["Close"]) for row in csv.DictReader(file))
    closes = {ticker: float(close) for _, ticker, close in bars}

    child = demo.run("--seconds", "6", "--prices", str(path))
    assert child.wait(120) == 0, child.output
    child.wait_for_line(f"Played {len(bars):,d} of {len(bars):,d} prices")
    sections = {line.split()[0]: number for number, line in enumerate(child.lines) if line.startswith(TABLES)}
    assert tuple(sections) == TABLES
    for name, number in sections.items():
        heading, body = child.lines[number + 1].split(), child.lines[number + 2].split()
        assert heading, name
        assert body, name
    shown = {}
    for line in child.lines[sections["risk_live"] + 2 :]:
        if not line:
            break
        symbol, _, price, *_ = line.split()
        shown[symbol] = float(price.replace(",", ""))
    assert shown == closes
    counted = int(child.lines[sections["risk_calcs"]].split()[1].replace(",", ""))
    assert counted >= len(bars)
    assert "Traceback" not in child.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prices", "none.csv"], "none.csv: there is no such file"),
        (["--prices", "README.md"], "neither a .csv nor a .csv.gz nor a .parquet"),
        (["--seconds", "0"], "argument --seconds: a number of seconds above 0 is needed, not '0'"),
        (["--seconds", "many"], "argument --seconds: a number of seconds above 0 is needed, not 'many'"),
    ],
)
def test_demo_impossible_argument_is_refused_before_anything_starts(
    demo: Demo, arguments: list[str], message: str
) -> None:
    child = demo.run(*arguments)
    assert child.wait() == 2
    assert message in child.output
    assert "Traceback" not in child.output
    assert "is up" not in child.output


def test_demo_port_that_cannot_be_is_refused_before_there_is_a_store(demo: Demo) -> None:
    child = demo.run("--port", "70000", "--data-dir", str(demo.store))
    assert child.wait() == 1
    assert "demo_bridge.py: port 70000 is not between 0 and 65535" in child.output
    assert not demo.store.exists()


def test_demo_symbol_that_cannot_be_traded_is_refused(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("date,symbol,price\n2013-03-01,not a symbol,1\n", encoding="utf-8")
    child = demo.run("--prices", str(path))
    assert child.wait() == 2
    assert "the symbol 'not a symbol' cannot be traded here" in child.output
