"""Every error that the clients raise: each says what could not be done, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["AccessRefused", "ClientError", "KeyNotFound", "ScriptFailed", "ServerUnreachable", "TableNotFound"]


class ClientError(Exception):
    """Base of every error of the clients."""


class ServerUnreachable(ClientError, ConnectionError):
    """Nothing answers at the address, or the connection broke.

    Attributes:
        address: Host and port.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"no Deephaven server answers at {address} ({reason}): start one with `python -m server`, or name another"
            " with --host and --port"
        )
        self.address = address


class AccessRefused(ClientError, PermissionError):
    """The server is there and does not take the key.

    Attributes:
        address: Host and port.
        key_from: Where the key was found; None where none was used.
    """

    def __init__(self, address: str, key_from: str | None) -> None:
        refused = "wants a key" if key_from is None else f"refuses the key from {key_from}"
        super().__init__(
            f"the server at {address} {refused}: use the key that this server was started with (its key file with"
            " --key-file, or the variable DEEPHAVEN_PSK)"
        )
        self.address = address
        self.key_from = key_from


class KeyNotFound(ClientError, LookupError):
    """No key was given, and none lies where one would be, or what lies there cannot be used."""


class TableNotFound(ClientError, LookupError):
    """The server publishes no table of that name.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        tables = sorted(known)
        near = get_close_matches(name, tables, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(tables)}"
        if not tables:
            hint = "it has none yet: one that was just started takes a while"
        super().__init__(f"the server publishes no table named {name!r}; {hint}")
        self.name = name


class ScriptFailed(ClientError):
    """A script raised an error on the server; the message is the server's."""

    def __init__(self, message: str) -> None:
        # Without the engine's own way to the script.
        super().__init__("\n".join(line for line in message.splitlines() if not line.startswith("\tat ")).rstrip())
