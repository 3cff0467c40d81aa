"""Writes parts: the one tar that a plan gives, hashed while it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol

from condahub.errors import HubError
from mirrors_app.bundles.core import tar
from mirrors_app.bundles.core.layout import BundleFile, PartPlan, Piece
from mirrors_app.bundles.core.manifest import Member, Part


class SourceChanged(HubError):
    """Bytes that are to be carried are not what was recorded of them; nothing was exported (409)."""

    code = "source_damaged"
    status = 409
    hint = "The operator examines the store with: condahub admin verify"


class Source(Protocol):
    """Where the bytes of files come from."""

    def read(self, file: BundleFile, offset: int, length: int) -> Iterator[bytes]: ...


def write_part(plan: PartPlan, source: Source, write: Callable[[bytes], object], *, check: Callable[[], None] = lambda: None) -> Part:
    """Give `write` every byte of the part; what the manifest says of it. check: called between pieces, may raise.

    Raises SourceChanged when a file that is whole in this part has other bytes than its digest names.
    """
    whole = hashlib.sha256()
    members = []

    def put(data: bytes) -> None:
        whole.update(data)
        write(data)

    for piece in plan.pieces:
        put(tar.header(piece.path, piece.size))
        members.append(_member(piece, _copy(piece, source, put, check)))
        put(tar.padding(piece.size))
    put(tar.END)
    return Part(name=plan.name, size=plan.size, sha256=whole.hexdigest(), members=members)


def _copy(piece: Piece, source: Source, put: Callable[[bytes], None], check: Callable[[], None]) -> str:
    found, left = hashlib.sha256(), piece.size
    for chunk in source.read(piece.file, piece.offset, piece.size):
        check()
        left -= len(chunk)
        if left < 0:
            break
        found.update(chunk)
        put(chunk)
    if left or (piece.is_whole and found.hexdigest() != piece.file.sha256):
        raise SourceChanged(f"The bytes of '{piece.file.path}' are not what was recorded of them.")
    return found.hexdigest()


def _member(piece: Piece, sha256: str) -> Member:
    if piece.is_whole:
        return Member(path=piece.path, size=piece.size, sha256=sha256)
    file = piece.file
    return Member(
        path=piece.path, size=piece.size, sha256=sha256, file=file.path, offset=piece.offset, file_size=file.size, file_sha256=file.sha256
    )
