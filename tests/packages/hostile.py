"""Packages with one trouble each, and the code that the hub must refuse it with."""

from __future__ import annotations

import bz2
import gzip
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import zstandard

from tests.makers import Member, dump, make_index, make_tar, make_zip, pack, zstd

CONDA = "demo-1.0-0.conda"
TAR_BZ2 = "demo-1.0-0.tar.bz2"
STEM = "demo-1.0-0"
METADATA = ("metadata.json", b'{"conda_pkg_format_version": 2}')
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Hostile:
    """One sample: what is wrong, the file name it comes under, its bytes, and the code of the refusal."""

    what: str
    filename: str
    data: bytes
    code: str


def index(**changes: Any) -> dict[str, Any]:
    """A right info/index.json with these keys changed; None leaves a key out."""
    plain = make_index(name="demo", version="1.0", build="0", build_number=0, subdir="noarch", depends=(), noarch="generic", extra={})
    return {key: value for key, value in {**plain, **changes}.items() if value is not ...}


def info(index_json: bytes | None = None, **more: bytes) -> list[Member]:
    """The info part; keywords add documents, with '_' for the dot: `about_json=b"..."`."""
    members = [Member("info/index.json", dump(index()) if index_json is None else index_json), Member("info/files")]
    return members + [Member("info/" + name.replace("__", ".").replace("_json", ".json"), data) for name, data in more.items()]


def with_payload(*members: Member, filename: str = CONDA) -> bytes:
    return pack(filename, info(), members)


def with_index(raw: bytes) -> bytes:
    return pack(CONDA, info(raw), [])


def parts(**changes: bytes | None) -> list[tuple[str, bytes]]:
    """The members of the zip: `metadata`, `pkg` and `info`, any of them changed, or None to leave it out."""
    whole: Mapping[str, bytes | None] = {"metadata": METADATA[1], "pkg": zstd(make_tar([])), "info": zstd(make_tar(info()))} | changes
    names = {"metadata": METADATA[0], "pkg": f"pkg-{STEM}.tar.zst", "info": f"info-{STEM}.tar.zst"}
    return [(names[key], data) for key, data in whole.items() if data is not None]


def zeros_tar(size: int) -> Iterator[bytes]:
    """A tar of one file of zeros, in pieces."""
    header = tarfile.TarInfo("zeros")
    header.size = size
    yield header.tobuf()
    for _ in range(size // MIB):
        yield bytes(MIB)
    yield bytes(1024)


def zstd_bomb(size: int = 256 * MIB) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join(packer.compress(piece) for piece in zeros_tar(size)) + packer.flush()


def bzip2_bomb(size: int = 96 * MIB) -> bytes:
    packer = bz2.BZ2Compressor(1)
    return b"".join(packer.compress(piece) for piece in zeros_tar(size)) + packer.flush()


def raw_header(**fields: Any) -> bytes:
    """A tar header as tarfile would not write it on its own: `data` follows the header without being counted."""
    header = tarfile.TarInfo(fields.pop("name", "f"))
    data: bytes = fields.pop("data", b"")
    for key, value in fields.items():
        setattr(header, key, value)
    head: bytes = header.tobuf(tarfile.GNU_FORMAT)
    return head + data


def with_raw_tar(tar: bytes) -> bytes:
    return make_zip(parts(pkg=zstd(tar)))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def link(path: str, target: str) -> Member:
    return Member(path, target=target, kind=tarfile.SYMTYPE)


def hard(path: str, target: str) -> Member:
    return Member(path, target=target, kind=tarfile.LNKTYPE)


PAYLOADS: dict[str, tuple[str, tuple[Member, ...]]] = {
    "climbs with ..": ("package_traversal", (Member("a/../../evil", b"x"),)),
    "absolute path": ("package_traversal", (Member("/tmp/evil", b"x"),)),
    "climbs with backslashes": ("package_traversal", (Member("..\\..\\evil", b"x"),)),
    "a drive": ("package_traversal", (Member("C:/evil", b"x"),)),
    "symlink to an absolute path": ("package_traversal", (link("d", "/tmp"),)),
    "symlink out": ("package_traversal", (link("a/d", "../../x"),)),
    "symlink out by backslashes": ("package_traversal", (link("d", "a\\..\\..\\x"),)),
    "symlink without a target": ("package_member", (link("d", ""),)),
    "file through a symlink": ("package_ambiguous", (link("d", "share"), Member("d/evil", b"x"))),
    "symlink out through a symlink": ("package_traversal", (link("a/b/c/up", "../../.."), link("a/b/out", "c/up/../.."))),
    "hard link to an absolute path": ("package_traversal", (hard("p", "/etc/passwd"),)),
    "hard link out": ("package_traversal", (hard("p", "../../etc/passwd"),)),
    "hard link to a symlink": ("package_traversal", (link("a/b/s", "../.."), hard("s", "a/b/s"))),
    "device": ("package_member", (Member("null", kind=tarfile.CHRTYPE),)),
    "block device": ("package_member", (Member("disk", kind=tarfile.BLKTYPE),)),
    "pipe": ("package_member", (Member("pipe", kind=tarfile.FIFOTYPE),)),
    "unknown type": ("package_member", (Member("odd", kind=b"Z"),)),
    "line break in a name": ("package_member", (Member("a\nb", b"x"),)),
    "name that is not UTF-8": ("package_member", (Member("caf\udce9", b"x"),)),
    "name too long for any file system": ("package_member", (Member("n" * 300, b"x"),)),
    "path too deep": ("package_member", (Member("d/" * 300 + "f", b"x"),)),
    "sparse 1.0 without an end": ("package_member", (Member("s", b"9", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),)),
    "sparse size alone": ("package_member", (Member("s", b"9", pax={"GNU.sparse.realsize": "99999"}),)),
    "size below zero": ("package_member", (Member("s", b"9", pax={"size": "-1024"}), Member("t"))),
    "second index.json": ("package_ambiguous", (Member("info/index.json", b"{}"),)),
    "second index.json by case": ("package_ambiguous", (Member("INFO/Index.json", b"{}"),)),
    "second index.json by dots": ("package_ambiguous", (Member("./info/./index.json", b"{}"),)),
}

INDEXES: dict[str, tuple[str, bytes]] = {
    "not JSON": ("package_metadata", b"{"),
    "a list": ("package_metadata", b"[]"),
    "null": ("package_metadata", b"null"),
    "empty": ("package_metadata", b""),
    "not UTF-8": ("package_metadata", b'{"name":"h\xff"}'),
    "a BOM": ("package_metadata", b"\xef\xbb\xbf" + dump(index())),
    "a lone surrogate": ("package_metadata", dump(index(license="\ud800"))),
    "NaN": ("package_metadata", dump(index(x=float("nan")))),
    "Infinity": ("package_metadata", dump(index()).replace(b'"license"', b'"x": 1e999, "license"')),
    "a huge integer": ("package_metadata", dump(index(x=10**30))),
    "an integer of 5000 digits": ("package_metadata", dump(index()).replace(b'"license"', b'"x": ' + b"9" * 5000 + b', "license"')),
    "nested 200000 deep": ("package_metadata", b"[" * 200_000 + b"]" * 200_000),
    "nested 100 deep": ("package_metadata", dump(index()).replace(b'"license"', b'"x": ' + b"[" * 100 + b"]" * 100 + b', "license"')),
    "one key twice": ("package_metadata", dump(index()).replace(b'"license"', b'"name": "evil", "license"')),
    "another name": ("package_identity", dump(index(name="other"))),
    "another version": ("package_identity", dump(index(version="2.0"))),
    "another build": ("package_identity", dump(index(build="1"))),
    "the dash elsewhere": ("package_identity", dump(index(name="demo-1.0", version="0", build=""))),
    "no version": ("package_metadata", dump(index(version=...))),
    "name a number": ("package_metadata", dump(index(name=7))),
    "build_number a text": ("package_metadata", dump(index(build_number="0"))),
    "build_number true": ("package_metadata", dump(index(build_number=True))),
    "build_number below zero": ("package_metadata", dump(index(build_number=-1))),
    "depends a text": ("package_metadata", dump(index(depends="python"))),
    "depends null": ("package_metadata", dump(index(depends=None))),
    "depends of numbers": ("package_metadata", dump(index(depends=[1]))),
    "depends with half a requirement": ("package_metadata", dump(index(depends=["python >="]))),
    "depends with markup": ("package_metadata", dump(index(depends=["<img src=x onerror=alert(1)>"]))),
    "depends without end": ("package_metadata", dump(index(depends=["a"] * 6000))),
    "noarch unknown": ("package_metadata", dump(index(noarch="perl"))),
    "subdir climbing": ("package_metadata", dump(index(subdir="../noarch"))),
    "timestamp past the year 9999": ("package_metadata", dump(index(timestamp=10**17))),
    "larger than 1 MiB": ("package_bomb", dump(index(license="A" * MIB))),
}

DOCUMENTS: dict[str, tuple[str, dict[str, bytes]]] = {
    "paths.json climbing": ("package_traversal", {"paths_json": dump({"paths": [{"_path": "../../evil"}]})}),
    "paths.json absolute": ("package_traversal", {"paths_json": dump({"paths": [{"_path": "/etc/cron.d/evil"}]})}),
    "paths.json of another shape": ("package_metadata", {"paths_json": b"[1]"}),
    "paths.json nested": ("package_metadata", {"paths_json": b"[" * 200_000}),
    "entry point that is a path": (
        "package_traversal",
        {"link_json": dump({"noarch": {"type": "python", "entry_points": ["../../evil = os:system"]}})},
    ),
    "entry points not a list": ("package_metadata", {"link_json": dump({"noarch": {"entry_points": 7}})}),
    "run_exports not JSON": ("package_metadata", {"run_exports_json": b"weak"}),
    "run_exports of numbers": ("package_metadata", {"run_exports_json": dump({"weak": [1]})}),
}


def _tars() -> Iterator[Hostile]:
    for what, (code, members) in PAYLOADS.items():
        yield Hostile(f".conda: {what}", CONDA, with_payload(*members), code)
        yield Hostile(f".tar.bz2: {what}", TAR_BZ2, with_payload(*members, filename=TAR_BZ2), code)
    good = make_tar([Member("a", b"1"), Member("b", b"2")])
    end = bytes(1024)
    raw: dict[str, tuple[str, bytes]] = {
        "broken header in the middle": ("package_damaged", flipped(good, 1024 + 5)),
        "second archive after the end": ("package_ambiguous", good + good),
        "member after one empty block": ("package_ambiguous", make_tar([])[:512] + good),
        "cut in a member": ("package_damaged", raw_header(size=5000, data=b"x" * 100)),
        "cut in a header": ("package_truncated", good[:1024] + good[1024:1100]),
        "long name of 1 GiB": ("package_bomb", raw_header(type=tarfile.GNUTYPE_LONGNAME, size=2**30)),
        "negative long name": ("package_member", raw_header(type=tarfile.GNUTYPE_LONGNAME, size=-512) + end),
        "5000 headers for one member": ("package_bomb", raw_header(type=tarfile.XHDTYPE, size=0) * 5000 + end),
        "old sparse member": ("package_member", raw_header(type=tarfile.GNUTYPE_SPARSE) + end),
        "directory with a size": ("package_member", raw_header(type=tarfile.DIRTYPE, size=512, data=good[:512]) + end),
        "hard link with a size": ("package_member", raw_header(type=tarfile.LNKTYPE, linkname="a", size=512, data=good[:512]) + end),
        "a file named like a directory": ("package_member", raw_header(name="d/", type=tarfile.REGTYPE) + end),
        "one path for all members": ("package_ambiguous", _global_path() + good),
    }
    for what, (code, tar) in raw.items():
        yield Hostile(f"tar: {what}", CONDA, with_raw_tar(tar), code)


def _global_path() -> bytes:
    record = b"13 path=evil\n"
    return raw_header(type=tarfile.XGLTYPE, size=len(record)) + record.ljust(512, b"\0")


def _documents() -> Iterator[Hostile]:
    for what, (code, raw) in INDEXES.items():
        yield Hostile(f"index.json: {what}", CONDA, with_index(raw), code)
    for what, (code, more) in DOCUMENTS.items():
        yield Hostile(what, CONDA, pack(CONDA, info(**more), []), code)
    yield Hostile("no index.json", CONDA, pack(CONDA, info()[1:], []), "package_not_conda")
    yield Hostile("index.json a symlink", CONDA, pack(CONDA, [link("info/index.json", "../etc/passwd")], []), "package_member")
    yield Hostile("index.json in the pkg part", CONDA, pack(CONDA, info()[1:], info()[:1]), "package_ambiguous")


def _zips() -> Iterator[Hostile]:
    good = make_zip(parts())
    variants: dict[str, tuple[str, bytes]] = {
        "empty": ("package_truncated", b""),
        "an HTML page": ("package_wrong_type", b"<!doctype html><title>502</title>"),
        "a .tar.bz2 called .conda": ("package_wrong_type", with_payload(filename=TAR_BZ2)),
        "cut in the middle": ("package_truncated", good[: len(good) // 2]),
        "without its last 10 bytes": ("package_truncated", good[:-10]),
        "only a signature": ("package_truncated", good[:4]),
        "junk before": ("package_wrong_type", b"J" * 1024 + good),
        "junk after": ("package_ambiguous", good + b"J" * 1024),
        "a second zip after": ("package_ambiguous", good + good),
        "a second zip before": ("package_ambiguous", make_zip(parts(info=zstd(make_tar([])))) + good),
        "format 3": ("package_not_conda", make_zip(parts(metadata=b'{"conda_pkg_format_version": 3}'))),
        "format true": ("package_not_conda", make_zip(parts(metadata=b'{"conda_pkg_format_version": true}'))),
        "metadata.json not JSON": ("package_metadata", make_zip(parts(metadata=b"x"))),
        "no pkg part": ("package_not_conda", make_zip(parts(pkg=None))),
        "no info part": ("package_not_conda", make_zip(parts(info=None))),
        "a fourth member": ("package_not_conda", make_zip([*parts(), ("../../evil", b"x")])),
        "another member": ("package_not_conda", make_zip([*parts(metadata=None), ("../../evil", b"x")])),
        "inner names of another package": ("package_not_conda", pack("other-1-0.conda", info(), [])),
        "a changed byte in the pkg part": ("package_damaged", flipped(good, good.index(b"\x28\xb5\x2f\xfd") + 12)),
        "another size in the local header": ("package_ambiguous", flipped(good, 18)),
        "another name in the local header": ("package_ambiguous", flipped(good, 30)),
        "another checksum in both headers": ("package_damaged", _with_wrong_crc(good)),
        "info part not Zstandard": ("package_damaged", make_zip(parts(info=b"not zst, but long enough"))),
        "info part cut": ("package_truncated", make_zip(parts(info=zstd(make_tar(info()))[:-20]))),
        "info part empty": ("package_truncated", make_zip(parts(info=b""))),
        "a second frame": ("package_ambiguous", make_zip(parts(info=zstd(make_tar(info())) + zstd(make_tar(info()))))),
        "a window of 2 GiB": ("package_damaged", make_zip(parts(pkg=b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00"))),
        "a bomb": ("package_bomb", make_zip(parts(pkg=zstd_bomb()))),
    }
    for what, (code, data) in variants.items():
        yield Hostile(f"zip: {what}", CONDA, data, code)


def _with_wrong_crc(good: bytes) -> bytes:
    directory = good.index(b"PK\x01\x02")
    return flipped(flipped(good, 14), directory + 16)


def _bzip2s() -> Iterator[Hostile]:
    tar = make_tar([*info(), Member("a", bytes(range(256)) * 400)])
    good = bz2.compress(tar)
    variants: dict[str, tuple[str, bytes]] = {
        "empty": ("package_truncated", b""),
        "gzip inside": ("package_wrong_type", gzip.compress(tar, mtime=0)),
        "cut": ("package_truncated", good[:-20]),
        "a changed byte": ("package_damaged", flipped(good, len(good) // 2)),
        "two streams": ("package_ambiguous", bz2.compress(tar[:1024]) + bz2.compress(tar[1024:])),
        "junk after": ("package_ambiguous", good + b"junk"),
        "not a tar inside": ("package_damaged", bz2.compress(b"hello" * 1000)),
        "nothing inside": ("package_damaged", bz2.compress(b"")),
        "a bomb": ("package_bomb", bzip2_bomb()),
    }
    for what, (code, data) in variants.items():
        yield Hostile(f"bzip2: {what}", TAR_BZ2, data, code)


GENERATORS: tuple[Callable[[], Iterator[Hostile]], ...] = (_tars, _documents, _zips, _bzip2s)


def all_hostile() -> list[Hostile]:
    """Every sample, made afresh."""
    return [sample for generator in GENERATORS for sample in generator()]
