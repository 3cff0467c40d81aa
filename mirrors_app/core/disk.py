"""Files on their way to a folder, hashed while they are written, and making many of them durable at once."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import secrets
from contextlib import suppress
from pathlib import Path

from condahub import durable
from condahub.errors import StorageFull, Unavailable

PART_SUFFIX = ".part"
MAX_HELD_BYTES = 64 * 1024
# Names of files that are being written: another process, or this one after a fork, must not hit on the same.
_RUN = secrets.token_hex(8)
_numbers = itertools.count()


class HashedFile:
    """A Temporary: small bytes stay in memory until `adopt`, others are written beside their final place, to be renamed at the end.

    A rename takes several times as long as making a small file, and what was verified in memory needs none.
    """

    def __init__(self, folder: str, *, with_md5: bool) -> None:
        self._folder = folder
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None
        self._held: bytes | bytearray | None = b""
        self._path = ""
        self._fd = -1
        self._kept = False

    @property
    def path(self) -> Path:
        self._spill()
        return Path(self._path)

    @property
    def data(self) -> bytes | None:
        """All of it while it is in memory."""
        return None if self._held is None else bytes(self._held)

    @property
    def size(self) -> int:
        return self._size

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """'' where no md5 was asked for."""
        return self._md5.hexdigest() if self._md5 is not None else ""

    def write(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)
        self._size += len(chunk)
        if self._held is not None and self._size <= MAX_HELD_BYTES:
            # Most come in one piece, which is not copied.
            self._held = bytearray(self._held) + chunk if self._held else chunk
            return
        self._spill()
        _write(self._fd, chunk)

    def adopt(self, place: Path) -> None:
        """Give it its final name, in place of what had it."""
        if self._held is not None:
            try:
                self._fd = _create(str(place))
            except FileExistsError:
                self._spill()
        if self._held is not None:
            _write(self._fd, self._held)
            self._held = None
        else:
            os.replace(self._path, place)
        self._kept = True
        self.close()

    def close(self) -> None:
        self._held = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if not self._kept:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)

    def _spill(self) -> None:
        if self._held is None:
            return
        self._path = f"{self._folder}/.{_RUN}-{os.getpid()}-{next(_numbers)}{PART_SUFFIX}"
        self._fd = _create(self._path)
        held, self._held = self._held, None
        _write(self._fd, held)


def _create(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise
    except OSError as error:
        raise disk_error(error) from error


def _write(fd: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> StorageFull | Unavailable:
    """What a run says when the operating system refuses to write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("The target's disk is full.", hint="Free space there; the next run goes on.")
    return Unavailable(f"The target's disk can't be written: {error.strerror}.")


def require_space(folder: Path | str, needed_bytes: int, *, leave_bytes: int) -> None:
    """Raises StorageFull unless so much fits and so much is left then."""
    usage = os.statvfs(folder)
    if usage.f_bavail * usage.f_frsize < needed_bytes + leave_bytes:
        raise StorageFull("The target's disk would be left with too little space.", hint="Free space there; the next run goes on.")


def sync_filesystem(folder: Path) -> None:
    """`condahub.durable.sync_filesystem`, whose failure is the target's."""
    try:
        durable.sync_filesystem(folder)
    except OSError as error:
        raise disk_error(error) from error


def hash_file(path: Path) -> tuple[str, str, int]:
    """(sha256, md5, size) of a file."""
    md5 = hashlib.md5(usedforsecurity=False)
    sha256 = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return sha256.hexdigest(), md5.hexdigest(), size
