"""The clients' connection and screens, against tables with known numbers."""

from __future__ import annotations

import gc
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from client import pm_client, quant_client, risk_client
from client.base_client import DeephavenClient
from client.errors import AccessRefused, ClientError, ScriptFailed, ServerUnreachable, TableNotFound
from client.panel import Panel
from server.embedded import DeephavenServer
from tests.waiting import wait_until

Publish = Callable[..., None]


@pytest.fixture
def client(deephaven_context: Any, deephaven_server: DeephavenServer) -> Iterator[DeephavenClient]:
    with DeephavenClient(deephaven_server.host, deephaven_server.port, key=deephaven_server.key) as client:
        yield client


@pytest.fixture
def publish(deephaven_context: Any, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Return what publishes a table of columns under a name, or a table as it is."""
    from deephaven import new_table
    from deephaven.column import double_col, long_col, string_col

    import __main__

    makers = {str: string_col, int: long_col, float: double_col}

    def make(name: str, table: Any = None, **columns: list[Any]) -> None:
        made = table or new_table([makers[type(values[0])](column, values) for column, values in columns.items()])
        monkeypatch.setattr(__main__, name, made, raising=False)

    return make


def shown(client: DeephavenClient, panel: Panel) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.read(panel.table).to_pylist()
    return found


# ---- the connection


def test_client_lists_opens_filters_and_sorts_tables(client: DeephavenClient, publish: Publish) -> None:
    publish("quotes_live", Symbol=["MSFT", "AAPL", "NVDA"], Price=[400.0, 230.0, 130.0])
    # The server notices by and by what the program around it has published.
    wait_until(lambda: "quotes_live" in client.list_tables())
    table = client.open_table("quotes_live").where("Price > 200").sort("Symbol")
    assert table.to_arrow().to_pandas()["Symbol"].tolist() == ["AAPL", "MSFT"]
    assert client.read("quotes_live").num_rows == 3


def test_client_makes_views_on_the_server_and_publishes_tables(client: DeephavenClient, publish: Publish) -> None:
    publish("quotes_live", Symbol=["MSFT", "AAPL"], Price=[400.0, 230.0])
    client.run_script("dear_quotes = quotes_live.where('Price > 300')")
    assert client.read("dear_quotes")["Symbol"].to_pylist() == ["MSFT"]
    client.bind_table("cheap_quotes", client.open_table("quotes_live").where("Price < 300"))
    assert client.read("cheap_quotes")["Symbol"].to_pylist() == ["AAPL"]
    with pytest.raises(ClientError, match="cannot name a table"):
        client.bind_table("no name", client.open_table("quotes_live"))
    client.run_script("del dear_quotes, cheap_quotes")


def test_client_script_that_fails_says_so_in_the_server_s_words(client: DeephavenClient) -> None:
    with pytest.raises(ScriptFailed, match="no such price"):
        client.run_script("raise ValueError('no such price')")


def test_client_table_without_a_column_is_explained(client: DeephavenClient, publish: Publish) -> None:
    publish("exposures_live", Symbol=["MSFT"], Price=[400.0])
    wait_until(lambda: "exposures_live" in client.list_tables())
    with pytest.raises(ClientError) as refused, client.explaining():
        risk_client.panels(client)
    assert "failed to finish" in str(refused.value)
    for name in ("class", "Größe"):
        with pytest.raises(ClientError, match="cannot name a table"):
            client.bind_table(name, client.open_table("exposures_live"))
    with pytest.raises(TableNotFound, match="'Größe'"):
        client.open_table("Größe")


def test_client_unknown_table_names_the_nearest(client: DeephavenClient, publish: Publish) -> None:
    publish("quotes_live", Symbol=["MSFT"])
    wait_until(lambda: "quotes_live" in client.list_tables())
    with pytest.raises(TableNotFound, match="did you mean 'quotes_live'"):
        client.open_table("quote_live")


def test_client_what_is_no_name_and_no_function_is_refused_at_once(client: DeephavenClient, publish: Publish) -> None:
    publish("quotes_live")
    with pytest.raises(ClientError, match="a table is named by a text, not 5"):
        client.open_table(5)  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="on_update takes a function, not None"):
        client.subscribe("quotes_live", None)  # type: ignore[arg-type]


def test_client_subscription_sees_each_change_until_it_stops(client: DeephavenClient, publish: Publish) -> None:
    from bridge import TableWriter

    writer = TableWriter("ticks", {"Symbol": "string", "Price": "double"})
    publish("ticks_live", writer.blink.last_by("Symbol"))
    seen: list[float] = []
    lock = threading.Lock()

    def note(update: Any) -> None:
        with lock:
            for column in (update.added("Price"), update.modified("Price")):
                seen.extend(column["Price"].to_pylist() if column else [])

    subscription = client.subscribe("ticks_live", note)
    for price in (1.0, 2.0, 3.0):
        writer.write_row("AAPL", price)
        wait_until(lambda price=price: price in seen)  # type: ignore[misc]
    subscription.stop()
    writer.write_row("AAPL", 4.0)
    assert writer.wait_visible(120)
    assert seen == sorted(seen)
    assert 4.0 not in seen


def threads() -> set[threading.Thread]:
    """Return the threads that Python began; Java's own come and go."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


def test_client_subscription_ends_with_the_client(
    deephaven_context: Any, deephaven_server: DeephavenServer, publish: Publish
) -> None:
    from bridge import TableWriter

    writer = TableWriter("ticks", {"Symbol": "string", "Price": "double"})
    publish("ticks_live", writer.blink.last_by("Symbol"))
    client = DeephavenClient(deephaven_server.host, deephaven_server.port, key=deephaven_server.key)
    before = threads()
    client.subscribe("ticks_live", lambda update: None)
    assert threads() - before
    assert repr(client) == f"<DeephavenClient: {client.address}>"
    client.close()
    client.close()
    assert repr(client) == f"<DeephavenClient: {client.address}, closed>"
    wait_until(lambda: not threads() - before, message="the subscription's threads have ended")
    with pytest.raises(ClientError, match="this client is closed"):
        client.list_tables()


def test_client_wrong_key_and_dead_port_are_told_apart(deephaven_server: DeephavenServer, unused_port: int) -> None:
    with pytest.raises(AccessRefused, match="refuses the key from key="):
        DeephavenClient(deephaven_server.host, deephaven_server.port, key="not-the-key-of-it")
    with pytest.raises(AccessRefused, match="wants a key"):
        DeephavenClient(deephaven_server.host, deephaven_server.port, anonymous=True)
    with pytest.raises(ServerUnreachable, match=rf"at 127.0.0.1:{unused_port} \(Connection refused\)"):
        DeephavenClient("127.0.0.1", unused_port, key="any-key-will-do-here")


def test_client_table_collected_in_grpc_s_own_thread_does_not_hang_the_connection(
    client: DeephavenClient, publish: Publish
) -> None:
    publish("quotes_live", Symbol=["MSFT"])
    held: list[Any] = [client.open_table("quotes_live").view(["Symbol"])]
    held.append(held)  # a circle, which only the garbage collector ends
    collected = threading.Event()
    stub = client.session.config_service._grpc_app_stub  # type: ignore[union-attr]
    answer = stub.GetConfigurationConstants.future(_constants_request(), metadata=client.session.grpc_metadata)
    del held
    with client.session._r_lock:  # type: ignore[union-attr]  # as a call does that waits for its answer
        answer.add_done_callback(lambda _: (gc.collect(), collected.set()))
        assert collected.wait(120)
    assert client.read("quotes_live").num_rows == 1


def _constants_request() -> Any:
    from deephaven_core.proto import config_pb2

    return config_pb2.ConfigurationConstantsRequest()


def test_client_anonymous_with_a_key_is_refused() -> None:
    with pytest.raises(ClientError, match="leave out key="):
        DeephavenClient(key="k", anonymous=True)


def test_client_session_that_the_server_forgot_is_opened_again(client: DeephavenClient, publish: Publish) -> None:
    publish("quotes_live", Symbol=["MSFT"])
    opened = client.open_table("quotes_live")
    client.session.session_service.close()  # as a restart of the server does, the client does not know
    with pytest.raises(ServerUnreachable, match="open the tables anew"):
        client.read(opened)
    assert client.read("quotes_live").num_rows == 1
    client.session.session_service.close()
    client.list_tables()


# ---- the screens


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port at which nobody listens, and which is nobody else's meanwhile."""
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def desk(publish: Publish) -> None:
    """Publish a small desk: two books, two currencies, limits of each metric."""
    publish(
        "positions_live",
        Book=["EQ", "EQ", "EU", "EU", "EU"],
        Symbol=["AAPL", "MSFT", "SAP", "GONE", "UNPRICED"],
        Currency=["USD", "USD", "EUR", "EUR", "EUR"],
        Underlying=["AAPL", "MSFT", "SAP", "GONE", "UNPRICED"],
        Quantity=[100, -50, 200, 0, 10],
        MarketValue=[20_000.0, -10_000.0, 40_000.0, 0.0, None],
        RealizedPnL=[100.0, 0.0, -1_000.0, 50.0, 0.0],
        UnrealizedPnL=[900.0, -2_000.0, 500.0, 0.0, None],
        FxRate=[1.0, 1.0, 1.25, 1.25, 1.25],
    )
    publish(
        "exposures_live",
        Book=["EU", "EQ"],
        Gross=[50_000.0, 30_000.0],
        Net=[50_000.0, 10_000.0],
        PnL=[-562.5, -1_000.0],
        PnLToday=[10.0, None],
        AgainstClose=[0.0, 0.0],
        Positions=[1, 2],
    )
    publish(
        "limit_usage",
        Status=["STOP", "WARN", "OK"],
        Book=["EU", "EQ", "EQ"],
        Metric=["loss", "gross_exposure", "net_exposure"],
        Owner=["mallory", "carol", "carol"],
        Value=[562.5, 30_000.0, 10_000.0],
        Warn=[100.0, 25_000.0, 20_000.0],
        Stop=[400.0, 35_000.0, 40_000.0],
        Usage=[1.40625, 0.857, 0.25],
        EntityId=["1", "2", "3"],
    )
    publish(
        "risk_scores",
        Symbol=["AAPL", "MSFT"],
        Score=[50.0, 30.0],
        MarketValue=[20_000.0, -10_000.0],
        UnrealizedPnL=[900.0, -2_000.0],
        Delta=[30_000.0, -10_000.0],
        Gamma=[0.0, 0.0],
        Vega=[-100.0, 300.0],
        Theta=[1.0, 2.0],
        Rho=[0.0, 0.0],
    )
    publish(
        "portfolio_summary",
        TotalMV=[10_000.0],
        TotalPnL=[-1_100.0],
        TotalDelta=[20_000.0],
        AvgGamma=[0.0],
        AvgTheta=[1.5],
        AvgVega=[100.0],
        NumPositions=[2],
    )
    prices = {
        "Symbol": ["AAPL", "MSFT"],
        "Price": [200.0, 400.0],
        "Change": [1.0, -2.0],
        "ChangePct": [0.5, -0.5],
        "Bid": [199.9, 399.9],
        "Ask": [200.1, 400.1],
        "Volume": [10, 20],
    }
    for name in ("prices_live", "top_movers", "volume_leaders"):
        publish(name, **prices)
    publish("prices_raw", Symbol=["AAPL", "MSFT", "AAPL"], Price=[199.0, 400.0, 200.0])


@pytest.mark.usefixtures("desk")
def test_risk_screen_shows_what_the_server_has_worked_out(client: DeephavenClient) -> None:
    limits, exposures, scores = risk_client.panels(client, rows=2)
    assert [
        (row["Book"], row["Metric"], row["Owner"], row["Value"], row["Status"]) for row in shown(client, limits)
    ] == [
        ("EU", "loss", "mallory", 562.5, "STOP"),
        ("EQ", "gross_exposure", "carol", 30_000.0, "WARN"),
    ]
    assert [(row["Book"], row["Gross"], row["PnLToday"]) for row in shown(client, exposures)] == [
        ("EU", 50_000.0, 10.0),
        ("EQ", 30_000.0, None),
    ]
    assert {row["Symbol"]: row["Score"] for row in shown(client, scores)} == {"AAPL": 50.0, "MSFT": 30.0}


@pytest.mark.usefixtures("desk")
def test_risk_screen_tells_limits_of_the_same_figure_apart(client: DeephavenClient, publish: Publish) -> None:
    publish(
        "limit_usage",
        Status=["STOP", "STOP", "OK"],
        Book=["EQ", "EQ", "EQ"],
        Metric=["gross_exposure"] * 3,
        Owner=["mallory", "mallory", "carol"],
        Value=[30_000.0] * 3,
        Warn=[1.0, 2.0, 40_000.0],
        Stop=[1.0, 2.0, 50_000.0],
        Usage=[30_000.0, 15_000.0, 0.6],
        EntityId=["1", "2", "3"],
    )
    limits, *_ = risk_client.panels(client)
    rows = client.read(limits.table).to_pylist()
    screen = io.StringIO()
    console = Console(width=120, force_terminal=True, color_system="256", file=screen)
    for _ in range(2):
        console.print(limits.grid(rows, marked=True))
    drawn = screen.getvalue()
    assert drawn.count("mallory") == 4
    assert drawn.count("carol") == 2
    assert "48;5;" not in drawn  # a row taken for another would be marked as changed at every look


@pytest.mark.usefixtures("desk")
def test_risk_screen_without_limits_says_so(client: DeephavenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import __main__

    monkeypatch.delattr(__main__, "limit_usage")
    # The list of tables comes in a moment late, and may still have it.
    monkeypatch.setattr(client, "list_tables", lambda: ["exposures_live", "limit_usage", "risk_scores"])
    exposures, _ = risk_client.panels(client)
    assert "no limit_usage, since it has no store" in exposures.note


@pytest.mark.usefixtures("desk")
def test_pm_screen_adds_up_in_usd(client: DeephavenClient) -> None:
    summary, by_book, contributors, detractors, sizes = pm_client.panels(client)
    assert shown(client, summary)[0]["TotalMV"] == 10_000.0
    assert shown(client, by_book) == [
        {
            "Book": "EU",
            "Realized": -1_187.5,
            "Unrealized": 625.0,
            "PnL": -562.5,
            "Share": pytest.approx(-562.5 / 1_562.5),
        },
        {"Book": "EQ", "Realized": 100.0, "Unrealized": -1_100.0, "PnL": -1_000.0, "Share": pytest.approx(-0.64)},
    ]
    assert [row["Underlying"] for row in shown(client, contributors)] == ["AAPL", "GONE"]
    assert [row["Underlying"] for row in shown(client, detractors)] == ["MSFT", "SAP"]
    found = {row["Symbol"]: (row["Weight"], row["Target"], row["ToTrade"]) for row in shown(client, sizes)}
    third = pytest.approx(1 / 3)
    assert found == {
        "SAP": (0.625, third, -93),
        "AAPL": (0.25, third, 33),
        "MSFT": (0.125, third, -83),
    }


@pytest.mark.usefixtures("desk")
def test_quant_screen_shows_the_watched_symbols_with_their_line(client: DeephavenClient) -> None:
    watchlist, movers, leaders = quant_client.panels(client, ["AAPL"])
    [row] = shown(client, watchlist)
    assert (row["Symbol"], row["Price"], list(row["Line"])) == ("AAPL", 200.0, [199.0, 200.0])
    assert len(shown(client, movers)) == len(shown(client, leaders)) == 2
    assert [row["Symbol"] for row in shown(client, quant_client.panels(client)[0])] == ["AAPL", "MSFT"]
    with pytest.raises(ClientError, match="no price for 'FOO'; it has AAPL, MSFT"):
        quant_client.panels(client, ["FOO"])
