from __future__ import annotations

import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc
import pyarrow
import pytest
from rich.cells import cell_len
from rich.console import Console

from client.access import FoundKey, find_key, given_key
from client.base_client import DeephavenClient
from client.errors import AccessRefused, KeyNotFound, ScriptFailed, ServerUnreachable, TableNotFound
from client.formats import Catalog, ColumnStyle, cell_text
from client.panel import Panel, sparkline
from client.screen import Screen
from client.stall_watch import StallWatch

KEY = "k3y-of-at-least-sixteen"


def key_file(folder: Path, text: str = KEY, mode: int = 0o600) -> Path:
    path = folder / "deephaven.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def no_key_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DEEPHAVEN_PSK", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_find_key_looks_in_the_file_then_the_variable_then_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file(tmp_path / "config" / "deephaven-trading-platform", "usual-key-usual-key\n")
    assert find_key().key == "usual-key-usual-key"
    monkeypatch.setenv("DEEPHAVEN_PSK", " variable-key-variable ")
    assert find_key() == ("variable-key-variable", "the variable DEEPHAVEN_PSK")
    assert find_key(key_file(tmp_path / "own")).key == KEY


def test_find_key_is_where_the_server_puts_it() -> None:
    from server.access_key import load_or_create_key

    assert load_or_create_key() == find_key().key


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        (KEY, 0o640, "is open to others: run `chmod 600"),
        ("", 0o600, "holds no key"),
        ("two words", 0o600, "holds no key"),
        ("schlüssel-schlüssel", 0o600, "holds no key"),
    ],
)
def test_find_key_refuses_a_file_that_is_no_secret(tmp_path: Path, text: str, mode: int, problem: str) -> None:
    with pytest.raises(KeyNotFound, match=problem):
        find_key(key_file(tmp_path, text, mode))


def test_find_key_without_one_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(KeyNotFound, match=r"there is no .*deephaven\.key, and DEEPHAVEN_PSK is not set"):
        find_key()
    with pytest.raises(KeyNotFound, match="cannot be read: No such file"):
        find_key(tmp_path / "nowhere")


def test_found_key_does_not_show_itself() -> None:
    assert KEY not in f"{FoundKey(KEY, 'key=')!r} {FoundKey(KEY, 'key=')}"


def test_errors_say_what_to_do() -> None:
    assert "did you mean 'prices_live'?" in str(TableNotFound("price_live", ["prices_live", "risk_live"]))
    assert "it has prices_live, risk_live" in str(TableNotFound("xyz", ["risk_live", "prices_live"]))
    assert "wants a key" in str(AccessRefused("h:1", None))


@pytest.mark.parametrize(
    ("value", "specification", "shown", "style"),
    [
        (1234.5, "+,.0f", "+1,234", "green"),
        (-1234.5, "+,.1f", "-1,234.5", "red"),
        (-0.001, "+.1f", "0.0", ""),
        (0.25, ".0%", "25%", ""),
        (7, ",d", "7", ""),
        (None, "+.1f", "-", "dim"),
        ("AAPL", "", "AAPL", ""),
        (2.5, "", "2.50", ""),
        (datetime(2026, 2, 22, 10, 5, tzinfo=timezone.utc), "", "10:05:00", ""),
    ],
)
def test_cell_text_shows_signs_and_colours(value: Any, specification: str, shown: str, style: str) -> None:
    text = cell_text(value, specification)
    assert (text.plain, str(text.style)) == (shown, style)


def test_catalog_prefers_the_table_then_the_registry_then_the_name() -> None:
    def row(table: str | None, name: str, heading: str) -> dict[str, Any]:
        return {"TableName": table, "Name": name, "DisplayName": heading, "Format": ",.2f", "Unit": "USD"}

    catalog = Catalog([row("prices_live", "Price", "Last"), row(None, "price", "Price")])
    assert catalog.style("prices_live", "Price") == ColumnStyle("Last", ",.2f", "USD")
    assert catalog.style("trades_live", "price").heading == "Price"
    assert catalog.style("risk_live", "Price") == ColumnStyle("Price")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1, 2, 3, 2], "▁▅█▅"),
        ([5, 5], "▁▁"),
        ([], ""),
        ([None, 1, 2], "▁█"),
        (list(range(100)), "▁▁▂▂▂▃▃▃▃▄▄▄▅▅▅▆▆▆▆▇▇▇██"),
    ],
)
def test_sparkline_scales_between_the_least_and_the_most(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line


def drawn(grid: Any, *, colour: bool = False, width: int = 60) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=colour, color_system="256" if colour else None).print(grid)
    return stream.getvalue()


def test_panel_marks_what_changed_and_dims_what_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    columns = {"Symbol": ColumnStyle("Symbol"), "Price": ColumnStyle("Price", ",.2f")}
    panel = Panel("Prices", None, columns, ["Symbol"])  # type: ignore[arg-type]
    quiet = {"Symbol": "MSFT", "Price": 2.0}
    first = drawn(panel.grid([{"Symbol": "AAPL", "Price": 1.0}, quiet], marked=True), colour=True)
    now = 116.0
    second = drawn(panel.grid([{"Symbol": "AAPL", "Price": 1.5}, quiet], marked=True), colour=True)
    mark, dim = "\x1b[48;5;", "\x1b[2m"
    assert mark not in first
    [changed] = [line for line in second.splitlines() if mark in line]
    assert "AAPL" in changed
    [stale] = [line for line in second.splitlines() if "MSFT" in line]
    assert dim in stale and dim not in changed
    assert panel.last_change() == 116.0


def test_panel_leaves_columns_out_on_a_narrow_screen_and_cuts_no_number() -> None:
    columns = {name: ColumnStyle(name, ",.0f") for name in ("Book", "Gross", "Net")}
    panel = Panel("Books", None, columns, ["Book"], "in USD")  # type: ignore[arg-type]
    row = {"Book": "B" * 40, "Gross": 2_274_101.0, "Net": -1_000.0}

    def lines(width: int) -> list[str]:
        return [line.rstrip() for line in drawn(panel.grid([row], marked=False), width=width).splitlines()]

    assert lines(60)[2].split() == ["B" * 40, "2,274,101", "-1,000"]
    assert lines(43)[2].split() == ["B" * 23 + "…", "2,274,101", "-1,000"]
    assert lines(36)[2].split() == ["B" * 16 + "…", "2,274,101", "-1,000"]
    assert lines(25)[2].split() == ["B" * 5 + "…", "2,274,101", "-1,000"]
    assert lines(24)[2].split() == ["B" * 12 + "…", "2,274,101"]
    assert lines(60)[0] == "Books · in USD"
    assert "· 1 more" in drawn(panel.grid([row], marked=False), width=24)
    assert "more" not in drawn(panel.grid([row], marked=False), width=25)
    assert drawn(panel.grid([], marked=False)).splitlines()[2].strip() == "nothing to show"
    assert lines(5)[2]  # whatever is left of it


def test_panel_clips_the_longest_names_first_and_keeps_every_number() -> None:
    columns = {name: ColumnStyle(name, ",.0f") for name in ("Book", "Symbol", "Gross")}
    panel = Panel("Books", None, columns, ["Book"])  # type: ignore[arg-type]
    row = {"Book": "東京株式先物取引帳簿第一号", "Symbol": "AAPL 260320C240.125", "Gross": -1_234_567.0}
    for width in range(26, 60):
        shown = drawn(panel.grid([row], marked=False), width=width).splitlines()[2].rstrip()
        assert shown.endswith("-1,234,567")
        assert cell_len(shown) <= width
    assert "東京株式 …  " in drawn(panel.grid([row], marked=False), width=34)
    headed = Panel("Limits", None, {"m": ColumnStyle("A very long heading"), "v": ColumnStyle("v", ",.0f")}, ["m"])  # type: ignore[arg-type]
    lines = drawn(headed.grid([{"m": "loss", "v": 12.0}], marked=False), width=14).splitlines()
    assert [line.split() for line in lines[1:]] == [["A", "very", "lo…", "v"], ["loss", "12"]]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("EQ\u034f", "EQ\ufffd"),
        ("\u3164EQ", "\ufffdEQ"),
        ("EQ\ufe0f", "EQ\ufffd"),
        ("\u0301EQ", "\ufffdEQ"),
        ("E\u0335\u0301\u0335\u0301Q", "E\u0335\u0301\ufffd\ufffdQ"),
        ("Cafe\u0301 हिन्दी ไทยที่", "Cafe\u0301 हिन्दी ไทยที่"),
    ],
)
def test_cell_text_of_a_name_hides_nothing_and_stays_in_its_cell(name: str, shown: str) -> None:
    assert cell_text(name, "").plain == shown


@pytest.mark.parametrize("name", ["EQ\x1b[2J", "EQ\nUS", "EQ\x9b31m", "EQ\u202eSU"])
def test_cell_text_of_a_name_that_acts_on_terminals_does_not(name: str) -> None:
    shown = cell_text(name, "").plain
    assert shown.isprintable()
    assert "\N{REPLACEMENT CHARACTER}" in shown


def test_panel_does_not_dim_an_alarm_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    alarms = {("Status", "STOP"): "bold red"}
    panel = Panel("Limits", None, {"Status": ColumnStyle("Status")}, ["Status"], "", alarms)  # type: ignore[arg-type]
    rows = [{"Status": "STOP"}, {"Status": "OK"}]
    drawn(panel.grid(rows, marked=True), colour=True)
    now = 116.0
    [*_, stop, ok] = drawn(panel.grid(rows, marked=True), colour=True).splitlines()
    assert "\x1b[1;31m" in stop
    assert "\x1b[2m" in ok


def test_panel_aligns_numbers_right_and_says_when_it_is_empty() -> None:
    columns = {"Symbol": ColumnStyle("Symbol"), "Qty": ColumnStyle("Qty", "+,d")}
    rows = [{"Symbol": "A", "Qty": 5}, {"Symbol": "LONGER", "Qty": -12_000}]
    panel = Panel("Positions", None, columns, ["Symbol"], "by symbol")  # type: ignore[arg-type]
    lines = drawn(panel.grid(rows, marked=False)).splitlines()
    assert lines[0].strip() == "Positions · by symbol"
    assert [line.rstrip() for line in lines[1:]] == ["Symbol      Qty", "A            +5", "LONGER  -12,000"]
    assert "nothing to show" in drawn(panel.grid([], marked=False))


class Quiet:
    """Stands where a connection does, for a screen without tables of its own."""

    address = "127.0.0.1:10000"

    def __init__(self, silence: float | None = None) -> None:
        self.silence = silence

    def open_table(self, name: str) -> str:
        if self.silence is None:
            raise TableNotFound(name, [])
        return name

    def explaining(self) -> Any:
        return nullcontext()

    def read(self, table: Any) -> pyarrow.Table:
        if table == "store_status":
            return pyarrow.table({"Silence": [self.silence]})
        return pyarrow.table({"Symbol": ["東京"], "Line": [[1.0, 2.0]]})


def test_screen_shows_what_the_encoding_of_its_output_has(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stream)
    columns = {"Symbol": ColumnStyle("Symbol"), "Line": ColumnStyle("Line")}
    panel = Panel("Watched", None, columns, ["Symbol"])  # type: ignore[arg-type]
    Screen("quant", Quiet(), lambda client: [panel]).show_once()  # type: ignore[arg-type]
    stream.flush()
    shown = stream.buffer.getvalue().decode("latin-1").splitlines()  # type: ignore[attr-defined]
    assert shown[0].startswith("QUANT   127.0.0.1:10000   ? connected")
    assert shown[-2].split() == ["??", "??"]


@pytest.mark.parametrize(
    ("silence", "told"), [(None, False), (0.4, False), (42.3, True), (float("nan"), False), (7200.0, True)]
)
def test_screen_says_for_how_long_the_store_has_been_silent(
    capsys: pytest.CaptureFixture[str], silence: float | None, told: bool
) -> None:
    Screen("risk", Quiet(silence), lambda client: []).show_once()  # type: ignore[arg-type]
    said = f"the store has been silent for {silence or 0:,.0f} s: trades and limits are as they were then"
    assert (said in capsys.readouterr().out) is told


def test_screen_that_cannot_be_drawn_over_shows_one_table_after_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as far as can be told
    monkeypatch.setenv("TERM", "dumb")
    Screen("risk", Quiet(), lambda client: []).run(seconds=0.1)  # type: ignore[arg-type]
    assert "RISK   127.0.0.1:10000   ● connected" in capsys.readouterr().out


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_client_host_that_is_no_name_is_an_error_in_words(host: str) -> None:
    with pytest.raises(ServerUnreachable, match="that cannot be the name of a host"):
        DeephavenClient(host, key=KEY)


def test_client_at_another_program_s_grpc_server_says_that_it_is_no_deephaven() -> None:
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    try:
        with pytest.raises(ServerUnreachable, match=f"at 127.0.0.1:{port} .something listens, but it does not answer"):
            DeephavenClient(port=port, key=KEY)
    finally:
        other.stop(None).wait()


@pytest.mark.parametrize("key", ["", "two\nlines", "schlüssel-der-lang-ist", "with blank"])
def test_client_key_that_is_none_is_refused_before_it_travels(key: str) -> None:
    with pytest.raises(KeyNotFound, match="key= holds no key"):
        DeephavenClient(key=key)
    assert given_key(f"{KEY}\n") == (KEY, "key=")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/key", "zero\0byte"])
def test_find_key_in_a_file_that_cannot_be_says_so(name: str) -> None:
    with pytest.raises(KeyNotFound, match="cannot be the name of a key file"):
        find_key(name)


def test_script_failed_leaves_out_the_engine_s_own_way() -> None:
    error = ScriptFailed(
        "Traceback:\nValueError: no price\n\n\tat org.jpy.PyLib.executeCode(Native Method)\n\tat a.b(c)"
    )
    assert str(error) == "Traceback:\nValueError: no price"


def test_stall_watch_that_nobody_reads_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """As rich does where the pipe is closed: an exit, which in a thread of its own would end nothing."""
    monkeypatch.setattr("client.stall_watch._PATIENCE", 0.0)
    monkeypatch.setattr("client.stall_watch._AGAIN", 0.01)
    told = threading.Event()

    def tell(seconds: float) -> None:
        told.set()
        raise SystemExit(1)

    with StallWatch(tell, again=False) as watch, pytest.raises(SystemExit), watch.call():
        assert told.wait(60)


TALKER = """
import click, contextlib, client.command as command
class Connected(contextlib.nullcontext):
    explaining = contextlib.nullcontext
command.DeephavenClient = lambda *given, **named: Connected()
command.client_command(lambda client, once, seconds, interval: click.echo("x" * 100_000))()
"""


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--once"], 1, "error: standard output cannot be written: No space left on device\n"),
        (["--seconds", "nan"], 2, "Error: Invalid value for '--seconds': nan is not a number of seconds.\n"),
    ],
)
def test_client_command_that_cannot_do_it_says_why(options: list[str], status: int, said: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", TALKER, *options], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.splitlines(keepends=True)[-1]) == (status, said)
    assert "Traceback" not in done.stderr
