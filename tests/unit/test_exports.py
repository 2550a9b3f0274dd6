"""The names that users import: each package's `__all__` is pinned, and each import of the documentation works."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The public API of each package on one screen. A change here is a change for every user: it belongs into CHANGELOG.md.
EXPORTS: dict[str, list[str]] = {
    "bridge": [
        "BridgeError",
        "CellRefused",
        "ColumnTypeError",
        "FeedStats",
        "Replay",
        "StoreBridge",
        "TableWriter",
        "extract_row",
        "infer_dh_schema",
    ],
    "reactive": [
        "BinOp",
        "Coalesce",
        "Const",
        "Expr",
        "Field",
        "Func",
        "If",
        "IsNull",
        "ReactiveError",
        "ReactiveGraph",
        "StrOp",
        "UnaryOp",
        "auto_persist_effect",
        "from_json",
    ],
    "server": [],
    "store": [
        "ChangeEvent",
        "EventBus",
        "ObjectStoreServer",
        "QueryResult",
        "REGISTRY",
        "RegistryError",
        "StateMachine",
        "Storable",
        "StoreClient",
        "StoreError",
        "SubscriptionListener",
        "Transition",
        "VersionConflict",
    ],
    "workflow": [
        "NotRecoverableWarning",
        "StepMismatch",
        "UnknownQueue",
        "WorkflowCancelled",
        "WorkflowConflict",
        "WorkflowContext",
        "WorkflowEngine",
        "WorkflowError",
        "WorkflowFailed",
        "WorkflowHandle",
        "WorkflowStatus",
        "current",
    ],
}
# Imports beside `from PACKAGE import ...` that users write.
IMPORTS: dict[str, list[str]] = {
    "reactive.expr": ["Const", "Field", "If"],
    "reactive.graph": ["ReactiveGraph"],
    "store.base": ["Storable"],
    "store.client": ["QueryResult", "StoreClient", "VersionConflict"],
    "store.columns": ["REGISTRY"],
    "store.models": ["Limit", "Order", "Signal", "Trade"],
    "store.permissions": ["list_shared_with", "share_read", "share_write", "unshare", "unshare_read", "unshare_write"],
    "store.registry": ["ColumnDef", "ColumnRegistry", "RegistryError"],
    "store.schema": ["bootstrap_schema", "provision_user"],
    "store.server": ["ObjectStoreServer"],
    "store.state_machine": [
        "GuardFailure",
        "InvalidTransition",
        "StateMachine",
        "Transition",
        "TransitionNotPermitted",
    ],
    "store.subscriptions": ["ChangeEvent", "EventBus", "SubscriptionListener"],
    "bridge.type_mapping": ["extract_row", "infer_dh_schema"],
    "workflow.dbos_engine": ["DBOSEngine"],
    "workflow.engine": ["WorkflowEngine", "WorkflowHandle", "WorkflowStatus"],
    "workflow.testing": ["InMemoryEngine"],
}


@pytest.mark.parametrize("package", EXPORTS)
def test_package_exports_exactly_the_pinned_names(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == EXPORTS[package]


@pytest.mark.parametrize("package", EXPORTS)
def test_package_exported_names_resolve_and_have_docstrings(package: str) -> None:
    module = importlib.import_module(package)
    objects = {name: getattr(module, name) for name in module.__all__}
    documented = (inspect.isclass, inspect.isroutine)
    assert not [
        name for name, value in objects.items() if any(kind(value) for kind in documented) and not value.__doc__
    ]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in IMPORTS.items() for name in names])
def test_module_offers_the_documented_name(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_every_package_with_exports_is_pinned() -> None:
    packages = {
        path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in {"tools", "benchmarks"}
    }
    exporting = {package for package in packages if hasattr(importlib.import_module(package), "__all__")}
    assert exporting == set(EXPORTS)
