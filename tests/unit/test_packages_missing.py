"""What is said where a package is missing that only some calls need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reactive.errors import NumpyMissing, ReactiveError
from reactive.expr import Field
from store import frames
from store.errors import PackageMissing, StoreError
from store.models import Trade

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("call", "method", "package"),
    [
        (lambda: frames.to_pandas(Trade, []), "to_pandas", "pandas"),
        (lambda: frames.to_arrow(Trade, []), "to_arrow", "pyarrow"),
        (lambda: frames.objects_of(Trade, [], None), "write_frame", "pandas"),
    ],
)
def test_frame_without_its_package_says_what_to_install(
    call: Callable[[], object], method: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PackageMissing) as caught:
        call()
    assert str(caught.value) == f"{method}() needs {package}, which is not installed: pip install {package}"
    assert isinstance(caught.value, StoreError) and isinstance(caught.value, ImportError)
    assert caught.value.name == package


def test_columns_without_numpy_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "reactive.expr.columns", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(NumpyMissing) as caught:
        (Field("price") * 2).eval_columns({"price": [1.0]})
    assert str(caught.value) == "eval_columns() needs numpy, which is not installed: pip install numpy"
    assert isinstance(caught.value, ReactiveError) and isinstance(caught.value, ImportError)


@pytest.mark.parametrize("module", ["client", "client.base_client", "client.quant_client"])
def test_client_without_its_packages_says_what_to_install(module: str) -> None:
    program = f"import sys; sys.modules['pydeephaven'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the clients need pydeephaven, which is not installed: pip install -r requirements-client.txt" in done.stderr
