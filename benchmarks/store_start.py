"""From nothing to ready: importing the store, and starting its server where data is already."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Samples, bounded
from benchmarks.store_scene import PASSWORD, USER
from store.server import ObjectStoreServer

STARTS = 3

IMPORT = """
import time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
"""
# Ready means that a user is logged in and has been answered.
START = """
import sys, time
from store.client import StoreClient
from store.server import ObjectStoreServer
begin = time.perf_counter()
with ObjectStoreServer(sys.argv[1]) as server:
    with StoreClient(user=sys.argv[2], password=sys.argv[3], **server.conn_info()) as client:
        client.list_types()
        print(time.perf_counter() - begin)
"""


@bounded("import store", p50=0.150)
def import_store() -> Iterator[Samples]:
    with tempfile.TemporaryDirectory() as cache:
        yield Samples(lambda: [_seconds(cache, IMPORT.format(module="store")) for _ in range(STARTS)])


@bounded("import store.client, with PostgreSQL's driver", p50=0.150)
def import_client() -> Iterator[Samples]:
    with tempfile.TemporaryDirectory() as cache:
        yield Samples(lambda: [_seconds(cache, IMPORT.format(module="store.client")) for _ in range(STARTS)])


@bounded("embedded PostgreSQL ready, existing directory", p50=1.5)
def server_ready() -> Iterator[Samples]:
    with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as data:
        with ObjectStoreServer(data) as server:
            server.provision_user(USER, PASSWORD)
        yield Samples(lambda: [_seconds(cache, START, data, USER, PASSWORD)])


def _seconds(cache: str, program: str, *arguments: str) -> float:
    """Run a program in a fresh interpreter and return what it prints. Compiled modules are kept in the cache folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=environment | {"PYTHONPYCACHEPREFIX": cache},
    )
    return float(finished.stdout)
