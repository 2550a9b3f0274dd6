"""Another user of the machine on which an embedded server runs: its files, its lock and its socket."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import cluster
from store.errors import StoreError
from store.server import ObjectStoreServer

AS_NOBODY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user of the machine")
READ_LOCK = "fcntl.lockf(open(sys.argv[1]), fcntl.LOCK_SH)"
REPLACE = "os.rename(sys.argv[1], sys.argv[1] + '.gone')"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that everybody may go through, with the place for temporary files in it, and an umask of 0."""
    made = Path(tempfile.mkdtemp(prefix="store-place-"))
    made.chmod(0o755)
    temporary = made / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = os.umask(0)
    yield made
    os.umask(before)
    shutil.rmtree(made)


def as_nobody(program: str, *arguments: object) -> str:
    """Run a program as the machine's user without rights; return the last line that it complains of."""
    who = pwd.getpwnam("nobody")
    # What is imported comes first: this Python may lie where that user may not look.
    code = f"import fcntl, os, sys; os.setgroups([]); os.setgid({who.pw_gid}); os.setuid({who.pw_uid}); {program}"
    # Without what is installed: coverage would write where that user may not, and complain.
    call = [sys.executable, "-S", "-c", code, *map(str, arguments)]
    return "".join(subprocess.run(call, capture_output=True, text=True, check=False).stderr.splitlines()[-1:])


@AS_NOBODY
def test_another_user_cannot_take_the_lock_of_a_directory_and_keep_its_owner_waiting(place: Path) -> None:
    lock = place / ".lock"
    lock.touch()
    lock.chmod(0o644)  # as an earlier version left it
    assert as_nobody(READ_LOCK, lock) == ""
    with cluster.exclusive(place):
        pass
    assert "PermissionError" in as_nobody(READ_LOCK, lock)


def test_directories_made_for_a_server_are_its_owner_s_whatever_the_umask(place: Path) -> None:
    directory = place / "desk" / "data"
    cluster.make_directory(directory)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory.parent)] == [0o700, 0o700]
    with cluster.exclusive(directory):
        assert stat.S_IMODE((directory / ".lock").stat().st_mode) == 0o600


def test_socket_of_a_server_with_a_long_path_lies_where_nobody_else_can_put_one(place: Path) -> None:
    # The name is there already, and another's to change.
    taken = place / "tmp" / f"store-sockets-{os.geteuid()}"
    taken.mkdir()
    taken.chmod(0o777)
    directory = place / ("d" * 100) / "data"
    with ObjectStoreServer(directory) as server:
        host = Path(server.conn_info()["host"])
        assert host.is_relative_to(place / "tmp")
        assert not host.is_relative_to(taken)
        owner = cluster.SYSTEM_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        assert (host.owner(), stat.S_IMODE(host.stat().st_mode)) == (owner, 0o700)
        for path in (directory, directory.parent, host.parent):
            # Where root starts it, the user as whom PostgreSQL runs goes through, and sees nothing else.
            assert stat.S_IMODE(path.stat().st_mode) & 0o066 == 0, path
        if os.geteuid() == 0:
            assert "PermissionError" in as_nobody(REPLACE, host / ".s.PGSQL.5432")
        server.provision_user("alice", "alice_pw")


def test_lock_that_is_a_link_to_another_file_is_refused_and_that_file_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    target.chmod(0o644)
    data = tmp_path / "data"
    data.mkdir()
    (data / ".lock").symlink_to(target)
    with pytest.raises(StoreError, match=r"\.lock is a link to another file, and no lock: remove it$"):
        ObjectStoreServer(data).start()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
