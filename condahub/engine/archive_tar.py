"""Makes the bytes of a tar (GNU format) of many small files."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from condahub.errors import HubError

# How much of the tar is made at once. Nothing is made ahead by another thread: the two would wait for each other's turn at Python,
# while the threads that compress have enough to do.
PIECE_BYTES = 2 * 1024 * 1024
SHORT_NAME_BYTES = 100
_OWNER = b"0000000\x000000000\x00"
_TAIL = b"ustar  \x00" + bytes(tarfile.BLOCKSIZE - 265)
_TAIL_SUM = sum(_TAIL) + 8 * ord(" ")


class Member(NamedTuple):
    """One file, link or empty folder. source: where its `size` bytes lie; data: or the bytes themselves; mtime in seconds."""

    path: str
    mode: int
    mtime: int
    source: str = ""
    size: int = 0
    data: bytes = b""
    target: str = ""
    folder: bool = False


def tar_pieces(members: Iterable[Member]) -> Iterator[tuple[int, bytes]]:
    """(members begun, bytes) of a tar of exactly these members, owned by root; the same members are cut into the same pieces."""
    parts: list[bytes] = []
    size = number = 0
    for number, member in enumerate(members, start=1):
        header = _header(member)
        if member.size > PIECE_BYTES:
            yield number, b"".join([*parts, header])
            yield from ((number, piece) for piece in _large(member))
            parts, size = [], 0
            continue
        data = _read(member) if member.source else member.data
        padding = -len(data) % tarfile.BLOCKSIZE
        parts += (header, data, bytes(padding))
        size += tarfile.BLOCKSIZE + len(data) + padding
        if size >= PIECE_BYTES:
            yield number, b"".join(parts)
            parts, size = [], 0
    yield number, b"".join([*parts, bytes(2 * tarfile.BLOCKSIZE)])


def _large(member: Member) -> Iterator[bytes]:
    left = member.size
    with open(member.source, "rb", buffering=0) as file:
        while left:
            piece = file.read(min(left, PIECE_BYTES))
            if not piece:
                raise _changed(member)
            left -= len(piece)
            yield piece
    yield bytes(-member.size % tarfile.BLOCKSIZE)


def _changed(member: Member) -> HubError:
    return HubError(f"{member.path} changed while it was packed.", code="prefix_changed", status=409)


def _read(member: Member) -> bytes:
    descriptor = os.open(member.source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        data = os.read(descriptor, member.size + 1)
    finally:
        os.close(descriptor)
    if len(data) != member.size:
        raise _changed(member)
    return data


def _header(member: Member) -> bytes:
    name = os.fsencode(member.path)
    link = os.fsencode(member.target)
    size = member.size or len(member.data)
    if len(name) > SHORT_NAME_BYTES or len(link) > SHORT_NAME_BYTES or size >= 8**11:
        return _long_header(member, size)
    kind = b"5" if member.folder else b"2" if member.target else b"0"
    numbers = b"%07o\x00%s%011o\x00%011o\x00" % (member.mode, _OWNER, size, member.mtime)
    # The sum counts its own field as spaces (POSIX.1, pax, ustar interchange format).
    total = sum(name) + sum(numbers) + sum(kind) + sum(link) + _TAIL_SUM
    return b"%s%s%06o\x00 %s%s%s" % (name.ljust(SHORT_NAME_BYTES, b"\0"), numbers, total, kind, link.ljust(SHORT_NAME_BYTES, b"\0"), _TAIL)


def _long_header(member: Member, size: int) -> bytes:
    header = tarfile.TarInfo(member.path)
    header.mode, header.mtime, header.size = member.mode, member.mtime, size
    if member.folder:
        header.type = tarfile.DIRTYPE
    elif member.target:
        header.type, header.linkname = tarfile.SYMTYPE, member.target
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
