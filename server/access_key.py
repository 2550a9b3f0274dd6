"""The pre-shared key of the Deephaven server: one a user, in a file that nobody else can read.

Whoever has the key can run code in the server and sees all that it publishes. It therefore never travels through
process arguments, the environment or a log: the server and the clients of the same user read the same file.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from server.errors import KeyFileError

__all__ = ["default_key_file", "load_or_create_key"]

_SHORTEST_KEY = 16


def default_key_file() -> Path:
    """Return where this user's key is kept: `$XDG_CONFIG_HOME/deephaven-trading-platform/deephaven.key`.

    Example:
        >>> default_key_file().name
        'deephaven.key'
    """
    config = os.environ.get("XDG_CONFIG_HOME")
    home = Path(config) if config else Path.home() / ".config"
    return home / "deephaven-trading-platform" / "deephaven.key"


def load_or_create_key(path: Path | None = None) -> str:
    """Return the key in a file, made on first use with mode 0600.

    Args:
        path: The file; this user's own by default.

    Returns:
        At least 16 printable ASCII characters.

    Raises:
        KeyFileError: The file is a link, belongs to someone else, is open to others or holds no usable key.

    Example:
        >>> load_or_create_key() == load_or_create_key()
        True
    """
    path = path or default_key_file()
    if not os.path.lexists(path):
        try:
            _create(path)
        except OSError as error:
            raise KeyFileError(path, f"cannot be made ({error.strerror}); name another with --key-file") from error
    return _read(path)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        try:
            os.link(draft, path)  # complete or not at all, and never over a file that another process made first
        except FileExistsError:
            return
    finally:
        os.unlink(draft)


def _regular(descriptor: int, path: Path) -> int:
    """Return an open file's descriptor; what is no regular file is closed and refused."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise KeyFileError(path, "is not a regular file; remove it to have a new one made, or name another")
    return descriptor


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        problem = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be opened ({error.strerror})"
        raise KeyFileError(path, f"{problem}; remove it to have a new one made, or name another") from error
    with os.fdopen(_regular(descriptor, path), "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise KeyFileError(path, f"belongs to user id {status.st_uid}, not to you; remove it or choose another")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise KeyFileError(
                path, "can be read by others, who may have the key: remove it to have a new one made, then restart"
            )
        content = file.read(4096)
    try:
        key = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise KeyFileError(path, "holds characters outside ASCII; remove it to have a new one made") from None
    if len(key) < _SHORTEST_KEY or not key.isprintable() or " " in key:
        raise KeyFileError(path, f"holds no key of {_SHORTEST_KEY} characters; remove it to have a new one made")
    return key
