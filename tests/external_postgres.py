"""A PostgreSQL server as an organisation runs its own: an older release, TLS only, settings that are not ours."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import trustme

from store import schema
from tests.ports import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SUPERUSER = "postgres"
SUPERUSER_PASSWORD = "postgres_pw"
DATABASE = "store"
HOST = "localhost"  # the one name in the server's certificate
# As a Turkish desk may have it: the order of letters and the case of `i` are its own, times and numbers look different.
LOCALE = "tr-TR"
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
password_encryption = 'scram-sha-256'
max_connections = 200
timezone = 'Asia/Kolkata'
datestyle = 'SQL, DMY'
bytea_output = 'escape'
extra_float_digits = 0
default_transaction_isolation = 'repeatable read'
# Killing processes loses nothing that reached the system; only a power cut would.
fsync = off
# A test that waits so long for a lock waits for itself, inside libpq, where no signal ends it.
lock_timeout = '60s'
# Otherwise a vacuum may come between two looks at plans, sizes or locks that a test compares.
autovacuum = off
"""
# Nobody is let in without TLS, nobody without a password.
HBA = "hostssl all all 127.0.0.1/32 scram-sha-256\n"


class ExternalPostgres:
    """The server, from `start` to `stop`; the fixtures use it as they use an `ObjectStoreServer`.

    It ends with this process, however that ends.

    Args:
        programs: The folder of `postgres` and `initdb`.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="external-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._data = self.folder / "data"
        self._owner = _owner()

    @property
    def root_certificate(self) -> Path:
        """The certificate of the authority that signed the server's."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> ExternalPostgres:
        """Make a cluster, run it, and set the store up in a database of it."""
        self.folder.chmod(0o755)  # the certificate is for all; the data are not
        self._data.mkdir(mode=0o700)
        shutil.chown(self._data, self._owner.pw_uid, self._owner.pw_gid)
        password = self._own(self.folder / "password", SUPERUSER_PASSWORD.encode())
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=icu", f"--icu-locale={LOCALE}"]
        login = ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password}"]
        made = subprocess.run(
            self._command("initdb", "--no-sync", "-D", str(self._data), *locale, *login),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert made.returncode == 0, made.stdout + made.stderr
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.root_certificate)
        certificate = authority.issue_cert(HOST)
        self._own(self._data / "server.pem", b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        self._own(self._data / "server.key", certificate.private_key_pem.bytes())
        (self._data / "pg_hba.conf").write_text(HBA)
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        self._run()
        with closing(self.admin_conn("postgres")) as conn:
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
        with closing(self.admin_conn()) as conn:
            schema.bootstrap_schema(conn)
        return self

    def stop(self) -> None:
        """End the server at once, whoever is connected, and remove its files."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def conn_info(self) -> dict[str, Any]:
        """Return where and how clients connect, as keyword arguments."""
        return {
            "host": HOST,
            "port": self.port,
            "dbname": DATABASE,
            "sslmode": "verify-full",
            "sslrootcert": str(self.root_certificate),
        }

    def admin_conn(self, dbname: str | None = None) -> Connection:
        """Return a new superuser's connection."""
        where = self.conn_info() | {"dbname": dbname or DATABASE}
        return psycopg2.connect(user=SUPERUSER, password=SUPERUSER_PASSWORD, **where)

    def provision_user(self, name: str, password: str, *, reads_all: bool = False) -> None:
        with closing(self.admin_conn()) as conn:
            schema.provision_user(conn, name, password, reads_all=reads_all)

    def _run(self) -> None:
        self.port = free_port()
        with (self.folder / "log").open("wb") as log:
            self._process = process = subprocess.Popen(
                self._command("postgres", "-D", str(self._data), "-p", str(self.port)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the tests, which then end the server
            )

        def answers() -> bool:
            assert process.poll() is None, self.log
            try:
                self.admin_conn("postgres").close()
            except psycopg2.OperationalError:
                return False
            return True

        wait_until(answers, 60, lambda: self.log)

    def _command(self, program: str, *arguments: str) -> list[str]:
        # The kernel ends the server when this process is gone, even by SIGKILL.
        drop = ["setpriv", "--pdeathsig", "INT"]
        if os.geteuid() == 0:  # as which PostgreSQL does not run
            drop += ["--reuid", self._owner.pw_name, "--regid", str(self._owner.pw_gid), "--clear-groups"]
        return [*drop, str(self._programs / program), *arguments]

    def _own(self, path: Path, content: bytes) -> Path:
        """Write a file that only the server's user reads."""
        path.touch(mode=0o600)
        path.write_bytes(content)
        shutil.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        return path


def _owner() -> pwd.struct_passwd:
    """Return the user as whom the server runs: this one, in place of root the one that Debian's package made."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
