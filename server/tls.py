"""The certificate and the private key of a server that speaks TLS, checked before a JVM starts for them."""

from __future__ import annotations

import ssl
import stat
from contextlib import suppress
from pathlib import Path

from server.errors import TlsFileError

__all__ = ["check_tls_files"]

_NOT_YET_VALID, _EXPIRED = 9, 10  # what OpenSSL says of a certificate


def check_tls_files(certificate: Path, key: Path) -> None:
    """Check that two files are a certificate and the private key that belongs to it.

    Args:
        certificate: A PEM file with the certificate first.
        key: A PEM file, not encrypted.

    Raises:
        TlsFileError: One of them is missing, no PEM or encrypted, the two do not belong together, the certificate is
            not valid today, or the key is open to others.
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
    _check_dates(context, certificate)
    if stat.S_IMODE(key.stat().st_mode) & 0o027:  # a group may read it: the one of those who look after certificates
        raise TlsFileError(
            key, "is open to others, who may have the key: have a new one made, with mode 0600 or, for a group, 0640"
        )


def _check_dates(server: ssl.SSLContext, certificate: Path) -> None:
    """Let a client that trusts this very certificate look at it, in memory: its dates are all that it can refuse."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks, answers = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (asks, answers, asks):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            problem = f"{error.verify_message}, and clients refuse it: have a new one made, or set this machine's clock"
            raise TlsFileError(certificate, problem) from error
