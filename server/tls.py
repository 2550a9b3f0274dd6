"""The certificate and the private key of a server that speaks TLS, checked before a JVM starts for them."""

from __future__ import annotations

import base64
import ssl
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from server.errors import TlsFileError

__all__ = ["check_tls_files"]

# How the two kinds of key begin that Deephaven reads, after lengths and a version: the names of RSA and of EC in DER.
_READABLE_KEYS = (bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06072a8648ce3d0201"))
_KEY_HEAD = 32  # bytes
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name


def check_tls_files(certificate: Path, key: Path) -> None:
    """Check that two files are a certificate and the private key that belongs to it.

    Args:
        certificate: A PEM file with the certificate first.
        key: A PEM file, not encrypted.

    Raises:
        TlsFileError: One of them is missing, no PEM or encrypted, the two do not belong together, the certificate is
            not valid today, or the key is open to others, or of a form or a kind that Deephaven does not read.
    """
    for path, begin, what in (
        (certificate, "CERTIFICATE-----", "certificate"),
        (key, "PRIVATE KEY-----", "private key"),
    ):
        try:
            # Comments around the blocks may be of any encoding.
            content = path.read_bytes().decode("ascii", "replace")
        except OSError as error:
            raise TlsFileError(path, f"the {what} cannot be read: {error}") from error
        if begin not in content:
            raise TlsFileError(path, f"holds no {what} in PEM form: a line -----BEGIN ... {begin} is missing")
        if "ENCRYPTED" in content:
            raise TlsFileError(
                path, "is encrypted: write it decrypted, with mode 0600 (openssl pkey -in FILE -out NEW)"
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if error.reason == "EE_KEY_TOO_SMALL":
            raise TlsFileError(key, "is too short for TLS: have a new one made, of 2048 bits or more") from error
        problem = error.reason or str(error)
        raise TlsFileError(key, f"does not belong to {certificate}, or one of them is damaged ({problem})") from error
    _check_form(key, content)
    _check_dates(context, certificate)
    if stat.S_IMODE(key.stat().st_mode) & 0o027:  # a group may read it: the one of those who look after certificates
        raise TlsFileError(
            key, "is open to others, who may have the key: have a new one made, with mode 0600 or, for a group, 0640"
        )


def _check_form(path: Path, content: str) -> None:
    """Refuse a private key that OpenSSL reads and Java does not, which would end the server in Java's own words."""
    begin, end = (f"-----{word} PRIVATE KEY-----" for word in ("BEGIN", "END"))
    if begin not in content:
        raise TlsFileError(
            path, f"is not in the form {begin}: write it so (openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW)"
        )
    head = base64.b64decode(content.split(begin)[1].split(end)[0])[:_KEY_HEAD]
    if not any(name in head for name in _READABLE_KEYS):
        raise TlsFileError(path, "is of a kind that Deephaven does not read: have one made of RSA or of P-256")


def _check_dates(server: ssl.SSLContext, certificate: Path) -> None:
    """Let a client that trusts this very certificate look at it, in memory, and refuse it where its time is not now.

    Those that follow it in the file are not looked at: clients may trust newer ones in their place.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks, answers = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (asks, answers) * 3:  # in TLS 1.2 too
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError:
        return  # not for its dates
    except ssl.SSLError as error:
        problem = f"is of a kind of key that clients do not take ({error.reason}): have one made of RSA or of P-256"
        raise TlsFileError(certificate, problem) from error
    shown: Any = asks.getpeercert()
    begin, end = shown["notBefore"], shown["notAfter"]
    problem = ""
    if ssl.cert_time_to_seconds(end) <= time.time():
        problem = f"has expired ({end})"
    elif ssl.cert_time_to_seconds(begin) > time.time():
        problem = f"is not yet valid (from {begin})"
    if problem:
        hint = "have a new one made, or set this machine's clock"
        raise TlsFileError(certificate, f"the certificate {problem}, and clients refuse it: {hint}")
