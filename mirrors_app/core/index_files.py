"""Writes the index of a plain folder: repodata.json and its kin and the shards, each replaced in one step."""

from __future__ import annotations

import bz2
import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import msgspec
import orjson
import zstandard

from mirrors_app.core.disk import PART_SUFFIX, sync_filesystem
from mirrors_app.core.records import RAW_HASH_KEYS

ZSTD_LEVEL = 3
COPY_BYTES = 1024 * 1024
# bzip2 takes a second for 13 MB; past this only clients of long ago would gain, and the plain file serves them.
MAX_BZ2_BYTES = 64 * 1024 * 1024
# Past this, a file is compressed by all cores, which takes more memory.
ALL_CORES_BYTES = 64 * 1024 * 1024
# So many are written in one step.
JOINED_RECORDS = 500
SHARD_FOLDER = "shards"
V3_KINDS = ((".conda", "conda"), (".tar.bz2", "tar.bz2"))

# One for each thread: making one takes longer than compressing a shard, and it can't be shared.
_compressors = threading.local()
_msgpack = msgspec.msgpack.Encoder(order="sorted")


class Shown(NamedTuple):
    """One record as it is written; raw: canonical JSON; run_exports: JSON of lists by kind, '{}' if none."""

    filename: str
    section: str
    raw: bytes
    run_exports: bytes


# One record as it stands in a file: its key with the colon, canonical JSON, and JSON of its run_exports.
Line = tuple[bytes, bytes, bytes]


def line_of(one: Shown) -> Line:
    return f'"{one.filename}":'.encode(), one.raw, one.run_exports


class Staging:
    """New files beside their places, to which they go together once all of them are on the disk; a context manager.

    `place` ends it well; without it nothing has changed. Files may be made from several threads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[Path, Path] = {}
        self._going: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self._waiting.values():
            part.unlink(missing_ok=True)

    @contextmanager
    def file(self, path: Path) -> Iterator[BinaryIO]:
        """The new content of `path`."""
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART_SUFFIX}")
        self._waiting[path] = part
        with part.open("wb") as out:
            yield out

    def staged(self, path: Path) -> Path:
        """Where the new content of `path` lies until it is placed."""
        return self._waiting[path]

    def remove(self, path: Path) -> None:
        self._going.append(path)

    def place(self) -> None:
        """Put the files into their places, durable."""
        sync_filesystem(self._folder)
        for path, part in list(self._waiting.items()):
            os.replace(part, path)
            del self._waiting[path]
        for path in self._going:
            path.unlink(missing_ok=True)
        sync_filesystem(self._folder)


def write_once(path: Path, data: bytes) -> None:
    """A file whose name says what is in it, made in its place, for nobody asks for it yet. One that a power cut left broken is mended."""
    with suppress(FileExistsError), path.open("xb") as out:
        out.write(data)
        return
    if path.read_bytes() != data:
        part = path.with_name(f".{path.name}{PART_SUFFIX}")
        part.write_bytes(data)
        os.replace(part, path)


def zstd(data: bytes) -> bytes:
    """One frame that states its content's size: clients refuse several."""
    compressor = getattr(_compressors, "zstd", None)
    if compressor is None:
        compressor = _compressors.zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    compressed: bytes = compressor.compress(data)
    return compressed


def render_shard(records: Sequence[Shown]) -> tuple[bytes, bytes]:
    """(sha256, compressed shard) of one name (CEP-16, run_exports as in CEP-21); records in the order of their file names."""
    shard: dict[str, Any] = {"packages": {}, "packages.conda": {}, "removed": []}
    for one in records:
        table = orjson.loads(one.raw)
        for key in RAW_HASH_KEYS:
            if isinstance(table.get(key), str):
                table[key] = bytes.fromhex(table[key])
        table["run_exports"] = orjson.loads(one.run_exports)
        if one.section == "v3":
            stem, kind = _v3_place(one.filename)
            shard.setdefault("v3", {}).setdefault(kind, {})[stem] = table
        else:
            shard[one.section][one.filename] = table
    payload = zstd(_msgpack.encode(shard))
    return hashlib.sha256(payload).digest(), payload


def render_shard_index(*, subdir: str, extra_info: Mapping[str, Any], shards: Mapping[str, bytes], created_at: str) -> bytes:
    """repodata_shards.msgpack.zst; created_at in ISO 8601."""
    info = {**extra_info, "base_url": "./", "shards_base_url": f"./{SHARD_FOLDER}/", "created_at": created_at, "subdir": subdir}
    return zstd(_msgpack.encode({"version": 1, "info": info, "shards": dict(shards)}))


class IndexWriter:
    """Writes one repodata.json (CEP-36), and the run_exports.json (CEP-12) beside it, record by record, section after section."""

    def __init__(self, out: BinaryIO, *, subdir: str, extra: Mapping[str, Any], run_exports: BinaryIO | None = None) -> None:
        """extra: the upstream's other top-level keys, `info` among them."""
        self._out, self._extra, self._run_exports = out, extra, run_exports
        info = {**(extra.get("info") or {}), "subdir": subdir}
        out.write(b'{"info":' + orjson.dumps(info, option=orjson.OPT_SORT_KEYS))
        if run_exports is not None:
            platform, _, arch = subdir.partition("-")
            info = {"arch": arch or None, "platform": None if subdir == "noarch" else platform, "subdir": subdir, "version": 1}
            run_exports.write(b'{"info":' + orjson.dumps(info))

    def section(self, name: str, lines: Iterable[Line]) -> None:
        outs = [self._out] if self._run_exports is None else [self._out, self._run_exports]
        for out in outs:
            out.write(b"," + orjson.dumps(name) + b":{")
        rest, separator = iter(lines), b""
        while some := list(islice(rest, JOINED_RECORDS)):
            self._out.write(separator + b",".join([key + raw for key, raw, _ in some]))
            if self._run_exports is not None:
                self._run_exports.write(separator + b",".join([key + b'{"run_exports":' + exports + b"}" for key, _, exports in some]))
            separator = b","
        for out in outs:
            out.write(b"}")

    def v3(self, records: Iterable[Shown]) -> None:
        """The section of CEP-48; left out when there is nothing in it."""
        kinds: dict[str, list[bytes]] = {}
        for one in records:
            stem, kind = _v3_place(one.filename)
            kinds.setdefault(kind, []).append(orjson.dumps(stem) + b":" + one.raw)
        if kinds:
            self._out.write(
                b',"v3":{' + b",".join(orjson.dumps(kind) + b":{" + b",".join(all_) + b"}" for kind, all_ in kinds.items()) + b"}"
            )

    def end(self) -> None:
        for key, value in sorted(self._extra.items()):
            if key not in ("info", "packages", "packages.conda", "v3", "removed", "repodata_version"):
                self._out.write(b"," + orjson.dumps(key) + b":" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
        self._out.write(b',"removed":[],"repodata_version":1}')
        if self._run_exports is not None:
            self._run_exports.write(b"}")


def compress_beside(staging: Staging, plain: Path) -> None:
    """The .zst of a staged file, and its .bz2 where it is small; a .bz2 that would be of another revision goes."""
    source = staging.staged(plain)
    size = source.stat().st_size
    with source.open("rb") as text, staging.file(plain.with_name(plain.name + ".zst")) as out:
        threads = os.cpu_count() or 1 if size > ALL_CORES_BYTES else 0
        zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=threads).copy_stream(text, out, size=size, read_size=COPY_BYTES)
    older = plain.with_name(plain.name + ".bz2")
    if size > MAX_BZ2_BYTES:
        staging.remove(older)
        return
    with staging.file(older) as out:
        out.write(bz2.compress(source.read_bytes()))


def _v3_place(filename: str) -> tuple[str, str]:
    for ending, kind in V3_KINDS:
        if filename.endswith(ending):
            return filename.removesuffix(ending), kind
    raise ValueError(filename)
