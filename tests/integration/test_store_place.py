"""Where the market data server keeps its store: what is refused, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.errors import StorePlaceError
from server.store_place import AttachedStore, default_store_directory, store_place


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda path: path.write_text("a file"), "no store can be kept there: File exists"),
        (lambda path: (path.mkdir(), (path / "thesis.tex").touch()), "holds 'thesis.tex' and no store"),
    ],
)
def test_place_that_holds_something_else_is_left_alone(
    tmp_path: Path, prepare: Callable[[Path], Any], problem: str
) -> None:
    path = tmp_path / "place"
    prepare(path)
    with pytest.raises(StorePlaceError, match=problem):
        store_place(str(path)).open()
    assert {found.name for found in tmp_path.rglob("*")} <= {"place", "thesis.tex"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("~no-such-user/store", "cannot be a directory"),
        ("loop", "(cannot be a directory|no store can be kept there)"),
        ("desk,old", "has ',' in its name, which .* cannot have there: name another directory"),
        ("a$(id)", r"has '\$' in its name"),
        ("a\nb", r"has '\\n' in its name"),
    ],
)
def test_place_whose_name_no_store_can_have_says_so(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(StorePlaceError, match=problem):
        store_place(name if name.startswith("~") else str(tmp_path / name)).open()
    assert not (tmp_path / "desk,old").exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://desk:secret@host/db", "set STORE_PASSWORD"),
        ("postgresql://host/db", "names no login"),
        ("postgresql://desk@host", "names no database"),
        ("mysql://desk@host/db", "begins with postgresql://"),
        ("postgresql://desk@host/db?options=-cx", "'options'"),
    ],
)
def test_url_that_cannot_be_used_says_why_and_shows_no_password(url: str, problem: str) -> None:
    with pytest.raises(StorePlaceError) as caught:
        store_place(url)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_attached_store_takes_its_password_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "hidden")
    logins = AttachedStore("postgresql://desk@db.example.org:5433/trading?sslmode=verify-full").open()
    assert (
        logins.desk
        == logins.bridge
        == {
            "user": "desk",
            "password": "hidden",
            "host": "db.example.org",
            "port": "5433",
            "dbname": "trading",
            "sslmode": "verify-full",
        }
    )
    assert "STORE_PASSWORD" not in os.environ


def test_usual_directory_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store_directory() == tmp_path / "deephaven-trading-platform" / "store"
