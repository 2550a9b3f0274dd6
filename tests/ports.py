"""Ports for servers of the tests that must be at a place of their own, or come back at the same one."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path


def free_port() -> int:
    """Return a port of this machine that nobody has, of those that the system gives only to who asks by number.

    Any other may be somebody's before a server has it, or while it is away: that of a connection to elsewhere, even
    of a client that tries to reach the server.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_001, max(first, 20_000)), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports are taken")
