"""Reads parts: not by parsing tar, but by comparing every byte that is not a member's own with what it must be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from mirrors_app.bundles.core import tar
from mirrors_app.bundles.core.errors import INCOMPLETE, BundleRefused, damaged
from mirrors_app.bundles.core.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SIGNATURE_NAME, Manifest, Member, Part

CHUNK_BYTES = 1024**2


class Place(Protocol):
    """Where a bundle's files are."""

    def open_part(self, part: Part) -> BinaryIO:
        """Seekable, to be closed by the caller. Raises BundleRefused (bundle_incomplete)."""
        ...


class BundleFolder:
    """A bundle as it is carried: a folder. Other files in it are left alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self) -> tuple[bytes, bytes]:
        """The manifest's bytes and its signature. Raises BundleRefused."""
        return self._small(MANIFEST_NAME, MAX_MANIFEST_BYTES), self._small(SIGNATURE_NAME, 4096)

    def _small(self, name: str, limit_bytes: int) -> bytes:
        try:
            with (self.path / name).open("rb") as file:
                data = file.read(limit_bytes + 1)
        except OSError as error:
            raise _missing(name, error.strerror) from None
        if len(data) > limit_bytes:
            raise damaged(name)
        return data

    def open_part(self, part: Part) -> BinaryIO:
        try:
            return (self.path / part.name).open("rb")
        except OSError as error:
            raise _missing(part.name, error.strerror) from None


def _missing(name: str, why: str | None) -> BundleRefused:
    return BundleRefused(f"{name} can't be read: {why}.", code=INCOMPLETE, hint="All files of the bundle belong in one folder.")


class Found(NamedTuple):
    """One member, and its bytes: to be read to the end, where a wrong digest is raised."""

    member: Member
    chunks: Iterator[bytes]


def walk(file: BinaryIO, part: Part, *, skip: Callable[[Member], bool] = lambda member: False) -> Iterator[Found]:
    """The members of a part in order; those to `skip` are passed over unread. Raises BundleRefused for any byte that is not as signed."""
    offset = 0
    for member in part.members:
        head = tar.header(member.path, member.size)
        file.seek(offset)
        _compare(file, head, part)
        if not skip(member):
            chunks = _chunks(file, member)
            yield Found(member, chunks)
            for _ in chunks:
                pass
        offset += len(head) + member.size
        file.seek(offset)
        tail = tar.padding(member.size)
        _compare(file, tail, part)
        offset += len(tail)
    _compare(file, tar.END, part)
    if file.read(1):
        raise damaged(f"The end of {part.name}")


def _compare(file: BinaryIO, expected: bytes, part: Part) -> None:
    if expected and file.read(len(expected)) != expected:
        raise damaged(part.name)


def _chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    found, left = hashlib.sha256(), member.size
    while left:
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise damaged(f"'{member.path}'")
        left -= len(chunk)
        found.update(chunk)
        yield chunk
    if found.hexdigest() != member.sha256:
        raise damaged(f"'{member.path}'")


def read_file(place: Place, manifest: Manifest, path: str) -> bytes:
    """One small file of the bundle, verified. Raises BundleRefused."""
    return b"".join(stream_file(place, manifest, path))


def stream_file(place: Place, manifest: Manifest, path: str) -> Iterator[bytes]:
    """One records file or document of the bundle by its path, in the pieces that the parts hold; each is verified before it is given."""
    for part in manifest.parts:
        if any(member.whole.path == path for member in part.members):
            with place.open_part(part) as file:
                for found in walk(file, part, skip=lambda member: member.whole.path != path):
                    yield b"".join(found.chunks)


class Checked(NamedTuple):
    """What `verify` has read."""

    files: int
    bytes: int


def verify(place: Place, manifest: Manifest, *, progress: Callable[[int], None] = lambda done: None) -> Checked:
    """Read all parts from end to end. Raises BundleRefused for the first byte that is not as signed, and for what is missing."""
    files = done = 0
    whole: hashlib._Hash | None = None
    for part in manifest.parts:
        with place.open_part(part) as file:
            for found in walk(file, part):
                member = found.member
                if member.file and not member.offset:
                    whole = hashlib.sha256()
                for chunk in found.chunks:
                    done += len(chunk)
                    if member.file and whole is not None:
                        whole.update(chunk)
                    progress(done)
                if not member.file or member.offset + member.size == member.file_size:
                    files += 1
                is_last = member.file and member.offset + member.size == member.file_size
                if is_last and whole is not None and whole.hexdigest() != member.file_sha256:
                    raise damaged(f"'{member.file}'")
        _check_digest(place, part)
    return Checked(files, done)


def _check_digest(place: Place, part: Part) -> None:
    """The part's own digest too, which people check by hand; from the page cache, for it was read just now."""
    found = hashlib.sha256()
    with place.open_part(part) as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    if found.hexdigest() != part.sha256:
        raise damaged(part.name)
