"""Blobs in a folder: written beside it, synced, renamed into place."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from condahub.durable import sync_filesystem
from condahub.storage.base import STREAM_BYTES, BlobEntry, BlobMissing, BlobStore
from condahub.storage.temporary import TemporaryBlob, storage_error, storage_errors, store_lost, temporary_folder

logger = logging.getLogger(__name__)

# Lies in the store's root from its first start on: a volume that is not mounted is an empty folder without it.
MARKER = ".condahub-store"
# From so many on, syncing the filesystem costs less than syncing each file and its folder.
SYNC_ALL_FROM_FILES = 8


class DiskStore(BlobStore):
    """Blobs below `root`, which `initialise` has marked as a store."""

    def __init__(self, namespace: str, root: Path) -> None:
        super().__init__(namespace)
        self.root = root

    def temporary(self, expected_bytes: int | None = None) -> TemporaryBlob:
        self.require_marker()
        return TemporaryBlob(temporary_folder(), expected_bytes)

    def keep(self, temp: TemporaryBlob) -> None:
        self.require_marker()
        target = self._path(temp.sha256)
        if self._renew(temp.sha256, temp.size):
            return
        temp.sync()
        with storage_errors("keeping a blob"):
            self._make_folder(target.parent)
            # Two that keep the same content rename the same bytes: either order is right.
            os.rename(temp.path, target)
            temp.kept = True
            sync_folder(target.parent)

    def keep_many(self, temps: Sequence[TemporaryBlob]) -> None:
        self.require_marker()
        fresh = [temp for temp in temps if not self._renew(temp.sha256, temp.size)]
        if len(fresh) < SYNC_ALL_FROM_FILES:
            for temp in fresh:
                self.keep(temp)
            return
        with storage_errors("keeping blobs"):
            for temp in fresh:
                os.chmod(temp.path, 0o444)
            sync_filesystem(temporary_folder())
            for temp in fresh:
                target = self._path(temp.sha256)
                self._make_folder(target.parent)
                os.rename(temp.path, target)
                temp.kept = True
            sync_filesystem(self.root)

    def find(self, sha256: str) -> BlobEntry | None:
        with storage_errors("looking for a blob"):
            try:
                status = os.stat(self._path(sha256))
            except (FileNotFoundError, NotADirectoryError):
                self.require_marker()
                return None
        return BlobEntry(sha256, status.st_size, status.st_mtime)

    def open(self, sha256: str) -> BinaryIO:
        return io.BufferedReader(self.open_raw(sha256))

    def open_raw(self, sha256: str) -> io.FileIO:
        """The file itself, unbuffered: what sendfile wants."""
        try:
            return io.FileIO(f"{self.root}/{self.name(sha256)}", "rb")
        except (FileNotFoundError, NotADirectoryError):
            logger.error("storage: blob %s is missing", sha256)
            raise BlobMissing() from None
        except OSError as error:
            raise storage_error(error, "opening a blob") from error

    def stream(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        return _pieces(self.open_raw(sha256), start, length)

    def local_path(self, sha256: str) -> Path | None:
        return self._path(sha256)

    def delete(self, sha256: str, *, kept_before: float | None = None) -> bool:
        path = self._path(sha256)
        with storage_errors("deleting a blob"):
            try:
                if kept_before is not None and os.stat(path).st_mtime >= kept_before:
                    return False
                os.unlink(path)
            except FileNotFoundError:
                self.require_marker()
                return False
        return True

    def iterate(self) -> Iterator[BlobEntry]:
        self.require_marker()
        with storage_errors("listing blobs"):
            for folder in _sorted_names(self.root / self.namespace):
                for sha256 in _sorted_names(self.root / self.namespace / folder):
                    entry = self.find(sha256)
                    if entry is not None:
                        yield entry

    def presigned_url(
        self,
        sha256: str,
        *,
        filename: str | None,
        content_type: str,
        seconds: int,
        cache_control: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> str | None:
        return None

    def require_marker(self) -> None:
        """Raises Unavailable unless the folder is the store that `initialise` marked."""
        with storage_errors("looking for the store"):
            if (self.root / MARKER).exists():
                return
        logger.error("storage: %s is not there: the folder is not mounted, or the store was never initialised", self.root / MARKER)
        raise store_lost()

    def _path(self, sha256: str) -> Path:
        return self.root / self.name(sha256)

    def _renew(self, sha256: str, size: int) -> bool:
        entry = self.find(sha256)
        if entry is None:
            return False
        if entry.size != size:
            logger.error("storage: blob %s has %d bytes in place of %d and is replaced", sha256, entry.size, size)
            return False
        with storage_errors("keeping a blob"):
            try:
                os.utime(self._path(sha256))
            except FileNotFoundError:
                return False
        return True

    def _make_folder(self, folder: Path) -> None:
        """Makes it and its parents below the root, each durable in its own parent."""
        if folder == self.root or folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def initialise_folder(root: Path) -> None:
    """Makes the folder a store: its marker and the folder for uploads in flight. Harmless when repeated."""
    with storage_errors("initialising the store"):
        temporary_folder().mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        marker = root / MARKER
        if not marker.exists():
            marker.write_text("This folder is condahub's content-addressed store.\n")
            sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sorted_names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except FileNotFoundError:
        return []


def _pieces(file: io.FileIO, start: int, length: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while length is None or length > 0:
            with storage_errors("reading a blob"):
                piece = file.read(STREAM_BYTES if length is None else min(STREAM_BYTES, length))
            if not piece:
                return
            if length is not None:
                length -= len(piece)
            yield piece
