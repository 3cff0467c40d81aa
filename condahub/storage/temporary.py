"""Bytes on their way into the store: a file beside it that is hashed while it is written and is gone unless it is kept."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings

from condahub.errors import HubError, StorageFull, Unavailable

logger = logging.getLogger(__name__)

# What an upload must leave free, so that the database, logs and the index can still be written.
RESERVE_BYTES = 64 * 1024**2
SUFFIX = ".part"


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turns an OSError into StorageFull (no space, no quota) or Unavailable (anything else); `doing` goes to the log only."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, doing) from error


def storage_error(error: OSError, doing: str) -> HubError:
    """The answer to give when the operating system refused to read or write the store."""
    logger.error("storage: %s failed: %s", doing, error.strerror or type(error).__name__)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull()
    return store_lost()


def store_lost() -> Unavailable:
    """The answer while the store does not answer or is not mounted (503)."""
    return Unavailable(
        "The hub's storage does not answer.",
        hint="Try again later; the operator must check the store.",
        code="storage_unavailable",
        retry_after_seconds=30,
    )


class TemporaryBlob:
    """A file that knows the sha256, md5 and size of what was written to it; removed at the end of its `with` unless the store kept it.

    Everything written is at once readable at `path`. Raises StorageFull (507) or Unavailable (503).
    """

    def __init__(self, folder: Path, expected_bytes: int | None = None) -> None:
        self.size = 0
        self.kept = False
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        with storage_errors("opening a temporary file"):
            require_space(folder, expected_bytes or 0)
            self.path = folder / f"{os.getpid()}-{secrets.token_hex(12)}{SUFFIX}"
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def fileno(self) -> int:
        return self._fd

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Appends the chunk and hashes it in the same pass (hashlib lets other threads run meanwhile)."""
        rest = memoryview(chunk)
        with storage_errors("writing a temporary file"):
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._sha256.update(chunk)
        self._md5.update(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Returns when the bytes are on the disk. Blobs are read-only for everybody: what a digest names never changes."""
        with storage_errors("writing a temporary file"):
            os.fchmod(self._fd, 0o444)
            os.fsync(self._fd)

    def park(self) -> ParkedBlob:
        """The same file closed, to wait with many others for `BlobStore.keep_many`; this object lets go of it."""
        parked = ParkedBlob(self)
        self.kept = True
        self.close()
        return parked

    def close(self) -> None:
        """Closes the file, and removes it unless it was kept; may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if not self.kept:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("storage: a temporary file stays behind: %s", error.strerror)


class ParkedBlob(TemporaryBlob):
    """A temporary file that is written and holds no descriptor."""

    def __init__(self, written: TemporaryBlob) -> None:
        self.path, self.size, self.kept = written.path, written.size, False
        self._digests = (written.sha256, written.md5)
        self._fd = -1

    @property
    def sha256(self) -> str:
        return self._digests[0]

    @property
    def md5(self) -> str:
        return self._digests[1]

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        raise ValueError("a parked file is written")

    def sync(self) -> None:
        with storage_errors("writing a temporary file"):
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            super().sync()
        finally:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Removes it unless it was kept."""
        if not self.kept:
            self.path.unlink(missing_ok=True)


def require_space(folder: Path, expected_bytes: int) -> None:
    """Raises StorageFull unless the folder's filesystem holds that many bytes and the reserve."""
    usage = os.statvfs(folder)
    if usage.f_bavail * usage.f_frsize < expected_bytes + RESERVE_BYTES:
        raise StorageFull()


def temporary_folder() -> Path:
    """Where uploads in flight lie (`CONDAHUB_TEMP_DIR`)."""
    return Path(settings.CONDAHUB_TEMP_DIR)


def sweep_temporary(older_than_seconds: float) -> int:
    """Removes what killed processes left behind; a file that is still written to is younger. Returns how many went."""
    swept = 0
    oldest = time.time() - older_than_seconds
    try:
        entries = list(os.scandir(temporary_folder()))
    except FileNotFoundError:
        return 0
    for entry in entries:
        try:
            if entry.name.endswith(SUFFIX) and entry.stat(follow_symlinks=False).st_mtime < oldest:
                os.unlink(entry.path)
                swept += 1
        except FileNotFoundError:
            continue
    return swept
