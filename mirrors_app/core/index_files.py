"""Writes the index of a plain folder: repodata.json and its kin and the shards, each replaced in one step."""

from __future__ import annotations

import bz2
import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import orjson
import zstandard

from mirrors_app.core.records import RAW_HASH_KEYS

ZSTD_LEVEL = 3
COPY_BYTES = 1024 * 1024
# bzip2 takes a second for 13 MB; past this only clients of long ago would gain, and the plain file serves them.
MAX_BZ2_BYTES = 64 * 1024 * 1024
PART_SUFFIX = ".part"
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


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end, or is gone when it failed. It is durable once its filesystem is synced."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART_SUFFIX}")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_once(path: Path, data: bytes) -> None:
    """A file whose name says what is in it: one that is there already stays as it is."""
    if not path.exists():
        with replacing(path) as out:
            out.write(data)


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


class Repodata:
    """Writes one repodata.json (CEP-36) record by record, section after section."""

    def __init__(self, out: BinaryIO, *, subdir: str, extra: Mapping[str, Any]) -> None:
        """extra: the upstream's other top-level keys, `info` among them."""
        self._out, self._extra = out, extra
        info = {**(extra.get("info") or {}), "subdir": subdir}
        out.write(b'{"info":' + orjson.dumps(info, option=orjson.OPT_SORT_KEYS))

    def section(self, name: str, records: Iterable[Shown]) -> None:
        self._out.write(b"," + orjson.dumps(name) + b":{")
        self._join((orjson.dumps(one.filename) + b":" + one.raw) for one in records)
        self._out.write(b"}")

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

    def _join(self, pieces: Iterable[bytes]) -> None:
        separator = b""
        for piece in pieces:
            self._out.write(separator + piece)
            separator = b","


def write_run_exports(out: BinaryIO, *, subdir: str, packages: Iterable[Shown], packages_conda: Iterable[Shown]) -> None:
    """run_exports.json (CEP-12)."""
    platform, _, arch = subdir.partition("-")
    info = {"arch": arch or None, "platform": None if subdir == "noarch" else platform, "subdir": subdir, "version": 1}
    out.write(b'{"info":' + orjson.dumps(info))
    for name, records in (("packages", packages), ("packages.conda", packages_conda)):
        out.write(b"," + orjson.dumps(name) + b":{")
        separator = b""
        for one in records:
            out.write(separator + orjson.dumps(one.filename) + b':{"run_exports":' + one.run_exports + b"}")
            separator = b","
        out.write(b"}")
    out.write(b"}")


def compress_beside(plain: Path) -> None:
    """The .zst of a file, and its .bz2 where it is small; a .bz2 that would be of another revision goes."""
    size = plain.stat().st_size
    with plain.open("rb") as source, replacing(plain.with_name(plain.name + ".zst")) as out:
        zstandard.ZstdCompressor(level=ZSTD_LEVEL).copy_stream(source, out, size=size, read_size=COPY_BYTES)
    old = plain.with_name(plain.name + ".bz2")
    if size > MAX_BZ2_BYTES:
        old.unlink(missing_ok=True)
        return
    with replacing(old) as out:
        out.write(bz2.compress(plain.read_bytes()))


def _v3_place(filename: str) -> tuple[str, str]:
    for ending, kind in V3_KINDS:
        if filename.endswith(ending):
            return filename.removesuffix(ending), kind
    raise ValueError(filename)
