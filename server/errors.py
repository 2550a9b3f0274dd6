"""Every error that the server package raises."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "HeapTooSmall",
    "KeyFileError",
    "MomentError",
    "PortInUse",
    "PriceFileError",
    "ServerError",
    "StartStopped",
    "StorePlaceError",
    "TlsFileError",
    "TradeLeftOut",
    "WriterClosed",
]


class ServerError(Exception):
    """Base of every error of the server package; the message says what to do."""


class StartStopped(ServerError):
    """A start that was asked to stop before it came to its end."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("it was stopped before it was up")


class WriterClosed(ServerError):
    """Rows for a table that takes no more."""


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


class HeapTooSmall(ServerError, MemoryError):
    """A JVM heap that does not hold the rows that the raw tables are to keep.

    Attributes:
        heap: The largest heap, in bytes.
        kept_rows: How many rows; None for all.
        least: The heap that they take, in bytes.
    """

    def __init__(self, heap: int, kept_rows: int | None, least: int) -> None:
        """Name all three, and the two ways out."""
        rows = "all rows" if kept_rows is None else f"{kept_rows:,d} rows"
        super().__init__(
            f"a heap of {heap >> 20:,d} MB is too small to keep {rows} of the raw tables and to work, which takes "
            f"{least >> 20:,d} MB or more: give more with --heap, as --heap 2g, or keep fewer rows with --keep"
        )
        self.heap = heap
        self.kept_rows = kept_rows
        self.least = least


class KeyFileError(ServerError, PermissionError):
    """A key file that others could read or have planted, or that holds no usable key.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, problem: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"key file {path}: {problem}")
        self.path = path


class TlsFileError(ServerError, ValueError):
    """A certificate or a private key with which no server can speak TLS.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, problem: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"{path}: {problem}")
        self.path = path


class PriceFileError(ServerError, ValueError):
    """A price history that cannot be read.

    Attributes:
        path: The file.
        line: The line of a text file at fault, counted from 1; None when there is none, or the file as a whole is.
        row: The row of another file at fault, counted from 1; None likewise.
    """

    def __init__(self, path: Path, problem: str, line: int | None = None, *, row: int | None = None) -> None:
        """Name the place and what is wrong there."""
        place = f", line {line}" if line is not None else f", row {row}" if row is not None else ""
        super().__init__(f"{path}{place}: {problem}")
        self.path = path
        self.line = line
        self.row = row


class TradeLeftOut(ServerError, ValueError):
    """A trade of the store that bears on no position.

    Attributes:
        entity_id: The trade.
    """

    def __init__(self, entity_id: str, problem: str) -> None:
        """Name the trade and what is wrong with it."""
        super().__init__(f"trade {entity_id} is left out of the positions: {problem}")
        self.entity_id = entity_id


class MomentError(ServerError, ValueError):
    """A text that was to be a moment and is none.

    Attributes:
        text: As it was typed.
    """

    def __init__(self, text: str) -> None:
        """Show the text, and how a moment is written."""
        super().__init__(f"{text!r} is no moment: write 2026-11-25 19:00:00 (in UTC), or with an offset as +01:00")
        self.text = text


class StorePlaceError(ServerError, ValueError):
    """A directory or a URL that no store of the server can be at.

    Attributes:
        place: The directory, or the option that named it.
    """

    def __init__(self, place: str, problem: str) -> None:
        """Name the place and what is wrong with it."""
        super().__init__(f"{place}: {problem}")
        self.place = place
