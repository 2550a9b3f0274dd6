"""The file of a backup: a ZIP archive that ends with the digest of all that stands before it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from typing_extensions import Self

from store.errors import StoreError

__all__ = ["Archive", "Progress", "new_archive", "put_json"]

Progress = Callable[[int, int], None]  # how much is done, of how much in all

FORMAT = 1
MANIFEST = "manifest.json"
MARK = b"sha256:"
DIGEST = 64  # hexadecimal digits
LEVEL = 3  # of compression: the disk waits for no more
BLOCK = 1 << 20


@contextmanager
def new_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield an archive to be filled: a file that only its owner reads, named once it is whole and on the disk.

    Args:
        path: The name, which nothing has yet.

    Raises:
        StoreError: There is such a file, or it cannot be written. No part of it is left.
    """
    if path.exists():
        raise StoreError(f"{path} is there already, and a backup replaces nothing: choose another name")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "w+b") as file:
                archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
                try:
                    yield archive
                    archive.comment = MARK + b"0" * DIGEST
                except BaseException:
                    with suppress(OSError, ValueError):
                        archive.close()
                    raise
                archive.close()
                file.flush()
                digest = _digest(file, os.fstat(handle).st_size - DIGEST)
                file.seek(-DIGEST, os.SEEK_END)
                file.write(digest)
                file.flush()
                os.fsync(handle)
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"the backup cannot be written to {path}: {error.strerror or error}") from error


def put_json(archive: zipfile.ZipFile, name: str, value: Any) -> None:
    """Put a value into an archive that is being filled."""
    archive.writestr(name, json.dumps(value, ensure_ascii=False, indent=1))


class Archive:
    """A whole archive, open for reading.

    Args:
        path: The file.
        progress: Told how many bytes of it were checked.

    Attributes:
        manifest: What it holds.

    Raises:
        StoreError: There is no such file, it is no backup, not all of it, not what was written, or of a newer form.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        """Check every byte, before anybody relies on one."""
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
        try:
            self._check(path, progress)
            self._zip = zipfile.ZipFile(self._file)
            self.manifest: dict[str, Any] = self.json(MANIFEST)
            if self.manifest["format"] != FORMAT:
                raise StoreError(
                    f"{path} is a backup of form {self.manifest['format']}, newer than the {FORMAT} that this package"
                    " reads: upgrade it"
                )
        except BaseException:
            self._file.close()
            raise

    def _check(self, path: Path, progress: Progress | None) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if self._file.read(4) != b"PK\x03\x04":
            raise StoreError(f"{path} is not a backup of a store")
        self._file.seek(max(0, size - DIGEST - len(MARK)))
        mark, digest = self._file.read(len(MARK)), self._file.read()
        if mark != MARK:
            raise StoreError(f"{path} is not all of a backup, or was altered: its end is missing")
        if _digest(self._file, size - DIGEST, progress) != digest:
            raise StoreError(f"{path} was altered or damaged since it was written: its digest differs")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def json(self, name: str) -> Any:
        """Return the value of a member."""
        return json.loads(self._zip.read(name))

    def open(self, name: str) -> IO[bytes]:
        """Return a member's content, to be read as it is unpacked."""
        return self._zip.open(name)


def _digest(file: IO[bytes], size: int, progress: Progress | None = None) -> bytes:
    """Return the digest of a file's first bytes."""
    file.seek(0)
    found = hashlib.sha256()
    left = size
    while left > 0 and (block := file.read(min(BLOCK, left))):
        found.update(block)
        left -= len(block)
        if progress is not None:
            progress(size - left, size)
    return found.hexdigest().encode()


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
