"""The names of workflows and steps."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.client import StoreClient
from store.models import Trade
from workflow.errors import TargetNotFound
from workflow.payloads import copied
from workflow.targets import find, step_name, target_of


class Desk:
    """Holds functions of several kinds."""

    @staticmethod
    def close(value: int) -> int:
        return value

    @classmethod
    def open(cls, value: int) -> int:
        return value

    def trade(self, value: int) -> int:
        return value

    def __call__(self) -> int:
        return 1


def plain() -> int:
    return 1


@functools.wraps(plain)
def wrapped() -> int:
    return 2


@pytest.mark.parametrize(
    ("fn", "name"), [(plain, "plain"), (Desk.close, "Desk.close"), (Desk.open, "Desk.open"), (Desk.trade, "Desk.trade")]
)
def test_importable_functions_are_found_by_name(fn: Any, name: str) -> None:
    target = target_of(fn)
    assert target == (f"{__name__}:{name}", "", True)
    assert find(target.name, target.origin) == fn


@pytest.mark.parametrize("fn", [lambda: 1, Desk().trade, Desk(), wrapped, functools.partial(plain)])
def test_what_a_new_process_would_not_find_is_kept_here(fn: Any) -> None:
    target = target_of(fn)
    assert not target.importable
    assert find(target.name, target.origin) is fn


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_such_module:fn", "importing no_such_module failed: ModuleNotFoundError"),
        (f"{__name__}:nothing", "has no nothing"),
        (f"{__name__}:Desk.nothing", "has no Desk.nothing"),
        (f"{__name__}:__doc__", "it is a str, no function"),
        ("<local>:gone#0", "it is a lambda or a local function"),
    ],
)
def test_name_that_leads_nowhere_says_why(name: str, told: str) -> None:
    with pytest.raises(TargetNotFound, match=told) as caught:
        find(name, "")
    assert caught.value.target == name


def test_module_that_ends_the_program_on_import_is_a_name_that_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script_without_guard.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TargetNotFound, match="importing script_without_guard failed: SystemExit: 3"):
        find("script_without_guard:main", "")


def test_function_of_another_script_is_not_this_scripts() -> None:
    with pytest.raises(TargetNotFound, match=r"it belongs to the script other\.py, and this one is"):
        find("__main__:plain", "other.py")


def test_step_names_tell_lambdas_of_one_function_apart() -> None:
    one, two, again = (lambda: plain() + 1), (lambda: plain() + 2), (lambda: plain() + 1)
    assert step_name(one) != step_name(two)
    assert step_name(one) == step_name(again)
    assert step_name(functools.partial(plain)) == step_name(plain) == "plain"
    assert step_name(StoreClient.write) == "StoreClient.write"
    assert step_name(Desk()) == "Desk"


LAMBDAS = (
    "from workflow.targets import step_name\n\nprint(step_name(lambda o: (o.a, {'x', 'y', 'z'} == o, lambda: 'deep')))"
)


def test_step_name_of_a_lambda_is_the_same_in_every_process_and_line(tmp_path: Path) -> None:
    names = set()
    for number, text in enumerate((LAMBDAS, "# moved\n\n" + LAMBDAS, LAMBDAS)):
        script = tmp_path / f"{number}.py"
        script.write_text(text)
        command = [sys.executable, str(script)]
        env = {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": str(number)}
        names.add(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout)
    assert len(names) == 1


def test_copies_hold_copies_of_storables_and_nothing_else() -> None:
    trade, other = Trade(symbol="AAPL"), object()
    args = copied((trade, [trade, other], {"a": (trade,)}, {1}, other))
    assert args[0] == trade and args[0] is not trade
    assert args[1][0] is not trade and args[1][1] is other
    assert args[2]["a"][0] is not trade
    assert args[4] is other
