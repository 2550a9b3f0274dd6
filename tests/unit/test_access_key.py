from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from server.access_key import default_key_file, load_or_create_key
from server.errors import KeyFileError


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "deephaven.key"


def test_key_first_use_makes_a_file_for_its_owner_alone(key_file: Path) -> None:
    key = load_or_create_key(key_file)
    assert len(key) >= 32
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert [path.name for path in key_file.parent.iterdir()] == ["deephaven.key"]


def test_key_second_use_reads_the_first(key_file: Path) -> None:
    assert load_or_create_key(key_file) == load_or_create_key(key_file)


def test_key_two_files_have_different_keys(tmp_path: Path) -> None:
    assert load_or_create_key(tmp_path / "a") != load_or_create_key(tmp_path / "b")


def test_key_default_file_follows_the_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_file().is_relative_to(tmp_path)
    load_or_create_key()
    assert default_key_file().exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    load_or_create_key(key_file)
    key_file.chmod(mode)
    with pytest.raises(KeyFileError, match="can be read by others") as caught:
        load_or_create_key(key_file)
    assert caught.value.path == key_file


def test_key_file_that_is_a_link_is_refused(key_file: Path, tmp_path: Path) -> None:
    load_or_create_key(tmp_path / "elsewhere")
    key_file.parent.mkdir()
    key_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="is a symbolic link"):
        load_or_create_key(key_file)


def test_key_file_that_is_a_folder_is_refused(key_file: Path) -> None:
    key_file.mkdir(parents=True)
    with pytest.raises(KeyFileError, match="is not a regular file"):
        load_or_create_key(key_file)


def test_key_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match=r"cannot be made \(File exists\); name another with --key-file"):
        load_or_create_key(tmp_path / "file" / "key")
    with pytest.raises(KeyFileError, match="cannot be made"):
        load_or_create_key(Path("/proc/nowhere"))


def test_key_file_that_is_a_pipe_is_refused_without_waiting(key_file: Path) -> None:
    key_file.parent.mkdir()
    os.mkfifo(key_file, 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        load_or_create_key(key_file)


@pytest.mark.parametrize("content", [b"", b"short\n", b"sixteen characters and spaces", "schlüsselschlüssel".encode()])
def test_key_file_without_a_usable_key_is_refused(key_file: Path, content: bytes) -> None:
    key_file.parent.mkdir()
    key_file.write_bytes(content)
    key_file.chmod(0o600)
    with pytest.raises(KeyFileError, match="holds"):
        load_or_create_key(key_file)
