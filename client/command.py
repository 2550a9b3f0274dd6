"""The command line that the clients share."""

from __future__ import annotations

import functools
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import pyarrow

from client.base_client import DEFAULT_HOST, DEFAULT_PORT, DeephavenClient
from client.errors import ClientError
from client.interrupts import interrupted, interrupts_remembered, leaving_after
from client.stall_watch import stalls_told

__all__ = ["Seconds", "client_command"]

F = TypeVar("F", bound=Callable[..., Any])


def client_command(function: Callable[..., None]) -> click.Command:
    """Make a command of a function that takes a connection and the options of its own.

    It adds the options of the connection and of the screen; an error ends the command with one line and status 1,
    Ctrl-C and SIGTERM with status 0, a second one at once. What `--seconds` gives counts from the first try to connect.
    """

    @functools.wraps(function)
    def run(
        host: str,
        port: int,
        key_file: Path | None,
        anonymous: bool,
        tls: bool,
        tls_ca: Path | None,
        seconds: float | None,
        **options: Any,
    ) -> None:
        pyarrow.enable_signal_handlers(False)  # its own take the signal, and wait all the same
        try:
            address, begin = f"{host}:{port}", time.monotonic()
            with interrupts_remembered(), leaving_after(seconds, address):
                with stalls_told(address):
                    client = DeephavenClient(host, port, key_file=key_file, anonymous=anonymous, tls=tls, tls_ca=tls_ca)
                if seconds is not None:
                    seconds = max(seconds - (time.monotonic() - begin), 0.0)
                with client, client.explaining():
                    function(client, seconds=seconds, **options)
        except ClientError as error:
            if interrupted():
                return
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            return
        except BrokenPipeError:
            _let_go_of_output()  # whoever read it has left
        except OSError as error:
            _let_go_of_output()
            click.echo(f"error: standard output cannot be written: {error.strerror}", err=True)
            sys.exit(1)

    for option in reversed(_OPTIONS):
        run = option(run)
    return click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})(run)


def _let_go_of_output() -> None:
    """Keep the end of the process from writing once more what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Seconds(click.FloatRange):
    """A time to wait: what is no number, or without end, would be none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, if it is one and ends."""
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = [
    click.option("--host", default=DEFAULT_HOST, help="The server's host."),
    click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, help="The server's port."),
    click.option("--key-file", type=_FILE, help="The server's key; else DEEPHAVEN_PSK, else this user's own file."),
    click.option("--anonymous", is_flag=True, help="Use no key, for a server started with --anonymous."),
    click.option("--tls", is_flag=True, help="Talk TLS, and trust the system's certificate authorities."),
    click.option("--tls-ca", type=_FILE, help="Talk TLS, and trust the authorities in this file (PEM)."),
    click.option("--once", is_flag=True, help="Show the tables once, and leave."),
    click.option("--seconds", type=Seconds(min=0, min_open=True), help="Leave after so many seconds."),
    click.option("--interval", type=Seconds(min=0.1), default=0.4, help="Seconds between two looks at the server."),
]
