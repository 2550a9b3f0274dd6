"""Where, as whom and how the store connects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2.extensions import libpq_version, parse_dsn

from store.errors import StoreError, shown
from store.scalars import ValueRefused, require_text

__all__ = ["PASSWORD", "advice", "conninfo", "login_shown", "parse_url"]

PASSWORD = "STORE_PASSWORD"  # the environment variable that may hold a login's password

WHOSE = {"user": "login", "dbname": "database"}
LIBPQ_WITH_REQUIRE_AUTH = 160000
CONNECT_SECONDS = 8  # a server that hangs takes connections, and says nothing; PGCONNECT_TIMEOUT sets another time
# A network that drops what it carries, or a machine that is gone, closes no connection. The system would wait a quarter
# of an hour for an answer to what was sent, and for hours where nothing was: after these 30 seconds it gives up.
GIVING_UP = {"tcp_user_timeout": 30_000, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
# What a server, a database or a role may have set otherwise, and our statements rely on.
SESSION = (
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("default_transaction_isolation", r"read\ committed"),
    ("jit", "off"),
)
# What libpq says when no connection comes about, and what to do then.
ADVICE = (
    (
        "password authentication failed",
        "is the password right, and was the user made: server.provision_user(name, password), or"
        " python -m store users add NAME?",
    ),
    (
        "on that socket?",
        "ObjectStoreServer(directory).start() starts an embedded store, and conn_info() says where it is",
    ),
    ("no password supplied", "give the user's password"),
    ("is not permitted to log in", "the user is disabled, which an administrator did and undoes: users enable NAME"),
    ("certificate verify failed", "sslrootcert must name the authority that signed the server's certificate"),
    ("could not read root certificate file", "sslrootcert must be a file of certificates in PEM form"),
    ("does not match host name", "connect by a name that stands in the server's certificate"),
    ("no encryption", "the server wants encryption: pass sslmode='verify-full' and sslrootcert"),
    ("server does not support SSL", "the server has no encryption, so whoever listens could read along"),
    (
        'requirement "scram-sha-256" failed',
        "the store proves its password and never tells it: the server must ask for SCRAM",
    ),
    ('requirement "!password,!md5" failed', "the store never tells a password: the server must ask for SCRAM"),
)


def conninfo(
    user: str,
    password: str,
    host: str,
    port: int | str,
    dbname: str,
    sslmode: str | None = None,
    sslrootcert: str | os.PathLike[str] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Return the keyword arguments with which every connection of the store is opened.

    Args:
        user: The login.
        password: Its password; empty where libpq finds one by itself, or the server asks for none.
        host: The server's host, or the directory of its socket.
        port: The server's port.
        dbname: The database.
        sslmode: As in libpq.
        sslrootcert: As in libpq.
        **extra: Further parameters of libpq.

    Raises:
        StoreError: Something is missing, or is no text that libpq takes.
    """
    for name, value in (("user", user), ("dbname", dbname)):
        if not isinstance(value, str) or not value:  # libpq would take another one, such as the system's user
            raise StoreError(f"{name} is the name of a {WHOSE[name]}, not {shown(value)}")
    for name, value in (("user", user), ("password", password), ("host", host), ("dbname", dbname)):
        try:
            require_text(value if isinstance(value, str) else "")
        except ValueRefused as error:  # without the value: it may be the password
            raise StoreError(f"{name}: expected {error.expected}") from None
    settings: dict[str, Any] = {
        "user": user,
        "password": password,
        "host": host,
        "port": port,
        "dbname": dbname,
        "application_name": "store",
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in SESSION),
        **GIVING_UP,
    }
    if sslmode is not None:
        settings["sslmode"] = sslmode
    if sslrootcert is not None:
        settings["sslrootcert"] = os.fspath(sslrootcert)
    if "PGCONNECT_TIMEOUT" not in os.environ:
        settings["connect_timeout"] = CONNECT_SECONDS
    if "PGREQUIREAUTH" not in os.environ and libpq_version() >= LIBPQ_WITH_REQUIRE_AUTH:
        # Whoever poses as the server could ask for the password itself, or for a hash of it, and libpq would tell.
        settings["require_auth"] = "scram-sha-256" if password else "!password,!md5"
    return {**settings, **extra}


def login_shown(info: Mapping[str, Any]) -> str:
    """Return who connects, and whereto, without the password.

    Example:
        >>> login_shown(conninfo("alice", "alice_pw", "db.example.org", 5432, "store"))
        "'alice' at db.example.org:5432/store"
    """
    return f"{info['user']!r} at {info['host']}:{info['port']}/{info['dbname']}"


def parse_url(url: str, name: str = "the URL") -> dict[str, Any]:
    """Return the parts of a URL as keyword arguments of `psycopg2.connect`.

    Args:
        url: As in `postgresql://user@host:5432/database`, without a password.
        name: What errors call it.

    Raises:
        StoreError: It is none, names no database, or holds a password.

    Example:
        >>> parse_url("postgresql://alice@db.example.org/store")
        {'user': 'alice', 'dbname': 'store', 'host': 'db.example.org'}
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise StoreError(f"{name} begins with postgresql://, as in postgresql://user@host:5432/database")
    try:
        where: dict[str, Any] = dict(parse_dsn(url))
    except psycopg2.ProgrammingError:
        # What libpq says of it shows part of it, perhaps a password.
        raise StoreError(f"{name} cannot be read; it looks like postgresql://user@host:5432/database") from None
    if "password" in where:
        raise StoreError(f"a password in {name} is there for all to see: leave it out, and set {PASSWORD}")
    if "dbname" not in where:
        raise StoreError(f"{name} names no database: postgresql://user@host:5432/database")
    return where


def advice(message: str) -> str:
    """Return what to do about libpq's refusal to connect, to be put behind it; empty where its words say enough."""
    return next((f"; {told}" for said, told in ADVICE if said in message), "")
