"""A market data server of its own process, with all its pages, for tests to visit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from server.dashboards import PAGE_NOTES
from tests.fix_children import Child, Children
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pydeephaven import Session

START_SECONDS = 240.0


@dataclass
class Site:
    """A running market data server.

    Attributes:
        url: Its address, without the key.
        key: The key.
        process: The server.
        store: The directory of its store.
    """

    url: str
    key: str
    process: Child
    store: Path


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Site]:
    """Run a server until the end of the block."""
    children = Children(folder)
    key_file = folder / "key"
    try:
        server = children.run(
            *("-m", "server", "--port", "0", "--seed", "7", "--heap", "1g", "--key-file", str(key_file)), *options
        )
        url = server.wait_for_line("  Open   ", START_SECONDS).split()[-1].split("?")[0]
        key = key_file.read_text(encoding="ascii").strip()
        with connected(url, key) as session:
            # The server looks from time to time at what the program around it has published.
            wait_until(lambda: set(PAGE_NOTES) <= set(session.exportable_objects), START_SECONDS)
        yield Site(url, key, server, folder / "store")
        server.send(signal.SIGTERM)
        assert server.wait() == 0, server.output
    finally:
        children.close()


@contextmanager
def connected(url: str, key: str) -> Iterator[Session]:
    """A client's session with the site."""
    from client.session import ClientSession
    from server.embedded import AUTH_TYPE

    session = ClientSession(host="127.0.0.1", port=urlsplit(url).port, auth_type=AUTH_TYPE, auth_token=key)
    yield session
    with suppress(Exception):
        session.close()
