"""Reads one uploaded package from end to end, checks all of it, and says what it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from condahub.packages.archives import Part, check_magic, zip_parts
from condahub.packages.errors import PackageDamaged, PackageIdentity, PackageNotConda, shown
from condahub.packages.limits import DEFAULT, Limits, Meter
from condahub.packages.metadata import check_entry_points, check_listings, read_about, read_index, read_run_exports, strict_json_object
from condahub.packages.names import PackageFilename, check_subdir, split_filename
from condahub.packages.streams import ForwardStream, bzip2_pieces, zstd_pieces
from condahub.packages.tars import Walk

CONDA_FORMAT_VERSION = 2
MAX_CONDA_METADATA_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageInfo:
    """What a package says of itself, once all of it was read.

    index: info/index.json as parsed; index_raw: its bytes; about: info/about.json or {}; run_exports: lists by kind
    (weak, strong, noarch, weak_constrains, strong_constrains), {} if none; has_link_scripts: it runs code when it is
    linked or unlinked; files: members that are not directories; unpacked_bytes: the sum of their sizes.
    """

    filename: PackageFilename
    index: dict[str, Any]
    index_raw: bytes
    about: dict[str, Any]
    run_exports: dict[str, list[str]]
    has_link_scripts: bool
    files: int
    unpacked_bytes: int

    @property
    def build_number(self) -> int:
        return int(self.index["build_number"])

    @property
    def subdir(self) -> str | None:
        """The subdir that info/index.json gives; None in packages of before 2016."""
        subdir = self.index.get("subdir")
        return subdir if isinstance(subdir, str) else None


def read_package(path: Path, *, filename: str, limits: Limits = DEFAULT) -> PackageInfo:
    """Read the package at `path`, uploaded as `filename`, as one stream with bounded memory and time.

    Raises BadFilename, or the BadPackage that says what is wrong with the bytes, whatever they are; OSError only when
    the file itself can't be read.
    """
    name = split_filename(filename)
    with path.open("rb") as file:
        meter = Meter(limits, os.fstat(file.fileno()).st_size)
        walk = Walk(meter, _wanted(limits))
        check_magic(file, name.extension)
        if name.extension == ".conda":
            _walk_conda(file, name, walk)
        else:
            walk.tar(ForwardStream(bzip2_pieces(file, meter, "The package"), meter), "The package")
        walk.settle()
    return _info(name, walk)


def _wanted(limits: Limits) -> dict[str, int]:
    return {
        "info/index.json": limits.max_index_bytes,
        "info/about.json": limits.max_document_bytes,
        "info/run_exports.json": limits.max_document_bytes,
        "info/link.json": limits.max_document_bytes,
        "info/paths.json": limits.max_listing_bytes,
        "info/files": limits.max_listing_bytes,
    }


def _walk_conda(file: BinaryIO, name: PackageFilename, walk: Walk) -> None:
    parts = {part.name: part for part in zip_parts(file, walk.meter.packed_bytes)}
    metadata = parts.pop("metadata.json", None)
    # Some packages in use have no metadata.json and every client installs them; where it is, it must be right.
    if metadata is not None:
        _check_conda_metadata(file, metadata)
    info_name, pkg_name = f"info-{name.stem}.tar.zst", f"pkg-{name.stem}.tar.zst"
    for wanted in (info_name, pkg_name):
        if wanted not in parts:
            raise PackageNotConda(f"The package holds no '{wanted}'.")
    for other in parts.keys() - {info_name, pkg_name}:
        raise PackageNotConda(f"The package holds '{shown(other)}', which has no place in a .conda.")
    for part, documents in ((parts[info_name], True), (parts[pkg_name], False)):
        source = part.open(file)
        stream = ForwardStream(zstd_pieces(source, walk.meter, part.name), walk.meter)
        walk.tar(stream, part.name, documents=documents)
        _check_crc32(part, source.crc32)


def _check_conda_metadata(file: BinaryIO, part: Part) -> None:
    if part.size > MAX_CONDA_METADATA_BYTES:
        raise PackageNotConda("metadata.json is far too large.")
    source = part.open(file)
    table = strict_json_object(source.read(part.size), "metadata.json")
    _check_crc32(part, source.crc32)
    version = table.get("conda_pkg_format_version")
    if isinstance(version, bool) or version != CONDA_FORMAT_VERSION:
        raise PackageNotConda(f"The package is of another format than {CONDA_FORMAT_VERSION}, the one of .conda.")


def _check_crc32(part: Part, crc32: int) -> None:
    if crc32 != part.crc32:
        raise PackageDamaged(f"The checksum of '{part.name}' does not match its bytes.")


def _info(name: PackageFilename, walk: Walk) -> PackageInfo:
    documents = walk.documents
    raw = documents.get("info/index.json")
    if raw is None:
        raise PackageNotConda("The package holds no info/index.json.")
    index = read_index(raw)
    said = f"{index['name']}-{index['version']}-{index['build']}"
    if (index["name"], index["version"], index["build"]) != (name.name, name.version, name.build):
        raise PackageIdentity(f"The file is called '{name.stem}' but its info/index.json says '{shown(said)}'.")
    check_listings(documents, walk.meter.limits)
    if "info/link.json" in documents:
        check_entry_points(documents["info/link.json"])
    return PackageInfo(
        filename=name,
        index=index,
        index_raw=raw,
        about=read_about(documents.get("info/about.json", b"{}")),
        run_exports=read_run_exports(documents.get("info/run_exports.json", b"{}")),
        has_link_scripts=walk.has_link_scripts,
        files=walk.files,
        unpacked_bytes=walk.file_bytes,
    )


def check_identity(info: PackageInfo, *, subdir: str, filename: str) -> None:
    """Refuse a package that was put under another file name or into another folder than it says of itself."""
    check_subdir(subdir)
    if str(info.filename) != filename:
        raise PackageIdentity(f"The package is '{info.filename}', not '{shown(filename)}'.")
    if info.subdir is not None and info.subdir != subdir:
        raise PackageIdentity(f"The package is for '{info.subdir}', not for '{subdir}'.")
