"""Certificates: those that a client trusts, and what is wrong with a server's, which gRPC does not say."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from client.errors import ClientError

__all__ = ["read_roots", "tls_problem"]


def read_roots(path: Path) -> bytes:
    """Return the certificates in a PEM file.

    Raises:
        ClientError: It cannot be read, or holds none.
    """
    try:
        roots = path.expanduser().read_bytes()
    except OSError as error:
        raise ClientError(f"the certificates in {path} cannot be read: {error.strerror}") from error
    try:
        _context(roots)
    except (ssl.SSLError, ValueError) as error:
        raise ClientError(
            f"{path} holds no certificate in PEM form, with a line -----BEGIN CERTIFICATE-----: name the one that the"
            " server was started with (--tls-cert), or its authority's"
        ) from error
    return roots


def tls_problem(host: str, port: int, roots: bytes | None, seconds: float) -> str:
    """Return why a server cannot be talked to over TLS; empty where that is not the reason.

    Args:
        host: Its host.
        port: Its port.
        roots: The certificates that are trusted; None for the system's.
        seconds: How long to wait for it.

    Example:
        >>> tls_problem("127.0.0.1", 10000, None, 5.0)
        'its certificate is not trusted: self-signed certificate; name it, or its authority, with --tls-ca'
    """
    context = _context(roots)
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), seconds) as plain, context.wrap_socket(plain, server_hostname=host):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message}; name it, or its authority, with --tls-ca"
    except ssl.SSLError as error:
        return f"it does not speak TLS ({error.reason or error}): leave out --tls and --tls-ca"
    except OSError:
        return ""


def _context(roots: bytes | None) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=None if roots is None else roots.decode("ascii", "replace"))
