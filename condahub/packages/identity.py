"""Reads what a .conda says that it is, without unpacking what it installs: for copies of bytes that a hash has vouched for already.

Only packages laid out as plainly as nearly all are; of all others it says None, and whoever asks reads them from end to end.
"""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

import msgspec
import orjson
import zstandard

from condahub.errors import HubError
from condahub.packages.archives import Part, zip_parts
from condahub.packages.limits import DEFAULT, Limits
from condahub.packages.metadata import read_run_exports
from condahub.packages.names import PackageFilename, split_filename
from condahub.packages.reader import PackageInfo
from condahub.packages.streams import (
    TAR_BLOCK_BYTES,
    ZSTD_BLOCK_HEADER_BYTES,
    ZSTD_CHECKSUM_BYTES,
    ZSTD_MAX_BLOCK_BYTES,
    ZSTD_RESERVED_BLOCK,
    ZSTD_RLE_BLOCK,
    ZSTD_SHORTEST_HEADER_BYTES,
)

MAX_INFO_BYTES = 4 * 2**20
# POSIX.1-1988, ustar: name, size, checksum, type, prefix.
_SIZE, _CHECKSUM, _PREFIX = slice(124, 136), slice(148, 156), slice(345, 500)
_TYPE_AT = 156
_FILES, _SYMLINK, _DIRECTORY, _PAX = (b"0", b"\0"), b"2", b"5", b"x"
_PAX_SAFE_KEYS = (b"mtime", b"atime", b"ctime", b"uname", b"gname", b"uid", b"gid")
_INDEX, _RUN_EXPORTS = "info/index.json", "info/run_exports.json"


class Identity(msgspec.Struct, frozen=True, gc=False):
    """index_raw: the bytes of info/index.json, from which the rest is; run_exports: JSON of lists by kind, b"{}" if none."""

    name: str
    version: str
    build: str
    build_number: int
    subdir: str | None
    index_raw: bytes
    run_exports: bytes

    @classmethod
    def of(cls, info: PackageInfo) -> Identity:
        """The same of a package that was read from end to end."""
        name = info.filename
        return cls(name.name, name.version, name.build, info.build_number, info.subdir, info.index_raw, orjson.dumps(info.run_exports))


class _Index(msgspec.Struct, gc=False):
    name: str
    version: str
    build: str
    build_number: int
    subdir: str | None = None


_index = msgspec.json.Decoder(_Index)
_unpacker = zstandard.ZstdDecompressor(max_window_size=DEFAULT.max_window_bytes)


def read_identity(file: BinaryIO, *, filename: str, limits: Limits = DEFAULT) -> Identity | None:
    """Who the package in `file` says that it is, when that is who `filename` says; None when the answer takes a whole reading.

    One that would unpack to more than the limits is None too. Raises BadFilename, and OSError when the file can't be read.
    """
    name = split_filename(filename)
    if name.extension != ".conda":
        return None
    try:
        return _Reading(file, name, limits).identity()
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, ValueError, IndexError, HubError):
        # Whatever is wrong with it is for the whole reading to say.
        return None


class _Reading:
    """One package."""

    def __init__(self, file: BinaryIO, name: PackageFilename, limits: Limits) -> None:
        self._file, self._name, self._limits = file, name, limits
        self._size = file.seek(0, os.SEEK_END)

    def identity(self) -> Identity | None:
        info, pkg = f"info-{self._name.stem}.tar.zst", f"pkg-{self._name.stem}.tar.zst"
        members = {part.name: part for part in zip_parts(self._file, self._size)}
        if members.keys() - {"metadata.json"} != {info, pkg}:
            return None
        documents = self._documents(members[info])
        if documents is None or _INDEX not in documents or not self._is_bounded(members[pkg]):
            return None
        raw = documents[_INDEX]
        if len(raw) > self._limits.max_index_bytes:
            return None
        index = _index.decode(raw)
        if (index.name, index.version, index.build) != (self._name.name, self._name.version, self._name.build):
            return None
        found = documents.get(_RUN_EXPORTS)
        run_exports = b"{}" if found is None else orjson.dumps(read_run_exports(found))
        return Identity(index.name, index.version, index.build, index.build_number, index.subdir, raw, run_exports)

    def _at(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:
            raise ValueError("it ends too early")
        return data

    def _documents(self, part: Part) -> dict[str, bytes] | None:
        if part.size > MAX_INFO_BYTES:
            return None
        packed = self._at(part.start, part.size)
        if zlib.crc32(packed) != part.crc32 or zstandard.frame_content_size(packed) > MAX_INFO_BYTES:
            return None
        return _walk(_unpacker.decompress(packed, max_output_size=MAX_INFO_BYTES, allow_extra_data=False))

    def _is_bounded(self, part: Part) -> bool:
        """Whether the other part can't unpack to more than the limits, by what its blocks say of themselves (RFC 8878, 3.1.1)."""
        most = min(self._limits.max_unpacked_bytes, max(self._limits.ratio_floor_bytes, self._size * self._limits.max_ratio))
        # The promise of a frame is not enough: one that breaks it would still be unpacked up to there.
        head = self._at(part.start, min(ZSTD_SHORTEST_HEADER_BYTES, part.size))
        at = part.start + zstandard.frame_header_size(head)
        frame = zstandard.get_frame_parameters(self._at(part.start, at - part.start))
        left, last = most, False
        while not last and left >= 0:
            bits = int.from_bytes(self._at(at, ZSTD_BLOCK_HEADER_BYTES), "little")
            last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
            if kind == ZSTD_RESERVED_BLOCK or size > ZSTD_MAX_BLOCK_BYTES:
                return False
            left -= size if kind in (0, ZSTD_RLE_BLOCK) else ZSTD_MAX_BLOCK_BYTES
            at += ZSTD_BLOCK_HEADER_BYTES + (1 if kind == ZSTD_RLE_BLOCK else size)
        at += ZSTD_CHECKSUM_BYTES if frame.has_checksum else 0
        return left >= 0 and at == part.start + part.size


def _walk(tar: bytes) -> dict[str, bytes] | None:
    """The wanted documents out of a tar of plain members; None when anything in it is not plain."""
    documents: dict[str, bytes] = {}
    at = 0
    while (head := tar[at : at + TAR_BLOCK_BYTES]).strip(b"\0"):
        kind = head[_TYPE_AT : _TYPE_AT + 1]
        size = int(head[_SIZE].rstrip(b"\0 "), 8)
        total = sum(head) - sum(head[_CHECKSUM]) + 8 * ord(" ")
        if len(head) != TAR_BLOCK_BYTES or total != int(head[_CHECKSUM].strip(b"\0 "), 8):
            return None
        data = tar[at + TAR_BLOCK_BYTES : at + TAR_BLOCK_BYTES + size]
        at += TAR_BLOCK_BYTES * (1 + -(-size // TAR_BLOCK_BYTES))
        if kind == _PAX:
            if not _is_harmless(data):
                return None
            continue
        if kind not in (*_FILES, _SYMLINK, _DIRECTORY) or len(data) != size:
            return None
        name = (_text(head[:100]) if not head[345] else f"{_text(head[_PREFIX])}/{_text(head[:100])}").removeprefix("./")
        if name.casefold() in (_INDEX, _RUN_EXPORTS):
            if name in documents or name not in (_INDEX, _RUN_EXPORTS) or kind not in _FILES:
                return None
            documents[name] = data
    return documents if len(head) == TAR_BLOCK_BYTES and not tar[at:].strip(b"\0") else None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode()


def _is_harmless(pax: bytes) -> bool:
    """Whether a member's extended header leaves its name, kind and size alone."""
    while pax:
        length = int(pax.split(b" ", 1)[0])
        key = pax[:length].split(b" ", 1)[1].split(b"=", 1)[0]
        if length <= 0 or key not in _PAX_SAFE_KEYS:
            return False
        pax = pax[length:]
    return True
