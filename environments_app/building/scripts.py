"""What scripts of packages wrote when they ran: kept by content, put back when a build is put together again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from condahub.errors import HubError
from condahub.storage.blobs import blobs

NAMESPACE = "artifacts"
READ_BYTES = 1024 * 1024


def keep(path: Path, sha256: str) -> str:
    """Keep the bytes; the sha256 they are found by."""
    store = blobs(NAMESPACE)
    with store.temporary(path.stat().st_size) as temporary:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                temporary.write(piece)
        if temporary.sha256 != sha256:
            raise HubError("What the scripts of packages wrote changed while it was kept.", code="hash_mismatch", status=500)
        store.keep(temporary)
    return sha256


@contextmanager
def at_hand(sha256: str, folder: Path) -> Iterator[Path]:
    """A file with these bytes, as long as the block lasts. folder: for one where the store is no folder of this machine."""
    store = blobs(NAMESPACE)
    known = store.local_path(sha256)
    if known is not None:
        yield known
        return
    copy = folder / f".scripts-{sha256}"
    try:
        with store.open(sha256) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, READ_BYTES)
        yield copy
    finally:
        copy.unlink(missing_ok=True)
