"""The extracted packages that prefixes are linked from: whose they are, that nobody writes to them, what may go."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from condahub.engine.prefix import walk
from condahub.engine.records import CondaRecord

# A file of ours in each extracted package whose files have been made read-only. It holds the folder's inode number, which
# a package that brings such a file of its own can't know, and which a package that is extracted anew does not keep.
MARKER = Path("info") / ".read-only"
LOCK_REVISION_BYTES = 8
SHA256_BYTES = 32
# What is being linked right now looks unused until the link is there.
MIN_UNUSED_SECONDS = 24 * 3600


def package_folder(record: CondaRecord, caches: Iterable[Path]) -> Path | None:
    """Where the package lies extracted, by its sha256, in the first of the caches that has it."""
    for cache in caches:
        for lock in sorted(cache.glob(f"{_escaped(record.stem)}-*.lock")):
            with contextlib.suppress(OSError):
                folder = lock.with_suffix("")
                if lock.read_bytes()[LOCK_REVISION_BYTES:][:SHA256_BYTES] == bytes.fromhex(record.sha256) and folder.is_dir():
                    return folder
    return None


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def protect(folders: Iterable[Path]) -> int:
    """Take the right to write from every file of these extracted packages; those done before cost one look. Returns how many were new."""
    fresh = 0
    for folder in folders:
        inode = str(folder.stat().st_ino)
        marker = folder / MARKER
        with contextlib.suppress(OSError):
            if not marker.is_symlink() and marker.read_text() == inode:
                continue
        for _, entry, status in walk(folder):
            mode = 0o555 if status.st_mode & 0o111 else 0o444
            if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != mode:
                os.chmod(entry.path, mode)
        marker.unlink(missing_ok=True)
        marker.parent.mkdir(exist_ok=True)
        marker.write_text(inode)
        marker.chmod(0o444)
        fresh += 1
    return fresh


def trim(cache: Path, *, keep_sha256: Sequence[str] = (), unused_seconds: float = MIN_UNUSED_SECONDS) -> int:
    """Remove extracted packages that no prefix is linked from and that were not touched lately; returns the bytes freed.

    keep_sha256: of packages that kept locks name, which stay.
    """
    kept = {bytes.fromhex(digest) for digest in keep_sha256}
    freed_bytes = 0
    before = time.time() - unused_seconds
    for lock in sorted(cache.glob("*.lock")):
        folder = lock.with_suffix("")
        if lock.name == ".cache.lock" or not folder.is_dir():
            continue
        if lock.read_bytes()[LOCK_REVISION_BYTES:][:SHA256_BYTES] in kept or max(lock.stat().st_mtime, folder.stat().st_mtime) > before:
            continue
        sizes = [(status.st_nlink, status.st_size) for _, _, status in walk(folder)]
        if all(links == 1 for links, _ in sizes):
            # The lock goes last: without it, what is left of the folder counts as nothing.
            gone = folder.with_name(f".gone-{folder.name}")
            folder.rename(gone)
            lock.unlink(missing_ok=True)
            shutil.rmtree(gone)
            freed_bytes += sum(size for _, size in sizes)
    return freed_bytes
