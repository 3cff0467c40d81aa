"""Packages for the measurements: many small ones, and one of any size that is written without being held in memory."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from condahub.packages.maker import Member, dump, make_index, make_package, make_tar, zstd

SUBDIR = "linux-64"
BLOCK_BYTES = 16 * 1024 * 1024
# A small package's one file: with it the package has the 5 KB that many have.
SMALL_FILE_BYTES = 4500


@dataclass(frozen=True)
class SmallPackage:
    filename: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def small_packages(folder: Path, stem: str, subdir: str = SUBDIR) -> Iterator[SmallPackage]:
    """Packages of about 5 KB without end, each with a name of its own."""
    number = 0
    while True:
        name = f"{stem}-{number}"
        made = make_package(folder, name=name, version="1.0", subdir=subdir, files={f"share/{name}": os.urandom(SMALL_FILE_BYTES)})
        yield SmallPackage(made.name, made.read_bytes())
        made.unlink()
        number += 1


def write_large_package(path: Path, size: int) -> None:
    """A .conda of about `size` bytes that do not compress; its name comes from the path (`<name>-<version>-<build>.conda`)."""
    name, version, build = path.name.removesuffix(".conda").rsplit("-", 2)
    index = make_index(name=name, version=version, build=build, build_number=0, subdir=SUBDIR, depends=[], noarch=None, extra={})
    info = [Member("info/index.json", dump(index)), Member("info/about.json", b"{}")]
    block = os.urandom(BLOCK_BYTES)
    stem = path.name.removesuffix(".conda")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", b'{"conda_pkg_format_version": 2}')
        with (
            archive.open(f"pkg-{stem}.tar.zst", "w", force_zip64=True) as raw,
            zstandard.ZstdCompressor(level=1).stream_writer(raw, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            for number in range(max(size // BLOCK_BYTES, 1)):
                header = tarfile.TarInfo(f"share/{name}/{number}")
                header.size = BLOCK_BYTES
                tar.addfile(header, io.BytesIO(block))
        archive.writestr(f"info-{stem}.tar.zst", zstd(make_tar(info)))
