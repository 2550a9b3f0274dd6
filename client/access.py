"""The key of a Deephaven server: where a client finds it without anybody typing it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from client.errors import KeyNotFound

__all__ = ["KEY_VARIABLE", "FoundKey", "default_key_file", "find_key", "given_key"]

KEY_VARIABLE = "DEEPHAVEN_PSK"


class FoundKey(NamedTuple):
    """A key, and where it was found.

    Attributes:
        key: The key.
        found_in: The place, for messages.
    """

    key: str
    found_in: str

    def __repr__(self) -> str:
        """Return the place alone: a key is not for logs."""
        return f"FoundKey(found_in={self.found_in!r})"


def default_key_file() -> Path:
    """Return the file in which a server of this user keeps its key.

    Example:
        >>> default_key_file().name
        'deephaven.key'
    """
    config = os.environ.get("XDG_CONFIG_HOME")
    home = Path(config) if config else Path.home() / ".config"
    return home / "deephaven-trading-platform" / "deephaven.key"


def given_key(key: str) -> FoundKey:
    """Return a key that a program gave, without the line break that may have come with it from a file.

    Raises:
        KeyNotFound: It is none.
    """
    return FoundKey(_checked(key.strip(), "key="), "key=")


def find_key(key_file: str | os.PathLike[str] | None = None) -> FoundKey:
    """Return the key from a file, else from the variable DEEPHAVEN_PSK, else from the file of this user's server.

    Args:
        key_file: The file; None looks at the other two places.

    Raises:
        KeyNotFound: There is no key, or the file is open to others or holds none.
    """
    if key_file is not None:
        try:
            return _read(Path(key_file).expanduser())
        except (RuntimeError, ValueError) as error:  # ~ of nobody, or a zero byte
            raise KeyNotFound(f"{os.fspath(key_file)!r} cannot be the name of a key file: {error}") from error
    given = os.environ.get(KEY_VARIABLE, "").strip()
    if given:
        return FoundKey(_checked(given, f"the variable {KEY_VARIABLE}"), f"the variable {KEY_VARIABLE}")
    usual = default_key_file()
    if not usual.exists():
        raise KeyNotFound(
            f"no key for the server: there is no {usual}, and {KEY_VARIABLE} is not set; start the server as this user,"
            " or name its key file with --key-file"
        )
    return _read(usual)


def _read(path: Path) -> FoundKey:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(4096)
    except OSError as error:
        raise KeyNotFound(f"the key file {path} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyNotFound(f"the key file {path} is open to others: run `chmod 600 {path}`, and have a new key made")
    return FoundKey(_checked(content.decode("ascii", "replace").strip(), f"the file {path}"), f"the file {path}")


def _checked(key: str, place: str) -> str:
    # It becomes a header: what is not plain text would fail far from here, with the key in the message.
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise KeyNotFound(f"{place} holds no key: a key is one line of printable ASCII without blanks")
    return key
