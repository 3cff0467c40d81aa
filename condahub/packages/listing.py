"""Lists the files that a package installs, as its own info says, for people who look at it: without reading its payload."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from condahub.packages.archives import check_magic, zip_parts
from condahub.packages.errors import BadPackage, PackageNotConda
from condahub.packages.limits import MIB, Limits, Meter
from condahub.packages.names import split_filename
from condahub.packages.streams import ForwardStream, bzip2_pieces, zstd_pieces
from condahub.packages.tars import Walk

# Somebody waits for it: what is past them is left to who unpacks the package.
LIMITS = Limits(max_unpacked_bytes=32 * MIB, max_listing_bytes=8 * MIB, max_link_bytes=4 * MIB, max_members=20_000, max_seconds=3.0)
# An old package is one stream, payload and all.
MAX_BZIP2_BYTES = 4 * MIB
PATHS, FILES = "info/paths.json", "info/files"


@dataclass(frozen=True, slots=True)
class Listed:
    """One file. size: in bytes, None where the package does not say."""

    path: str
    size: int | None


class _Path(msgspec.Struct):
    path: str = msgspec.field(name="_path", default="")
    size_in_bytes: int | None = None


class _Paths(msgspec.Struct):
    paths: list[_Path] = []


def list_files(file: BinaryIO, *, filename: str) -> list[Listed] | None:
    """By path; None where looking takes more than LIMITS, or the package is not sound. Raises BadFilename, OSError."""
    name = split_filename(filename)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    meter = Meter(LIMITS, size)
    walk = Walk(meter, {PATHS: LIMITS.max_listing_bytes, FILES: LIMITS.max_listing_bytes})
    try:
        check_magic(file, name.extension)
        if name.extension == ".conda":
            part = next((one for one in zip_parts(file, size) if one.name == f"info-{name.stem}.tar.zst"), None)
            if part is None:
                raise PackageNotConda("The package holds no info.")
            walk.tar(ForwardStream(zstd_pieces(part.open(file), meter, part.name), meter), part.name)
        elif size > MAX_BZIP2_BYTES:
            return None
        else:
            walk.tar(ForwardStream(bzip2_pieces(file, meter, "The package"), meter), "The package")
        return sorted(_told(walk.documents), key=lambda one: one.path)
    except (BadPackage, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _told(documents: dict[str, bytes]) -> list[Listed]:
    if PATHS in documents:
        return [Listed(one.path, one.size_in_bytes) for one in msgspec.json.decode(documents[PATHS], type=_Paths).paths]
    lines = documents.get(FILES, b"").decode("utf-8", "replace").splitlines()
    return [Listed(line.strip(), None) for line in lines if line.strip()]
