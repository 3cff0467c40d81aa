"""Makes the bytes of a tar (GNU format) of many small files, reading ahead."""

from __future__ import annotations

import os
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from condahub.errors import HubError

# How much of the tar is made at once, and how many such pieces are made before they are wanted.
PIECE_BYTES = 2 * 1024 * 1024
PIECES_AHEAD = 4
# A second one would only make both wait for the interpreter, which they need between any two files.
READERS = 1
SHORT_NAME_BYTES = 100
_OWNER = b"0000000\x000000000\x00"
_TAIL = b"ustar  \x00" + bytes(tarfile.BLOCKSIZE - 265)


@dataclass(frozen=True, slots=True)
class Member:
    """One file, link or empty folder. source: where its `size` bytes lie; data: or the bytes themselves; mtime in seconds."""

    path: str
    mode: int
    mtime: int
    source: str = ""
    size: int = 0
    data: bytes = b""
    target: str = ""
    folder: bool = False


def tar_pieces(members: Sequence[Member]) -> Iterator[tuple[int, bytes]]:
    """(members begun, bytes) of a tar of exactly these members, owned by root; the same members are cut into the same pieces."""
    waiting: deque[tuple[int, Future[bytes] | Member]] = deque()
    written = 0
    with ThreadPoolExecutor(READERS, thread_name_prefix="tar") as pool:
        for batch in _batches(members):
            written += len(batch)
            # A large file is not held in memory but read when its turn has come.
            is_large = len(batch) == 1 and batch[0].size > PIECE_BYTES
            waiting.append((written, batch[0] if is_large else pool.submit(_piece, batch)))
            if len(waiting) > PIECES_AHEAD:
                yield from _made(*waiting.popleft())
        while waiting:
            yield from _made(*waiting.popleft())
    yield written, bytes(2 * tarfile.BLOCKSIZE)


def _batches(members: Sequence[Member]) -> Iterator[list[Member]]:
    batch: list[Member] = []
    size = 0
    for member in members:
        length = tarfile.BLOCKSIZE + (member.size or len(member.data))
        if batch and size + length > PIECE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(member)
        size += length
    if batch:
        yield batch


def _made(written: int, what: Future[bytes] | Member) -> Iterator[tuple[int, bytes]]:
    if isinstance(what, Future):
        yield written, what.result()
        return
    yield written, _header(what)
    left = what.size
    with open(what.source, "rb", buffering=0) as file:
        while left:
            piece = file.read(min(left, PIECE_BYTES))
            if not piece:
                raise _changed(what)
            left -= len(piece)
            yield written, piece
    yield written, bytes(-what.size % tarfile.BLOCKSIZE)


def _changed(member: Member) -> HubError:
    return HubError(f"{member.path} changed while it was packed.", code="prefix_changed", status=409)


def _piece(batch: Sequence[Member]) -> bytes:
    parts: list[bytes] = []
    for member in batch:
        data = _read(member) if member.source else member.data
        parts += (_header(member), data, bytes(-len(data) % tarfile.BLOCKSIZE))
    return b"".join(parts)


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
    before = b"%s%07o\x00%s%011o\x00%011o\x00" % (name.ljust(100, b"\0"), member.mode, _OWNER, size, member.mtime)
    after = kind + link.ljust(100, b"\0") + _TAIL
    # The sum counts its own field as spaces (POSIX.1, pax, ustar interchange format).
    return b"%s%06o\x00 %s" % (before, sum(before) + sum(after) + 8 * 32, after)


def _long_header(member: Member, size: int) -> bytes:
    header = tarfile.TarInfo(member.path)
    header.mode, header.mtime, header.size = member.mode, member.mtime, size
    if member.folder:
        header.type = tarfile.DIRTYPE
    elif member.target:
        header.type, header.linkname = tarfile.SYMTYPE, member.target
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
