"""docs/cli.md is what the command line does: every command and option is there, every example prints what it shows."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from store.cli import rendering
from store.cli.commands import commands
from store.client import StoreClient
from store.models import Trade
from store.server import ObjectStoreServer
from tests.docs.pages import ROOT, run_page
from tests.fix_postgres import password_of
from tests.integration.workers.command_line import CommandLine

PAGE = ROOT / "docs" / "cli.md"


def sections() -> dict[str, str]:
    """Return the page's text by command; what stands before the first is under the empty name."""
    head, *rest = re.split(r"^##+ `(.*)`\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": head, **dict(zip(rest[::2], rest[1::2], strict=True))}


def commands_of(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield prefix + name, command
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{prefix}{name} ")


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def options_in(text: str) -> set[str]:
    """Return the options that a text's tables explain."""
    return {
        name for line in re.findall(r"^\| (`-.*?) \|", text, re.MULTILINE) for name in re.findall(r"--[a-z-]+", line)
    }


def test_page_explains_every_command_with_its_options_and_no_other() -> None:
    documented = {name: options_in(text) for name, text in sections().items()}
    assert documented.pop("") == options_of(commands) | {"--help"}
    assert documented == {name: options_of(command) for name, command in commands_of(commands)}


def test_page_names_every_argument_of_a_command() -> None:
    text = sections()
    for name, command in commands_of(commands):
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                for shown in re.findall(r"\w+", parameter.metavar or str(parameter.name).upper()):
                    assert re.search(rf"\b{shown}\b", text[name]), f"{name}: {shown}"


def test_help_says_something_of_every_command_and_option() -> None:
    for name, command in commands_of(commands):
        assert command.help, name
        assert len(command.get_short_help_str(200).split(".")[0]) <= 75, f"{name}: cut short in the list of commands"
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), f"{name} {parameter.name}"


def examples() -> list[tuple[str, str]]:
    """Return every command of the page's console blocks with the output that follows it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [
        (command, output)
        for block in blocks
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def without_what_differs(text: str) -> str:
    """Put the same id, recording time and size in place of all; the widths stay as they are."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d\.\d{6}", r"RECORDED\1TIME", text)
    return re.sub(r" *\b\d{1,3}(,\d{3})+$", " SIZE", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def desk() -> Iterator[tuple[Path, dict[str, str]]]:
    """The directory and the environment of the page's examples."""
    with (
        tempfile.TemporaryDirectory(prefix="store-test-") as parent,
        ObjectStoreServer(Path(parent) / "desk") as server,
    ):
        for user in ("alice", "bob"):
            server.provision_user(user, password_of(user))
        run_page(PAGE, server.conn_info())
        with StoreClient("alice", "alice_pw", **server.conn_info()) as client:
            [trade] = client.query(Trade)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        more = {"TRADE": str(trade.entity_id), "STORE_NEW_PASSWORD": "new", "PATH": path}
        yield Path(parent), CommandLine().environment(**more)


def test_page_examples_print_what_the_page_shows(desk: tuple[Path, dict[str, str]]) -> None:
    parent, environment = desk
    found = examples()
    assert len(found) > 15
    for command, shown in found:
        done = subprocess.run(command, shell=True, cwd=parent, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert without_what_differs(done.stdout) == without_what_differs(shown), command


def test_rendering_examples_are_true() -> None:
    results = doctest.testmod(rendering)
    assert results.attempted >= 5
    assert results.failed == 0
