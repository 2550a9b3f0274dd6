"""Each command line is documented: its commands and options, and no other.

Those of `python -m store` and `python -m server` have tests of their own.
"""

from __future__ import annotations

import re

import click
import pytest

import demo_bridge
from client import pm_client, quant_client, risk_client
from tests.docs.pages import ROOT, shell_commands
from workflow.cli import commands as workflow_commands

CLIENTS = [quant_client.main, risk_client.main, pm_client.main]


def rows(page: str) -> list[str]:
    """Return the first cells of a page's tables."""
    return re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def test_page_of_workflows_lists_every_command_with_its_options() -> None:
    cells = [cell for row in rows("workflows.md") for cell in re.findall(r"`([a-z]+)([^`]*)`", row)]
    documented = {name: set(re.findall(r"--[a-z-]+", rest)) for name, rest in cells}
    for name, command in workflow_commands.commands.items():
        assert documented.get(name) == options_of(command), name
    page = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    assert not [option for option in options_of(workflow_commands) if option not in page]


def test_page_of_clients_lists_every_option_and_no_other() -> None:
    documented = {option for row in rows("clients.md") for option in re.findall(r"--[a-z-]+", row)}
    assert documented == {option for client in CLIENTS for option in options_of(client)}


def test_page_of_demos_lists_every_option_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo_bridge.arguments(["--help"])
    offered = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert offered == {option for row in rows("demos.md") for option in re.findall(r"--[a-z-]+", row)}


def test_page_of_the_server_shows_its_other_command() -> None:
    commands = [command.partition("#")[0].strip() for command in shell_commands(ROOT / "docs" / "server.md")]
    assert "python -m server doctor" in commands
