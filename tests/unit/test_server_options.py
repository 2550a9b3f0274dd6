from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from server.embedded import DeephavenServer, is_loopback
from server.errors import ServerError, StorePlaceError, TlsFileError
from server.options import MarketOptions, read_options, usual_store
from server.store_place import default_store_directory, store_place
from server.terminal import open_console
from server.tls import check_tls_files

ROOT = Path(__file__).resolve().parents[2]


def test_options_usual_ones_are_those_of_the_class() -> None:
    assert read_options([]) == MarketOptions()


@pytest.mark.parametrize(("line", "rate"), [("--symbols 500", 100.0), ("--symbols 1000", 200.0)])
def test_options_usual_rate_gives_each_of_many_symbols_a_price_within_seconds(line: str, rate: float) -> None:
    assert read_options(line.split()).rate == rate


def test_options_all_of_them_arrive() -> None:
    line = "--host ::1 --port 0 --symbols 40 --rate 2.5e3 --seed 7 --speed 10 --keep all --heap 2g --seconds 3"
    line += " --trades 0 --store d --key-file k --anonymous --tls-cert c --tls-key p"
    assert read_options(line.split()) == MarketOptions(
        host="::1",
        port=0,
        symbols=40,
        rate=2500.0,
        seed=7,
        speed=10.0,
        keep=None,
        trades=0.0,
        store="d",
        heap="2g",
        seconds=3.0,
        key_file=Path("k"),
        anonymous=True,
        tls_cert=Path("c"),
        tls_key=Path("p"),
    )
    assert read_options(["--replay", "f.csv"]).replay == Path("f.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--port 65536", "argument --port: 65536 is not between 0 and 65535"),
        ("--port ten", "argument --port: 'ten' is not a whole number"),
        ("--symbols 1e3", "argument --symbols: '1e3' is not a whole number"),
        ("--rate fast", "argument --rate: 'fast' is not a number"),
        ("--symbols 0", "argument --symbols: 0 is not between 1 and 10000"),
        ("--rate 0", "argument --rate: 0 is not between 0.001 and 1e+09"),
        ("--rate inf", "argument --rate: inf is not between"),
        ("--rate 1e308", "argument --rate: 1e308 is not between"),
        ("--rate 1e-300", "argument --rate: 1e-300 is not between"),
        ("--speed nan", "argument --speed: nan is not between 1e-06 and 1e+09"),
        ("--speed 1e308", "argument --speed: 1e308 is not between"),
        ("--seed -1", "argument --seed: -1 is not between 0"),
        ("--trades -1", "argument --trades: -1 is not between 0 and 6000"),
        ("--trades nan", "argument --trades: nan is not between"),
        ("--store d --no-store", "--store and --no-store exclude each other"),
        ("--keep 0", "argument --keep: 0 is not between 1"),
        ("--keep some", "argument --keep: 'some' is not a whole number"),
        ("--seconds -1", "argument --seconds: -1 is not a positive number"),
        ("--replay f.csv --rate 5", "--rate is for the simulation"),
        ("--replay f.csv --symbols 5", "--symbols is for the simulation"),
        ("--what", "unrecognized arguments: --what"),
        ("doctr --port 1", "unrecognized arguments: doctr; did you mean `python -m server doctor`?"),
    ],
)
def test_options_impossible_one_is_refused(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_options(line.split())
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_usual_store_is_the_users_own_for_a_simulation_that_names_none() -> None:
    usual, note = usual_store(MarketOptions())
    assert (usual.store, note) == (str(default_store_directory()), "")
    assert usual_store(MarketOptions(store="mine")) == (MarketOptions(store="mine"), "")
    assert usual_store(MarketOptions(no_store=True)) == (MarketOptions(no_store=True), "")
    replay = MarketOptions(replay=Path("f.csv"))
    assert usual_store(replay) == (replay, "No store: a replay has one where --store names it.")


@pytest.mark.parametrize("option", ["--host", "--store", "--key-file", "--replay", "--tls-cert"])
def test_option_that_is_empty_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read_options([option, ""])
    assert f"argument {option}: it is empty" in capsys.readouterr().err


def test_store_without_its_packages_is_refused_where_named_and_done_without_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    without, note = usual_store(MarketOptions())
    assert without.store is None
    assert "psycopg2-binary" in note
    assert "pip install -r requirements-store.txt" in note
    with pytest.raises(StorePlaceError, match="mine: a store needs psycopg2-binary"):
        store_place("mine")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_anonymous_on_a_loopback_address_is_allowed(host: str) -> None:
    assert is_loopback(host)
    assert DeephavenServer(host=host, anonymous=True).login_url.endswith(":10000/")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "::ffff:10.0.0.1"])
def test_anonymous_where_others_can_connect_is_refused(host: str) -> None:
    with pytest.raises(ServerError, match="is no loopback address"):
        DeephavenServer(host=host, anonymous=True)


def test_tls_with_one_file_only_is_refused() -> None:
    with pytest.raises(ServerError, match="TLS needs both files"):
        DeephavenServer(tls_cert=Path("cert.pem"))


def test_files_may_be_named_by_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DeephavenServer, "_running", None)  # the tests before may have started one
    server = DeephavenServer(port=0, key_file=str(tmp_path / "own.key"))
    server.check()
    assert (tmp_path / "own.key").read_text().strip() == server.key
    with pytest.raises(TlsFileError, match=r"cert\.pem"):
        DeephavenServer(port=0, anonymous=True, tls_cert="cert.pem", tls_key="key.pem").check()


def test_console_shows_what_the_encoding_of_its_stream_has() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    open_console(stream).print("東京 é")
    stream.flush()
    assert stream.buffer.getvalue().decode("latin-1") == "?? é\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "code",
    [
        "from server.embedded import DeephavenServer; DeephavenServer(port=0, anonymous=True).start()",
        "from bridge import StoreBridge; from store.models import Trade; "
        "StoreBridge('', 1, 'store', 'a', 'b').register(Trade)",
    ],
)
def test_without_deephaven_the_error_says_what_to_install(code: str) -> None:
    hide = "import sys; sys.modules['deephaven_server'] = sys.modules['deephaven_internal'] = None; "
    done = subprocess.run([sys.executable, "-c", hide + code], cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(("server.errors.ServerError", "bridge.errors.BridgeError"))
    assert last.endswith("pip install -r requirements-server.txt")


def make(folder: Path, name: str, *kind: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", *(kind or ["rsa:2048"]), "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_tls_files_that_fit_together_are_accepted_and_others_named(tmp_path: Path) -> None:
    (certificate, key), (_, other) = make(tmp_path, "one"), make(tmp_path, "other")
    check_tls_files(certificate, key)
    for mode in (0o644, 0o604, 0o660, 0o602):
        key.chmod(mode)
        with pytest.raises(TlsFileError, match="is open to others, who may have the key"):
            check_tls_files(certificate, key)
    for mode in (0o640, 0o400, 0o600):
        key.chmod(mode)
        check_tls_files(certificate, key)
    with pytest.raises(TlsFileError, match="does not belong to") as caught:
        check_tls_files(certificate, other)
    assert caught.value.path == other
    with pytest.raises(TlsFileError, match="holds no private key"):
        check_tls_files(certificate, certificate)
    with pytest.raises(TlsFileError, match="holds no certificate"):
        check_tls_files(key, key)
    with pytest.raises(TlsFileError, match="cannot be read"):
        check_tls_files(tmp_path / "none.pem", key)
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:secret"],
        check=True,
        capture_output=True,
    )
    with pytest.raises(TlsFileError, match="is encrypted"):
        check_tls_files(certificate, locked)


def test_tls_certificate_that_no_client_takes_is_refused(tmp_path: Path) -> None:
    """One whose time is over the moment it begins, and one of a key that TLS holds for too short."""
    certificate, key, request = (tmp_path / name for name in ("cert.pem", "cert.key", "cert.csr"))
    make = ["openssl", "req", "-nodes", "-subj", "/CN=localhost", "-keyout", str(key)]
    sign = ["openssl", "x509", "-req", "-in", str(request), "-signkey", str(key), "-out", str(certificate)]
    for bits, days, named, problem in (
        ("2048", "0", certificate, r"certificate has expired \(.* GMT\), and clients refuse it: have a new one made"),
        ("512", "1", key, "is too short for TLS: have a new one made, of 2048 bits or more"),
    ):
        subprocess.run([*make, "-newkey", f"rsa:{bits}", "-out", str(request)], check=True, capture_output=True)
        subprocess.run([*sign, "-days", days], check=True, capture_output=True)
        with pytest.raises(TlsFileError, match=problem) as caught:
            check_tls_files(certificate, key)
        assert caught.value.path == named


def test_tls_certificate_that_begins_later_or_has_a_key_of_a_rare_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make(tmp_path, "one")
    rare = make(tmp_path, "rare", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1")
    with pytest.raises(TlsFileError, match=r"is of a kind of key that clients do not take \(NO_"):
        check_tls_files(*rare)
    monkeypatch.setattr("server.tls.time.time", lambda: 0.0)
    with pytest.raises(TlsFileError, match=r"is not yet valid \(from .* GMT\), and clients refuse it"):
        check_tls_files(*pair)


def test_tls_key_that_only_openssl_reads_is_refused(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one")
    for form in (["rsa", "-traditional"], ["pkcs8", "-topk8", "-nocrypt"]):
        again = tmp_path / f"{form[0]}.key"
        subprocess.run(["openssl", *form, "-in", key, "-out", again], check=True, capture_output=True)
        again.chmod(0o600)
        if form[0] == "pkcs8":
            check_tls_files(certificate, again)
            continue
        with pytest.raises(TlsFileError, match="is not in the form -----BEGIN PRIVATE KEY-----: write it so") as caught:
            check_tls_files(certificate, again)
        assert caught.value.path == again
    with pytest.raises(TlsFileError, match="is of a kind that Deephaven does not read: have one made of RSA"):
        check_tls_files(*make(tmp_path, "edwards", "ed25519"))
    check_tls_files(*make(tmp_path, "curve", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"))


def test_tls_certificate_is_accepted_before_another_one_that_has_expired(tmp_path: Path) -> None:
    certificate, key = make(tmp_path, "one")
    old, old_key, request = (tmp_path / name for name in ("old.pem", "old.key", "one.csr"))
    for command in (
        ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=old", "-keyout", old_key, "-out", request],
        ["x509", "-req", "-in", request, "-signkey", old_key, "-days", "0", "-out", old],
        ["req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", request],
        ["x509", "-req", "-in", request, "-CA", old, "-CAkey", old_key, "-set_serial", "2", "-out", certificate],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + old.read_text())
    check_tls_files(certificate, key)
