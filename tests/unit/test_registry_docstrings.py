"""The examples in the docstrings of the governance modules run as printed."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = """
    annotations base binding catalog column constraints errors models patterns records registry scalars state_machine
    transition
    values
"""


@pytest.mark.parametrize("name", MODULES.split())
def test_module_examples_run_as_printed(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"store.{name}")).failed == 0


def test_modules_have_examples_at_all() -> None:
    attempted = [doctest.testmod(importlib.import_module(f"store.{name}")).attempted for name in MODULES.split()]
    assert sum(attempted) > 20
