"""Knows a full disk by what the programs beneath say of it."""

from __future__ import annotations

_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")


def is_disk_full(error: BaseException) -> bool:
    """Whether the error, or one it came of, says that there is no room for more bytes."""
    seen: BaseException | None = error
    while seen is not None:
        if any(word in str(seen) for word in _WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
