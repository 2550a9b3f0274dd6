"""Run one of the clients: `python -m client --help`."""

from __future__ import annotations

from client.interrupts import end_on_interrupt

if __name__ == "__main__":
    end_on_interrupt()

import click

from client.pm_client import main as pm
from client.quant_client import main as quant
from client.risk_client import main as risk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Screens on a running Deephaven server."""


for name, command in (("quant", quant), ("risk", risk), ("pm", pm)):
    main.add_command(command, name)

if __name__ == "__main__":
    main(prog_name="python -m client")
