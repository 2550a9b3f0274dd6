"""A client's screen: its panels again and again, live on a terminal, as plain text in a pipe."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from client.errors import AccessRefused, ClientError, ServerUnreachable, TableNotFound
from client.interrupts import interrupted, shown, wait
from client.panel import STALE_SECONDS
from client.stall_watch import StallWatch, stalls_told

if TYPE_CHECKING:
    from pydeephaven.table import Table

    from client.base_client import DeephavenClient
    from client.panel import Panel

__all__ = ["Screen"]

_PIPED_WIDTH = 200
_FIRST_RETRY, _LAST_RETRY = 0.5, 5.0  # seconds


class Screen:
    """Shows panels until Ctrl-C, over restarts of the server.

    Args:
        name: The client's name, in the header.
        client: The connection.
        build: Makes the panels; called again after each new connection.
        interval: Seconds between two looks.
        on_frame: Called after each look.
    """

    def __init__(
        self,
        name: str,
        client: DeephavenClient,
        build: Callable[[DeephavenClient], Sequence[Panel]],
        *,
        interval: float = 0.4,
        on_frame: Callable[[DeephavenClient], None] | None = None,
    ) -> None:
        self._name = name
        self._client = client
        self._build = build
        self._interval = interval
        self._on_frame = on_frame
        self._panels: Sequence[Panel] = ()
        self._store_status: Table | None = None
        self._rows: Sequence[RenderableType] = ()
        self._changed: float | None = None
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # an encoding may lack the bars of a line
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=_PIPED_WIDTH)

    def show_once(self) -> None:
        """Show the panels as they are now, and leave.

        Raises:
            ClientError: The server is gone, or lacks a table.
        """
        with self._client.explaining(), stalls_told(self._client.address):
            self._open()
            frame = self._frame(marked=False)
        self._console.print(frame)

    def run(self, seconds: float | None = None) -> None:
        """Show the panels until Ctrl-C.

        Args:
            seconds: When to leave by itself, after one look at least; None never does.

        Raises:
            ClientError: The server was not there at the beginning, or lacks a table.
        """
        end = None if seconds is None else time.monotonic() + seconds
        with self._client.explaining(), stalls_told(self._client.address):
            self._open()
        if not self._console.is_terminal or self._console.is_dumb_terminal:  # where nothing can be drawn over
            self._repeat(lambda frame: self._console.print(frame), end, marked=False)
            return
        with Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
            self._repeat(lambda frame: live.update(frame, refresh=True), end, marked=True)

    def _repeat(self, show: Callable[[Group], None], end: float | None, *, marked: bool) -> None:
        retry = _FIRST_RETRY
        lost: str | None = None
        with StallWatch(lambda seconds: show(self._unanswered(seconds)), again=marked) as watch:
            while not interrupted():
                begin = time.monotonic()
                try:
                    with self._client.explaining():
                        with watch.call():
                            if lost is not None:
                                self._client.reconnect()
                                self._open()
                                lost, retry = None, _FIRST_RETRY
                            frame = self._frame(marked=marked)
                        show(frame)
                        shown()
                        if self._on_frame is not None:
                            with watch.call():
                                self._on_frame(self._client)
                    pause = self._interval
                except AccessRefused:
                    raise
                except ClientError as error:
                    if lost is None and not isinstance(error, ServerUnreachable):
                        raise
                    # A server that comes up publishes its tables one by one.
                    lost = str(error)
                    show(Group(self._header("reconnecting", "yellow"), Text(lost, "yellow"), *self._rows))
                    pause, retry = retry, min(retry * 2, _LAST_RETRY)
                left = pause - (time.monotonic() - begin)
                if end is not None:
                    left = min(left, end - time.monotonic())
                wait(max(left, 0.0))
                if end is not None and time.monotonic() >= end:
                    return

    def _open(self) -> None:
        self._panels = self._build(self._client)
        try:
            self._store_status = self._client.open_table("store_status")
        except TableNotFound:  # a server without a store
            self._store_status = None

    def _frame(self, *, marked: bool) -> Group:
        parts: list[RenderableType] = [Text(self._store_note(), "yellow")]
        for panel in self._panels:
            parts += [panel.grid(self._client.read(panel.table).to_pylist(), marked=marked), Text("")]
        moments = [moment for panel in self._panels if (moment := panel.last_change()) is not None]
        self._rows, self._changed = parts, max(moments, default=None)
        return Group(self._header("connected", "green"), *parts)

    def _unanswered(self, seconds: float) -> Group:
        """Return the last rows under a header that says for how long nothing has answered."""
        return Group(self._header(f"no answer for {seconds:,.0f} s", "bold red"), *self._rows)

    def _store_note(self) -> str:
        """Return what is to be said of the store: nothing while it answers."""
        rows = [] if self._store_status is None else self._client.read(self._store_status).to_pylist()
        silence = max((row["Silence"] or 0.0 for row in rows), default=0.0)
        if not silence > STALE_SECONDS:
            return ""
        return f"the store has been silent for {silence:,.0f} s: trades and limits are as they were then"

    def _header(self, state: str, style: str) -> Text:
        age = "-" if self._changed is None else f"{max(time.monotonic() - self._changed, 0.0):.1f} s"
        clock = datetime.now(timezone.utc).strftime("%H:%M:%S UTC")
        header = Text(f"{self._name.upper()}", "bold")
        header.append(f"   {self._client.address}   ", "default")
        header.append(f"● {state}", style)
        header.append(f"   last change {age} ago   {clock}", "dim")
        return header
