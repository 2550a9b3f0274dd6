"""Where, as whom and how the store connects."""

from __future__ import annotations

import os
from typing import Any

from psycopg2.extensions import libpq_version

__all__ = ["advice", "conninfo"]

LIBPQ_WITH_REQUIRE_AUTH = 160000
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
    ("certificate verify failed", "sslrootcert must name the authority that signed the server's certificate"),
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
    """
    settings: dict[str, Any] = {
        "user": user,
        "password": password,
        "host": host,
        "port": port,
        "dbname": dbname,
        "application_name": "store",
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in SESSION),
    }
    if sslmode is not None:
        settings["sslmode"] = sslmode
    if sslrootcert is not None:
        settings["sslrootcert"] = os.fspath(sslrootcert)
    if "PGREQUIREAUTH" not in os.environ and libpq_version() >= LIBPQ_WITH_REQUIRE_AUTH:
        # Whoever poses as the server could ask for the password itself, or for a hash of it, and libpq would tell.
        settings["require_auth"] = "scram-sha-256" if password else "!password,!md5"
    return {**settings, **extra}


def advice(message: str) -> str:
    """Return what to do about libpq's refusal to connect, to be put behind it; empty where its words say enough."""
    return next((f"; {told}" for said, told in ADVICE if said in message), "")
