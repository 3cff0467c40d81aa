"""Makes many files durable at once."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any


def sync_filesystem(folder: Path) -> None:
    """Return when everything written to the folder's filesystem is on the disk: one call for thousands of files (syncfs(2)).

    Raises OSError.
    """
    library = _libc()
    if library is None:
        os.sync()
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        if library.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)


@lru_cache(maxsize=1)
def _libc() -> Any | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "syncfs") else None
