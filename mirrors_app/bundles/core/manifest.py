"""The manifest: the signed document that names every byte of a bundle, what it brings, and what it stands on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from condahub.errors import HubError
from condahub.packages.names import check_subdir, split_filename
from mirrors_app.bundles.core import canonical, tar
from mirrors_app.bundles.core.errors import VERSION, BundleRefused, malformed
from mirrors_app.bundles.core.layout import MAX_PART_BYTES, BundleFile, part_name

FORMAT = "condahub-bundle"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_MANIFEST_BYTES = 512 * 1024**2
RECORDS, PACKAGES, DOCUMENTS = "records/", "packages/", "documents/"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Printable ASCII without what a shell, a path or Windows reads something into.
_PATH = re.compile(r"(?:[A-Za-z0-9_!+~=-][A-Za-z0-9_.!+~=-]*/){1,4}[A-Za-z0-9_!+~=-][A-Za-z0-9_.!+~=-]*")
MAX_PATH_CHARS = 400
# Of a records file or a document, which is read into memory; a package is not.
MAX_TEXT_BYTES = 256 * 1024**2

Kind = Literal["channel", "environment"]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Subject(_Strict, frozen=True, kw_only=True):
    """What is carried. stream: a random name that stays the same for every bundle of this channel or environment."""

    kind: Kind
    name: str
    stream: str


class Pointer(_Strict, frozen=True, kw_only=True):
    """One state of the subject. revision: its number there; state: a digest of all that it shows, hex."""

    revision: int
    state: str


class Signer(_Strict, frozen=True, kw_only=True):
    """Who signs. key: the Ed25519 public key, 32 bytes, hex."""

    key: str
    name: str


class Counts(_Strict, frozen=True, kw_only=True):
    """put: records that are new or changed; take: files that are gone; packages and bytes: of those in the parts; left_out: files of
    the revision that may not be given out (policy, quarantine)."""

    put: int = 0
    take: int = 0
    packages: int = 0
    bytes: int = 0
    left_out: int = 0


class Gone(_Strict, frozen=True, kw_only=True):
    """A file that the base showed and this state does not."""

    subdir: str
    filename: str


class Member(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """One member of a part; with `file`, it is `size` bytes of that file from `offset`, and file_size and file_sha256 are the whole's."""

    path: str
    size: int
    sha256: str
    file: str = ""
    offset: int = 0
    file_size: int = 0
    file_sha256: str = ""

    @property
    def whole(self) -> BundleFile:
        """The file that it is, or is a piece of."""
        return BundleFile(self.file, self.file_size, self.file_sha256) if self.file else BundleFile(self.path, self.size, self.sha256)


class Part(_Strict, frozen=True, kw_only=True):
    """One tar file."""

    name: str
    size: int
    sha256: str
    members: list[Member]


class Manifest(_Strict, frozen=True, kw_only=True, rename={"base": "from", "head": "to"}):
    """base: what the importer must have, None for all of it; head: what it has then; previous: sha256 of the manifest that brought base.

    sequence: grows with each bundle of the stream; takes: of a difference; rotations: how the signer's key came to be (see keys).
    """

    format: str
    version: int
    made_at: str
    made_by: str
    subject: Subject
    sequence: int
    base: Pointer | None
    head: Pointer
    previous: str | None
    counts: Counts
    takes: list[Gone]
    parts: list[Part]
    signer: Signer
    rotations: list[dict[str, Any]]

    def to_bytes(self) -> bytes:
        """Canonical."""
        return canonical.encode(msgspec.to_builtins(self))

    def members(self) -> Iterator[Member]:
        for part in self.parts:
            yield from part.members

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)


def digest(raw: bytes) -> str:
    """The name of a manifest: sha256 of its bytes, hex."""
    return hashlib.sha256(raw).hexdigest()


def read_manifest(raw: bytes) -> Manifest:
    """The manifest of these bytes, checked in itself; whether it is signed is for `keys` to say. Raises BundleRefused."""
    try:
        table = canonical.decode(raw)
    except ValueError as error:
        raise malformed(f"The manifest can't be read: {str(error)[:120]}.") from None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise malformed("This is no manifest of a bundle.")
    if table.get("version") != FORMAT_VERSION:
        said = str(table.get("version"))[:20]
        raise BundleRefused(f"The bundle has version {said} of the format; this condahub reads {FORMAT_VERSION}.", code=VERSION, hint="")
    try:
        manifest = msgspec.convert(table, Manifest)
    except msgspec.ValidationError as error:
        raise malformed(f"The manifest is not right: {str(error)[:200]}.") from None
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    digests = [manifest.head.state, manifest.signer.key, *(part.sha256 for part in manifest.parts)]
    digests += [manifest.previous] if manifest.previous is not None else []
    digests += [manifest.base.state] if manifest.base is not None else []
    if not all(_SHA256.fullmatch(one) for one in digests):
        raise malformed("The manifest holds a digest that is none.")
    if min(manifest.sequence, manifest.head.revision, manifest.base.revision if manifest.base else 0) < 0:
        raise malformed("The manifest holds a negative number.")
    if manifest.base is None and manifest.takes:
        raise malformed("The manifest takes files away from nothing.")
    for number, part in enumerate(manifest.parts, start=1):
        if part.name != part_name(number):
            raise malformed("The parts are not numbered in order.")
        _check_part(part)
    _check_files(manifest)
    for gone in manifest.takes:
        _check_name(gone.subdir, gone.filename)


def _check_part(part: Part) -> None:
    size = len(tar.END)
    for member in part.members:
        if len(member.path) > MAX_PATH_CHARS or _PATH.fullmatch(member.path) is None:
            raise malformed("A member has a name that is no plain path.")
        if not 0 <= member.size <= MAX_PART_BYTES or member.offset < 0 or member.file_size < 0:
            raise malformed(f"'{member.path}' has a size that can't be.")
        if _SHA256.fullmatch(member.sha256) is None or (member.file and _SHA256.fullmatch(member.file_sha256) is None):
            raise malformed("The manifest holds a digest that is none.")
        size += tar.entry_bytes(member.path, member.size)
    if size != part.size:
        raise malformed(f"The size of {part.name} is not that of its members.")


def _check_files(manifest: Manifest) -> None:
    """Every name once, pieces whole and in order, and every path one of the three kinds."""
    seen: set[str] = set()
    piece: BundleFile | None = None
    reached = 0
    for member in manifest.members():
        if member.path in seen:
            raise malformed(f"'{member.path}' is there twice.")
        seen.add(member.path)
        whole = member.whole
        if piece is not None and (whole != piece or member.offset != reached):
            raise malformed(f"'{piece.path}' has a piece missing.")
        if member.file and piece is None and (member.offset or whole.path in seen or not member.path.startswith(member.file + ".piece-")):
            raise malformed(f"'{member.path}' is no piece of a file.")
        reached = member.offset + member.size
        piece = whole if member.file and reached < whole.size else None
        if reached > whole.size or (member.file and not member.size):
            raise malformed(f"'{whole.path}' has pieces that do not fit.")
        if piece is None:
            seen.add(whole.path)
            _check_kind(whole)
    if piece is not None:
        raise malformed(f"'{piece.path}' has a piece missing.")


def _check_kind(file: BundleFile) -> None:
    path = file.path
    if path.startswith(PACKAGES):
        subdir, slash, filename = path.removeprefix(PACKAGES).partition("/")
        if not slash:
            raise malformed("A package lies in no subdir.")
        _check_name(subdir, filename)
    elif not path.startswith((RECORDS, DOCUMENTS)):
        raise malformed(f"'{path}' is no part of a bundle.")
    elif file.size > MAX_TEXT_BYTES:
        raise malformed(f"'{path}' is far too large.")


def _check_name(subdir: str, filename: str) -> None:
    try:
        check_subdir(subdir)
        split_filename(filename)
    except HubError as error:
        raise malformed(error.detail) from None
