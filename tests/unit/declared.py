"""Classes declared with given fields, for the tests of what the registry takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from store.base import Storable
from store.columns import REGISTRY
from store.registry import RegistryError

REGISTRY.define("probe_code", str, description="Code that the tests may leave out", role="attribute", nullable=True)
REGISTRY.define("probe_day", date, description="Day of the tests", role="attribute", nullable=True)
REGISTRY.define("probe_list", list[str], description="Texts of the tests", role="attribute")


def declaring_in(module: str) -> tuple[Callable[..., type], Callable[..., RegistryError]]:
    """Return what declares a class in a module, whose names may stand in annotations, and what expects its refusal.

    A class is undecorated: the check comes before the decorator.
    """

    def declare(bases: tuple[type, ...] = (Storable,), **annotations: Any) -> type:
        return type("Declared", bases, {"__annotations__": annotations, "__module__": module})

    def refusal(**annotations: Any) -> RegistryError:
        with pytest.raises(RegistryError) as caught:
            declare(**annotations)
        return caught.value

    return declare, refusal
