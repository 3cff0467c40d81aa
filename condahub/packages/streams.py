"""Compressed bytes as a file that only goes forward, a bounded piece at a time; a stream that is not whole is refused."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import zstandard

from condahub.packages.errors import PackageAmbiguous, PackageDamaged, PackageMember, PackageTruncated
from condahub.packages.limits import Meter

PIECE_BYTES = 256 * 1024
TAR_BLOCK_BYTES = 512

# RFC 8878, 3.1.1: frame and block layout.
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SHORTEST_HEADER_BYTES = 5
ZSTD_BLOCK_HEADER_BYTES = 3
ZSTD_MAX_BLOCK_BYTES = 128 * 1024
ZSTD_CHECKSUM_BYTES = 4
ZSTD_RLE_BLOCK = 1
ZSTD_RESERVED_BLOCK = 3


class Source(Protocol):
    """Where compressed bytes come from; fewer than asked for means the end."""

    def read(self, size: int, /) -> bytes: ...


class ByteRange:
    """A range of an open file, with the CRC-32 of what was read of it."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._left = size
        self.crc32 = 0
        file.seek(start)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        return data


def _exactly(source: Source, size: int, what: str) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise PackageTruncated(f"{what} ends too early.")
    return data


def zstd_pieces(source: Source, meter: Meter, what: str) -> Iterator[bytes]:
    """Unpack one Zstandard frame block by block, so that a piece is never larger than 128 KiB.

    Exactly one frame: conda reads the first one only and rattler reads all, so a second frame would be a second package.
    """
    head = _exactly(source, ZSTD_SHORTEST_HEADER_BYTES, what)
    if not head.startswith(ZSTD_MAGIC):
        raise PackageDamaged(f"{what} is not compressed with Zstandard.")
    try:
        head += _exactly(source, zstandard.frame_header_size(head) - len(head), what)
        frame = zstandard.get_frame_parameters(head)
        unpacker = zstandard.ZstdDecompressor(max_window_size=meter.limits.max_window_bytes).decompressobj()
        unpacker.decompress(head)
        for block in _zstd_blocks(source, what, checksum=frame.has_checksum):
            piece = unpacker.decompress(block)
            meter.unpacked(len(piece))
            if piece:
                yield piece
    except zstandard.ZstdError as error:
        raise PackageDamaged(f"{what} is broken: {error}.") from error
    if not unpacker.eof:
        raise PackageTruncated(f"{what} ends too early.")
    if source.read(1):
        raise PackageAmbiguous(f"{what} holds something after the end of its Zstandard frame.")


def _zstd_blocks(source: Source, what: str, *, checksum: bool) -> Iterator[bytes]:
    last = False
    while not last:
        head = _exactly(source, ZSTD_BLOCK_HEADER_BYTES, what)
        bits = int.from_bytes(head, "little")
        last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
        if kind == ZSTD_RESERVED_BLOCK or size > ZSTD_MAX_BLOCK_BYTES:
            raise PackageDamaged(f"{what} is broken: there is no such Zstandard block.")
        yield head + _exactly(source, 1 if kind == ZSTD_RLE_BLOCK else size, what)
    if checksum:
        yield _exactly(source, ZSTD_CHECKSUM_BYTES, what)


def bzip2_pieces(source: Source, meter: Meter, what: str) -> Iterator[bytes]:
    """Unpack one bzip2 stream in pieces of at most 256 KiB.

    Exactly one stream: rattler stops after the first one, so the files in a second one would silently be missing.
    """
    unpacker = bz2.BZ2Decompressor()
    while not unpacker.eof:
        data = source.read(PIECE_BYTES) if unpacker.needs_input else b""
        if unpacker.needs_input and not data:
            raise PackageTruncated(f"{what} ends too early.")
        try:
            piece = unpacker.decompress(data, max_length=PIECE_BYTES)
        except (OSError, ValueError) as error:
            raise PackageDamaged(f"{what} is broken: its bzip2 stream can't be unpacked.") from error
        meter.unpacked(len(piece))
        if piece:
            yield piece
    if unpacker.unused_data or source.read(1):
        raise PackageAmbiguous(f"{what} holds something after the end of its bzip2 stream.")


class ForwardStream:
    """The unpacked bytes as tarfile wants a file: read, tell, and seek that goes forward only and keeps nothing."""

    def __init__(self, pieces: Iterator[bytes], meter: Meter) -> None:
        self._pieces = pieces
        self._meter = meter
        self._piece = b""
        self._used = 0
        self._position = 0
        self.last_block = b""

    def tell(self) -> int:
        return self._position

    def _next_piece(self) -> bool:
        self._piece, self._used = next(self._pieces, b""), 0
        return bool(self._piece)

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise PackageMember("A member has a size below zero.")
        end = self._used + size
        data = self._piece[self._used : end]
        if end <= len(self._piece):
            self._used = end
        else:
            data += self._read_on(size - len(data))
        if size == TAR_BLOCK_BYTES:
            self.last_block = data
        self._position += len(data)
        return data

    def _read_on(self, size: int) -> bytes:
        parts = []
        self._meter.check_time()
        while size > 0 and self._next_piece():
            parts.append(self._piece[:size])
            self._used = len(parts[-1])
            size -= self._used
        return b"".join(parts)

    def seek(self, position: int, whence: int = 0) -> int:
        skip = position - self._position
        if whence != 0 or skip < 0:
            raise PackageMember("A member has a size below zero.")
        while skip > 0:
            here = min(skip, len(self._piece) - self._used)
            self._used += here
            self._position += here
            skip -= here
            if skip and not self._next_piece():
                break
        return self._position

    def rest(self) -> Iterator[bytes]:
        """Everything that is left, piece by piece."""
        if self._used < len(self._piece):
            yield self._piece[self._used :]
        yield from self._pieces
