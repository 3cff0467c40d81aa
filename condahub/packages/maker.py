"""Makes tiny, valid conda packages on the spot; the same arguments give the same bytes."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

MADE_AT_SECONDS = 1_700_000_000
ZSTD_LEVEL = 3
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
PLATFORMS = {"linux": "linux", "osx": "osx", "win": "win"}
ARCHES = {"64": "x86_64", "32": "x86"}


@dataclass(frozen=True, slots=True)
class Member:
    """One tar member: a file with its bytes, or a link when `target` is given. `kind` is a tarfile type."""

    path: str
    data: bytes = b""
    target: str = ""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    pax: Mapping[str, str] = field(default_factory=dict)


def make_tar(members: Sequence[Member]) -> bytes:
    """An uncompressed tar of exactly these members, in this order, with nothing of this machine in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            header = tarfile.TarInfo(member.path)
            header.type, header.linkname, header.mode = member.kind, member.target, member.mode
            header.mtime = MADE_AT_SECONDS
            header.size = len(member.data)
            header.pax_headers = dict(member.pax)
            tar.addfile(header, io.BytesIO(member.data))
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    """One Zstandard frame with its size and a checksum."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(data)


def make_zip(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """A zip of stored members in this order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts:
            archive.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), data)
    return buffer.getvalue()


def dump(value: object) -> bytes:
    """JSON as the documents under info/ are written."""
    return json.dumps(value, indent=2, sort_keys=True).encode()


def make_index(
    *,
    name: str,
    version: str,
    build: str,
    build_number: int,
    subdir: str,
    depends: Sequence[str],
    noarch: str | None,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """info/index.json; keys of `extra` come last and win."""
    index: dict[str, Any] = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": build_number,
        "depends": list(depends),
        "license": "BSD-3-Clause",
        "subdir": subdir,
        "timestamp": MADE_AT_SECONDS * 1000,
        "arch": None,
        "platform": None,
    }
    if noarch is not None:
        index["noarch"] = noarch
    else:
        system, _, machine = subdir.partition("-")
        index |= {"platform": PLATFORMS.get(system, system), "arch": ARCHES.get(machine, machine)}
    return {**index, **extra}


def _payload(files: Mapping[str, bytes], links: Mapping[str, str]) -> list[Member]:
    members = [Member(path, data, mode=0o755 if path.startswith(("bin/", "python-scripts/")) else 0o644) for path, data in files.items()]
    members += [Member(path, target=target, kind=tarfile.SYMTYPE, mode=0o777) for path, target in links.items()]
    return sorted(members, key=lambda member: member.path)


def _paths_json(payload: Sequence[Member], files: Mapping[str, bytes]) -> bytes:
    paths = []
    for member in payload:
        data = files.get(member.path, b"") if not member.target else b""
        paths.append(
            {
                "_path": member.path,
                "path_type": "softlink" if member.target else "hardlink",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size_in_bytes": len(data),
            }
        )
    return dump({"paths": paths, "paths_version": 1})


def make_package(
    folder: Path,
    name: str = "demo",
    version: str = "1.0",
    build: str = "0",
    build_number: int = 0,
    subdir: str = "noarch",
    depends: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    *,
    links: Mapping[str, str] | None = None,
    run_exports: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
    noarch: str | None = None,
    entry_points: Sequence[str] = (),
    extra_index: Mapping[str, Any] | None = None,
    extension: str = ".conda",
) -> Path:
    """Write `<folder>/<name>-<version>-<build><extension>` and return its path; the folder is made if need be.

    files maps paths to bytes (default: one file under share/), links maps paths to symbolic link targets; noarch is
    "generic", "python" (files then lie under site-packages/) or None, which means "generic" in the subdir noarch.
    """
    files = {f"share/{name}/made": f"{name} {version} {build}\n".encode()} if files is None else files
    noarch = noarch or ("generic" if subdir == "noarch" else None)
    index = make_index(
        name=name,
        version=version,
        build=build,
        build_number=build_number,
        subdir=subdir,
        depends=depends,
        noarch=noarch,
        extra=extra_index or {},
    )
    payload = _payload(files, links or {})
    info = {
        "info/index.json": dump(index),
        "info/about.json": dump(about or {"summary": f"The package {name}.", "license": index["license"]}),
        "info/files": "".join(f"{member.path}\n" for member in payload).encode(),
        "info/paths.json": _paths_json(payload, files),
    }
    if noarch == "python":
        info["info/link.json"] = dump({"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1})
    if run_exports is not None:
        info["info/run_exports.json"] = dump(run_exports)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{build}{extension}"
    path.write_bytes(pack(path.name, [Member(key, data) for key, data in info.items()], payload))
    return path


def pack(filename: str, info: Sequence[Member], payload: Sequence[Member]) -> bytes:
    """The bytes of a package of this file name with these members, whatever they are."""
    if filename.endswith(".tar.bz2"):
        return bz2.compress(make_tar([*info, *payload]))
    stem = filename.removesuffix(".conda")
    return make_zip(
        [
            ("metadata.json", b'{"conda_pkg_format_version": 2}'),
            (f"pkg-{stem}.tar.zst", zstd(make_tar(payload))),
            (f"info-{stem}.tar.zst", zstd(make_tar(info))),
        ]
    )
