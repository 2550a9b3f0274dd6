"""The site of README.md, docs/ and the docstrings: pages in the navigation, links kept, public names explained."""

from __future__ import annotations

import importlib
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.unit.test_exports import EXPORTS, IMPORTS


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a source as `make site` does; what would be a warning fails it."""
    command = ["sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--builder", "html", "--conf-dir"]
    return subprocess.run(
        [sys.executable, "-m", *command, str(ROOT / "docs"), "--doctree-dir", str(target.parent / "doctrees"),
         str(source), str(target)],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    return target


def documented(site: Path) -> set[str]:
    """Return the Python names that the site explains, from the index that it gives to other projects."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split(" ", 1)[0] for line in lines if line.split(" ")[1].startswith("py:")}


def test_site_has_every_page_and_begins_at_its_root(site: Path) -> None:
    pages = [path.relative_to(ROOT) for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    assert len(pages) > 30
    assert not [page for page in pages if not (site / page).with_suffix(".html").exists()]
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_reference_explains_every_public_name(site: Path) -> None:
    objects = [_found(name) for name in documented(site)]
    public = [(module, name) for names in (EXPORTS, IMPORTS) for module in names for name in names[module]]
    lacking = {
        f"{module}.{name}"
        for module, name in public
        if not any(getattr(importlib.import_module(module), name) is each for each in objects)
    }
    assert not lacking


def test_reference_shows_no_private_name(site: Path) -> None:
    assert not [name for name in documented(site) if "._" in name.replace(".__", "")]


BROKEN = {
    "[there](nowhere.md)": "nowhere.md",
    "[there](../README.md#nothing-of-the-kind)": "nothing-of-the-kind",
    "![there](images/none.png)": "images/none.png",
    "```{eval-rst}\n.. autofunction:: store.schema.no_such_function\n```": "no_such_function",
    "```{eval-rst}\n:py:class:`store.client.NoSuchClient`\n```": "NoSuchClient",
}


def test_site_with_broken_references_or_a_page_outside_the_navigation_is_not_built(tmp_path: Path) -> None:
    docs = tmp_path / "source" / "docs"
    docs.mkdir(parents=True)
    text = "\n\n".join(["# Front", *BROKEN, "```{toctree}\n../README\n```\n"])
    (docs / "index.md").write_text(text, encoding="utf-8")
    (docs / "forgotten.md").write_text("# Another\n", encoding="utf-8")
    (tmp_path / "source" / "README.md").write_text("# The project\n", encoding="utf-8")
    done = build(tmp_path / "source", tmp_path / "site")
    assert done.returncode != 0
    assert not [complaint for complaint in [*BROKEN.values(), "forgotten.md"] if complaint not in done.stderr]


def _found(name: str) -> object:
    """Return what a dotted name stands for; None for the attributes of instances."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            value = getattr(value, part, None)
        return value
    return None
