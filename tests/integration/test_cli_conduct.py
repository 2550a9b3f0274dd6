"""How `python -m store` behaves as a program: statuses, one-line errors, signals, pipes, terminals, hostile text."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from store.models import Trade
from tests.fix_children import Child, Children
from tests.fix_postgres import StoreDatabase
from tests.integration.server_ends import postmaster
from tests.integration.workers.command_line import CommandLine, by_directory, by_url
from tests.waiting import wait_until

ANYWHERE = CommandLine("--url", "postgresql://alice@localhost/store", password="alice_pw")
ENTITY = "01a203e3-9de5-7e29-88d5-041d3767653f"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="store-test-"))
    yield parent / "desk"
    shutil.rmtree(parent)


def run_behind(command: CommandLine, children: Children, *arguments: str) -> Child:
    return children.run("-m", "store", *command.options, *arguments, env=command.environment())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["unknown"], "No such command 'unknown'"),
        (["ls", "--unknown"], "No such option '--unknown'; see python -m store ls --help"),
        (["ls", "--json"], "it goes before the command: python -m store --json ... COMMAND"),
        (["get"], "Missing argument 'ENTITY_ID'"),
        (["get", "12"], "'12' is not an entity id"),
        (["ls", "--limit", "0"], "0 is not in the range"),
        (["ls", "--limit", "many"], "'many' is not a valid integer"),
        (["as-of", ENTITY, "--tx-time", "noon"], "'noon' is not a time: write it like 2026-02-22T10:00:00Z"),
        (["as-of", ENTITY, "--tx-time", ""], "Invalid value for --tx-time: '' is not a time"),
        (["as-of", ENTITY, "--valid-time", ""], "Invalid value for --valid-time: '' is not a time"),
        (["as-of", ENTITY, "--tx-time", "2026-02-22T10:00"], "has no offset from UTC: write 2026-02-22T10:00:00Z if"),
        (["diff", ENTITY, "1", "-1"], "No such option"),
        (["diff", ENTITY, "1", "2026-02-22T10:00:00Z/"], "'' is not a time"),
        (["users", "unknown"], "No such command 'unknown'"),
    ],
)
def test_wrong_calls_end_with_status_2_and_one_line_that_says_what_is_right(arguments: list[str], told: str) -> None:
    assert told in ANYWHERE.fails(*arguments, status=2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "name the store with either --data-dir or --url"),
        (["--data-dir", "desk", "--url", "postgresql://alice@h/d"], "name the store with either --data-dir or --url"),
        (["--data-dir", ""], "the store's directory is empty"),
        (["--url", "postgresql://h/d"], "name the login with --user, or in --url"),
        (["--url", "postgresql://alice@h"], "--url names no database"),
        (["--url", "host=h dbname=d user=alice"], "--url begins with postgresql://"),
        (["--url", "postgresql://alice@h/d?colour=red"], "--url cannot be read; it looks like postgresql://"),
    ],
)
def test_wrong_options_end_with_status_2(options: list[str], told: str) -> None:
    assert told in CommandLine(*options).fails("ls", status=2)


@pytest.mark.parametrize("url", ["postgresql://alice:sesame@h/d", "postgresql://alice@h/d?password=sesame"])
def test_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    line = CommandLine("--url", url).fails("ls", status=2)
    assert "leave it out, and set STORE_PASSWORD" in line
    assert "sesame" not in line


def test_wrong_password_and_no_password_are_told_apart(store_db: StoreDatabase) -> None:
    alice = by_url(store_db, "alice")
    refused = alice.fails("ls", STORE_PASSWORD="wrong")
    assert 'password authentication failed for user "alice"; is the password right' in refused
    assert refused.endswith("python -m store users add NAME?")
    unasked = CommandLine(*alice.options)
    assert unasked.fails("ls").endswith("no password supplied; give the user's password: set STORE_PASSWORD")


@pytest.mark.parametrize("command", [["ls"], ["tail", "--once"], ["verify"], ["init"]])
def test_server_that_is_not_there_is_told_on_one_line(tmp_path: Path, command: list[str]) -> None:
    nobody = CommandLine("--url", f"postgresql://alice@/store?host={tmp_path}", password="x")
    line = nobody.fails(*command)
    assert line.startswith(f"Error: cannot connect as 'alice' to 'store' at {tmp_path}")


def test_database_without_a_store_is_told_on_one_line(store_db: StoreDatabase) -> None:
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("DROP SCHEMA store CASCADE")
    told = f"Error: there is no store in database {store_db.dbname}: the command init makes one"
    for user in ("postgres", "alice"):
        for command in (["ls"], ["tail", "--once"], ["stats"]):
            assert by_url(store_db, user).fails(*command) == told
    assert by_url(store_db, "postgres").fails("verify") == told


def test_directory_that_holds_something_else_is_told_on_one_line(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "postgres").write_text("not a directory")
    assert by_directory(data_dir).fails("ls")
    shutil.rmtree(data_dir)
    data_dir.write_text("not a directory either")
    told = f"Error: no store can be made in {data_dir}: it is a file; name a directory of yours"
    assert by_directory(data_dir).fails("init") == told
    told = f"Error: no store can be made in {data_dir / 'desk'}: Not a directory; name a directory of yours"
    assert by_directory(data_dir / "desk").fails("init") == told


def test_help_is_shown_for_the_program_and_each_command() -> None:
    assert CommandLine().lines() == CommandLine().lines("--help")
    assert CommandLine().lines("-h")[0] == "Usage: python -m store [OPTIONS] COMMAND [ARGS]..."
    assert ANYWHERE.lines("diff", "--help")[0] == "Usage: python -m store diff [OPTIONS] ENTITY_ID A B"


def await_statement(database: StoreDatabase, user: str, there: bool) -> None:
    """Wait until a user's session waits for a lock, or until none does."""

    def waiting() -> bool:
        with closing(database.server.admin_conn(database.dbname)) as conn, conn.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s"
                " AND wait_event_type = 'Lock'",
                [user],
            )
            return cursor.fetchone() == (1,)

    wait_until(lambda: waiting() == there)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_statement_under_way_here_and_in_the_server(
    store_db: StoreDatabase, children: Children, sent: signal.Signals, status: int
) -> None:
    store_db.client().write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    administrator = by_url(store_db, "postgres")
    with store_db.admin() as conn, conn.cursor() as cursor:
        cursor.execute("LOCK TABLE store.object_heads IN ACCESS SHARE MODE")
        command = run_behind(administrator, children, "rebuild")
        await_statement(store_db, "postgres", True)
        command.send(sent)
        assert command.wait() == status
        assert command.output == ""
        await_statement(store_db, "postgres", False)
    assert administrator.lines("verify") == ["the projection is what the log says: 1 entity, 1 event"]


def test_rebuild_does_not_make_everybody_wait_behind_a_transaction_that_stays_open(store_db: StoreDatabase) -> None:
    client = store_db.client()
    client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY"))
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM store.object_heads")  # and goes to lunch
        error = by_url(store_db, "postgres").fails("rebuild")
        assert error.startswith("Error: the projection is read by open transactions, of bob: let them end, or end them")
        assert client.count(Trade) == 1
    assert by_url(store_db, "postgres").lines("rebuild") == ["1 entity derived anew from the log"]


def following(data_dir: Path) -> bool:
    """Say whether a command reads the log of a directory's server; asked as its owner, without joining it."""
    try:
        conn = psycopg2.connect(user="postgres", host=str(data_dir / "postgres"), dbname="store")
    except psycopg2.OperationalError:  # not yet
        return False
    with closing(conn), conn.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'EXECUTE watermark%'")
        return cursor.fetchone() == (1,)


def starting(data_dir: Path) -> bool:
    """Say whether a server has just come up in a directory."""
    return (data_dir / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize("moment", [starting, following])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_tail_ends_the_server_that_it_started(
    data_dir: Path, children: Children, sent: signal.Signals, moment: Callable[[Path], bool]
) -> None:
    owner = by_directory(data_dir)
    owner.lines("init")
    tail = run_behind(owner, children, "tail")
    wait_until(lambda: moment(data_dir), message=lambda: tail.output)
    if sent == signal.SIGINT:
        tail.interrupt()
        assert tail.wait() in ([0] if moment is following else [0, 130]), tail.output
    else:
        tail.send(sent)
        assert tail.wait() == 143, tail.output
    assert tail.output == ""
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_password_in_the_environment_is_not_handed_on_to_the_server(data_dir: Path, children: Children) -> None:
    by_directory(data_dir).lines("init")
    owner = CommandLine("--data-dir", str(data_dir), password="Tr0ub4dor-and-3")
    tail = run_behind(owner, children, "tail")
    wait_until(lambda: following(data_dir), message=lambda: tail.output)
    server = postmaster(data_dir)
    assert server.environ()
    for process in (server, *server.children()):
        with suppress(psutil.NoSuchProcess):  # a process of the server's that has just ended
            assert "Tr0ub4dor-and-3" not in process.environ().values()
    tail.interrupt()
    assert tail.wait() == 0, tail.output


def test_output_into_a_closed_pipe_ends_quietly(store_db: StoreDatabase) -> None:
    store_db.client().write_many([Trade(symbol="F", quantity=n, price=1.0, side="BUY") for n in range(1, 3_000)])
    alice = by_url(store_db, "alice")
    quoted = " ".join(f"'{word}'" for word in [sys.executable, "-m", "store", *alice.options])
    done = subprocess.run(
        ["bash", "-c", f"{quoted} tail --once --from-beginning | head -n 1"],
        env=alice.environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "closed", "status", "told"),
    [
        (["catalog", "ticker"], ">&-", 0, ""),
        (["ls"], "<&-", 1, "Error: cannot connect as 'alice'"),
        (["ls"], "2>&-", 1, ""),
    ],
)
def test_stream_that_was_closed_before_the_beginning_is_done_without(
    arguments: list[str], closed: str, status: int, told: str
) -> None:
    command = [sys.executable, "-m", "store", "--url", "postgresql://alice@localhost:1/store", *arguments]
    quoted = " ".join(f"'{word}'" for word in command)
    done = subprocess.run(
        ["bash", "-c", f"{quoted} {closed}"],
        env=ANYWHERE.environment(STORE_PASSWORD="") if closed != "<&-" else CommandLine().environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(told) and "Traceback" not in done.stderr


def test_characters_that_the_output_has_no_encoding_for_are_escaped(store_db: StoreDatabase) -> None:
    name = "アン \U0001f600 Zoë"
    entity_id = store_db.client().write(Trade(symbol="F", quantity=1, price=1.0, side="BUY", trader_name=name))
    alice = by_url(store_db, "alice")
    [line] = [line for line in alice.lines("get", entity_id, PYTHONIOENCODING="ascii:strict") if "trader_name" in line]
    assert line.endswith(name)  # what cannot even say é is no terminal's choice: it gets UTF-8
    done = alice.run("--json", "get", entity_id, PYTHONIOENCODING="cp1251")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u30a2\\u30f3 \\ud83d\\ude00 Zo\\u00eb" in done.stdout
    assert json.loads(done.stdout)["data"]["trader_name"] == name


HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u009b31m \u202eabc\nnext"


@pytest.mark.parametrize("columns", [80, 1_000])
def test_stored_text_never_reaches_the_terminal_as_commands(store_db: StoreDatabase, columns: int) -> None:
    client = store_db.client()
    entity_id = client.write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY", trader_name=HOSTILE))
    alice = by_url(store_db, "alice")
    commands = [["ls", "Trade"], ["get", entity_id], ["history", entity_id], ["audit", entity_id]]
    for arguments in (
        *commands,
        ["tail", "--once", "--from-beginning"],
        ["diff", entity_id, "2026-01-01T00:00:00Z", "1"],
    ):
        for more in ([], ["--json"]):
            status, screen = alice.on_a_terminal(*more, *arguments, columns=columns)
            assert status == 0
            bold = screen.replace("\x1b[1m", "").replace("\x1b[0m", "")
            assert not set(bold) & set("\x1b\x07\x9b\u202e"), arguments
    [record] = alice.records("get", entity_id)
    assert record["data"]["trader_name"] == HOSTILE


def test_names_that_others_gave_never_reach_the_terminal_as_commands(store_db: StoreDatabase) -> None:
    with store_db.connect("bob") as conn, conn.cursor() as cursor:
        item = json.dumps([{"type_name": HOSTILE, "data": {HOSTILE: {HOSTILE: HOSTILE}}, "state": HOSTILE}])
        cursor.execute("SELECT entity_id::text FROM store.create_objects(%s, '{alice}', '{}', false, NULL)", (item,))
        (entity_id,) = cursor.fetchone()
    alice = by_url(store_db, "alice")
    for arguments in (
        ["ls"],
        ["ls", HOSTILE],
        ["get", entity_id],
        ["history", entity_id],
        ["audit", entity_id],
        ["tail", "--once", "--from-beginning"],
    ):
        status, screen = alice.on_a_terminal(*arguments, columns=1_000)
        assert status == 0
        bold = screen.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert not set(bold) & set("\x1b\x07\x9b\u202e") and "\nnext" not in bold, arguments


def test_error_names_what_was_typed_without_obeying_it(store_db: StoreDatabase) -> None:
    line = by_url(store_db, "alice").fails("ls", "\x1b[2JTrade")
    assert "\\u001b[2JTrade" in line


def test_table_on_a_terminal_is_as_wide_as_it_and_whole_in_a_pipe(store_db: StoreDatabase) -> None:
    store_db.client().write(Trade(symbol="AAPL", quantity=1, price=1.0, side="BUY", trader_name="アン 1234567890"))
    alice = by_url(store_db, "alice")
    status, screen = alice.on_a_terminal("ls", "Trade", columns=60)
    head, line = screen.splitlines()
    assert status == 0
    assert head.startswith("\x1b[1mentity_id ")
    assert (len(line), line[-1]) == (60, "…")
    status, screen = alice.on_a_terminal("ls", "Trade", columns=0)
    assert screen.splitlines()[1].endswith("アン 1234567890")
    piped = alice.lines("ls", "Trade")
    assert piped[1].endswith("アン 1234567890")
    assert "\x1b" not in "".join(piped)


def test_long_text_does_not_make_the_lines_of_others_long(store_db: StoreDatabase) -> None:
    names = ["Ann", "x" * 20_000, "Zoë"]
    store_db.client().write_many(
        [Trade(symbol="F", quantity=1, price=1.0, side="BUY", trader_name=name, book="desk") for name in names]
    )
    lines = by_url(store_db, "alice").lines("ls", "Trade")
    assert sorted(len(line) > 1_000 for line in lines) == [False, False, False, True]
    assert [line.endswith("  desk") for line in lines] == [False, True, True, True]


def test_wide_characters_keep_the_columns_aligned(store_db: StoreDatabase) -> None:
    names = ["アン", "Zoë", "Ann", "e\u0301"]
    store_db.client().write_many(
        [Trade(symbol="F", quantity=1, price=1.0, side="BUY", trader_name=name, book="desk") for name in names]
    )
    head, *lines = by_url(store_db, "alice").lines("ls", "Trade")
    before = {line[line.index("USD") + len("currency  ") : line.index("desk")] for line in lines}
    assert before == {"アン         ", "Zoë          ", "Ann          ", "e\u0301            "}
    assert head.index("book") - head.index("trader_name") == 13


def test_numbers_and_times_of_json_are_exact(store_db: StoreDatabase) -> None:
    client = store_db.client()
    entity_id = client.write(Trade(symbol="AAPL", quantity=2**70, price=0.1 + 0.2, side="BUY"))
    alice = by_url(store_db, "alice")
    [line] = alice.lines("--json", "get", entity_id)
    assert f'"quantity": {2**70}' in line
    assert f'"price": {0.1 + 0.2!r}' in line
    trade = client.read(Trade, entity_id)
    assert trade is not None
    assert trade.tx_time is not None
    assert json.loads(line)["tx_time"] == trade.tx_time.isoformat()
    assert str(2**70) in alice.lines("ls", "Trade")[1].split()
