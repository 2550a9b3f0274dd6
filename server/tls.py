"""The certificate and the private key of a server that speaks TLS, checked before a JVM starts for them."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from server.errors import TlsFileError

__all__ = ["check_tls_files"]


def check_tls_files(certificate: Path, key: Path) -> None:
    """Check that two files are a certificate and the private key that belongs to it.

    Args:
        certificate: A PEM file with the certificate first.
        key: A PEM file, not encrypted.

    Raises:
        TlsFileError: One of them is missing, no PEM or encrypted, the two do not belong together, or the key is open to
            others.
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
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        problem = error.reason or str(error)
        raise TlsFileError(key, f"does not belong to {certificate}, or one of them is damaged ({problem})") from error
    if stat.S_IMODE(key.stat().st_mode) & 0o027:  # a group may read it: the one of those who look after certificates
        raise TlsFileError(
            key, "is open to others, who may have the key: have a new one made, with mode 0600 or, for a group, 0640"
        )
