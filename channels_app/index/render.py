"""Renderer 1: from the files of one package name to its shard and its fragment of repodata.json, as pure functions.

A renderer is superseded, never edited: revisions name the one that made them, and must come back as they were.
Sources: CEP-16 (shards), CEP-36 (repodata), CEP-12 and CEP-21 (run_exports), CEP-47 (indexed_timestamp).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import orjson
import zstandard

from condahub.packages.record import canonical_json

RENDERER = 1
ZSTD_LEVEL = 3
CODEC = "zstd " + ".".join(str(part) for part in zstandard.ZSTD_VERSION)

# Keys that a hotfix can never change: they say which bytes these are, and where they lie.
FIXED_KEYS = frozenset(
    {"name", "version", "build", "build_number", "subdir", "sha256", "md5", "size", "fn", "url", "channel", "base_url"}
    | {"indexed_timestamp", "attestations_sha256", "run_exports", "legacy_bz2_md5", "legacy_bz2_size"}
)
# What channeldata.json (CEP-38) tells of a package out of its info/about.json.
_ABOUT = """
    description dev_url doc_source_url doc_url home icon_url identifiers keywords license recipe_origin source_git_url source_url
    summary tags
"""
ABOUT_KEYS = frozenset(_ABOUT.split())
REVOKED_DEPENDENCY = "package_has_been_revoked"

_msgpack = msgspec.msgpack.Encoder(order="sorted")
# One for each thread: making one takes longer than compressing a shard, and it can't be shared.
_compressors = threading.local()
_HASH_KEYS = ("md5", "sha256", "legacy_bz2_md5")


class FileRow(NamedTuple):
    """What the renderer needs to know of a PackageFile; texts are canonical JSON."""

    filename: str
    state: str
    record: str
    run_exports: str
    about: str
    patch: str
    revoked: bool


class Fragment(msgspec.Struct, frozen=True):
    """One name's share of the subdir's files, as bytes ready to be joined.

    packages, packages_conda: `"filename":{record},...` without braces; run_exports and run_exports_conda likewise (CEP-12);
    removed: filenames yanked or deleted, sorted; about: the newest file's description, JSON.
    """

    name: str
    packages: bytes
    packages_conda: bytes
    run_exports: bytes
    run_exports_conda: bytes
    removed: list[str]
    about: bytes


class RenderedName(NamedTuple):
    sha256: bytes  # 32 raw bytes, of payload
    payload: bytes
    fragment: bytes
    records: int
    json_bytes: int


def zstd_compress(data: bytes) -> bytes:
    """One frame that states its content's size: rattler refuses several frames."""
    compressor: zstandard.ZstdCompressor | None = getattr(_compressors, "zstd", None)
    if compressor is None:
        compressor = _compressors.zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return compressor.compress(data)


def zstd_decompress(data: bytes, limit_bytes: int = 512 * 1024 * 1024) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit_bytes)


def dump_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def shown_record(row: FileRow) -> dict[str, Any]:
    """The record as clients see it: the facts, with the hotfix over them."""
    record: dict[str, Any] = msgspec.json.decode(row.record)
    if row.patch:
        patch: dict[str, Any] = msgspec.json.decode(row.patch)
        for key, value in patch.items():
            if key in FIXED_KEYS:
                continue
            if value is None:
                record.pop(key, None)
            else:
                record[key] = value
    if row.revoked:
        record["revoked"] = True
        record["depends"] = [*record.get("depends", ()), REVOKED_DEPENDENCY]
    return record


def hotfix_between(record: dict[str, Any], shown: dict[str, Any]) -> tuple[str, bool]:
    """`shown_record` turned round: the hotfix (canonical JSON, "" for none) that makes the shown record of a file's own, and whether
    it is revoked.
    """
    after = dict(shown)
    depends = list(after.get("depends") or ())
    revoked = after.get("revoked") is True and record.get("revoked") is not True and depends[-1:] == [REVOKED_DEPENDENCY]
    if revoked:
        del after["revoked"]
        after["depends"] = depends[:-1]
        if not after["depends"] and "depends" not in record:
            del after["depends"]
    # Compared by their spelling: to Python 1, 1.0 and true are the same.
    patch = {
        key: value for key, value in after.items() if key not in record or canonical_json({"": record[key]}) != canonical_json({"": value})
    }
    patch |= dict.fromkeys(record.keys() - after.keys())
    patch = {key: value for key, value in patch.items() if key not in FIXED_KEYS}
    return (canonical_json(patch).decode() if patch else ""), revoked


def render_name(name: str, rows: Iterable[FileRow]) -> RenderedName | None:
    """Shard and fragment of one name in one subdir; None when nothing of it is to be shown or named as removed."""
    ordered = sorted(rows, key=lambda row: row.filename)
    live = [row for row in ordered if row.state == "live"]
    shown = {row.filename for row in live}
    removed = sorted({row.filename for row in ordered if row.state in ("yanked", "deleted")} - shown)
    if not live and not removed:
        return None
    shard: dict[str, Any] = {"packages": {}, "packages.conda": {}, "removed": removed}
    texts: dict[str, list[bytes]] = {"packages": [], "packages.conda": [], "exports": [], "exports.conda": []}
    for row in live:
        record = shown_record(row)
        exports = msgspec.json.decode(row.run_exports)
        key = "packages.conda" if row.filename.endswith(".conda") else "packages"
        quoted = orjson.dumps(row.filename)
        texts[key].append(quoted + b":" + dump_json(record))
        texts["exports.conda" if key == "packages.conda" else "exports"].append(quoted + b':{"run_exports":' + dump_json(exports) + b"}")
        shard[key][row.filename] = {**_with_raw_hashes(record), "run_exports": exports}
    payload = zstd_compress(_msgpack.encode(shard))
    fragment = Fragment(
        name=name,
        packages=b",".join(texts["packages"]),
        packages_conda=b",".join(texts["packages.conda"]),
        run_exports=b",".join(texts["exports"]),
        run_exports_conda=b",".join(texts["exports.conda"]),
        removed=removed,
        about=_newest_about(live),
    )
    return RenderedName(
        sha256=hashlib.sha256(payload).digest(),
        payload=payload,
        fragment=zstd_compress(msgspec.msgpack.encode(fragment)),
        records=len(live),
        json_bytes=len(fragment.packages) + len(fragment.packages_conda) + sum(len(one) + 3 for one in removed),
    )


_fragment_decoder = msgspec.msgpack.Decoder(Fragment)


def read_fragment(data: bytes, decompressor: zstandard.ZstdDecompressor) -> Fragment:
    """decompressor: of the calling thread alone."""
    return _fragment_decoder.decode(decompressor.decompress(data))


def _with_raw_hashes(record: dict[str, Any]) -> dict[str, Any]:
    raw = dict(record)
    for key in _HASH_KEYS:
        if isinstance(raw.get(key), str):
            try:
                raw[key] = bytes.fromhex(raw[key])
            except ValueError:
                del raw[key]
    return raw


def _newest_about(live: list[FileRow]) -> bytes:
    """The about.json of the file with the latest builder's timestamp, so that the choice needs no version order."""
    described = [row for row in live if row.about not in ("", "{}")]
    if not described:
        return b"{}"

    def age(row: FileRow) -> tuple[float, str]:
        timestamp = msgspec.json.decode(row.record).get("timestamp", 0)
        return (timestamp if isinstance(timestamp, int | float) else 0, row.filename)

    return max(described, key=age).about.encode()


def shard_index(*, subdir: str, shards: dict[str, bytes], created_at: str) -> bytes:
    """The uncompressed msgpack of repodata_shards.msgpack.zst. created_at: ISO 8601 of the revision that last changed the subdir.

    By name, so that the bytes of a revision are the same whoever makes them, from whatever it remembers.
    """
    return _msgpack.encode(
        {
            "version": 1,
            "info": {"base_url": "./", "shards_base_url": "./shards/", "created_at": created_at, "subdir": subdir},
            "shards": dict(sorted(shards.items())),
        }
    )


def repodata_head(subdir: str) -> bytes:
    return b'{"info":{"subdir":' + orjson.dumps(subdir) + b'},"packages":{'


def repodata_tail(removed: list[str]) -> bytes:
    return b'},"removed":' + orjson.dumps(removed) + b',"repodata_version":1}'


def run_exports_head(subdir: str) -> bytes:
    platform, _, arch = subdir.partition("-")
    info = {"subdir": subdir, "version": 1, "platform": None if subdir == "noarch" else platform, "arch": arch or None}
    return b'{"info":' + dump_json(info) + b',"packages":{'
