"""Every error that the server package raises."""

from __future__ import annotations

from pathlib import Path

__all__ = ["KeyFileError", "PortInUse", "PriceFileError", "ServerError"]


class ServerError(Exception):
    """Base of every error of the server package; the message says what to do."""


class PortInUse(ServerError, OSError):
    """Another program listens on the address that the server was to take.

    Attributes:
        host: The address.
        port: The port.
    """

    def __init__(self, host: str, port: int) -> None:
        """Name the address and the way out."""
        super().__init__(
            f"{host}:{port} is taken by another program: stop it, or choose another port (0: any free one)"
        )
        self.host = host
        self.port = port


class KeyFileError(ServerError, PermissionError):
    """A key file that others could read or have planted, or that holds no usable key.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, problem: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"key file {path}: {problem}")
        self.path = path


class PriceFileError(ServerError, ValueError):
    """A price history that cannot be read.

    Attributes:
        path: The file.
        line: The line at fault, counted from 1; None when the file as a whole is.
    """

    def __init__(self, path: Path, problem: str, line: int | None = None) -> None:
        """Name the place and what is wrong there."""
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {problem}")
        self.path = path
        self.line = line
