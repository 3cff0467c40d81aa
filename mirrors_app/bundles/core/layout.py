"""Which files go into which part: in the order given, no part larger than the bound, a file that is larger cut into pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from condahub.errors import Unprocessable
from mirrors_app.bundles.core import tar

# The largest file that FAT32 holds is one byte smaller than 4 GiB; sticks come formatted with it.
DEFAULT_PART_BYTES = 4 * 10**9
MIN_PART_BYTES = 64 * 1024
MAX_PART_BYTES = 8 * 10**9
MAX_PIECES = 99_999


class BundleFile(NamedTuple):
    """One file that a bundle carries. sha256: of its bytes, lower-case hex."""

    path: str
    size: int
    sha256: str


class Piece(NamedTuple):
    """A member of a part: a whole file, or `size` bytes of it from `offset`. path: the member's own name."""

    path: str
    size: int
    file: BundleFile
    offset: int = 0

    @property
    def is_whole(self) -> bool:
        return self.path == self.file.path


class PartPlan(NamedTuple):
    """One part before it is written: its members in order, and its size in bytes."""

    number: int
    pieces: tuple[Piece, ...]
    size: int

    @property
    def name(self) -> str:
        return part_name(self.number)


def part_name(number: int) -> str:
    return f"part-{number:04d}.tar"


def check_part_bytes(part_bytes: int) -> None:
    """Raises Unprocessable for a bound that no part can keep."""
    if not MIN_PART_BYTES <= part_bytes <= MAX_PART_BYTES:
        raise Unprocessable(
            f"A part has between {MIN_PART_BYTES:,} and {MAX_PART_BYTES:,} bytes.",
            code="bad_part_bytes",
            hint=f"Leave it out for {DEFAULT_PART_BYTES:,}, which every file system holds.",
        )


def lay_out(files: Iterable[BundleFile], *, part_bytes: int) -> Iterator[PartPlan]:
    """The parts; the same files and bound give the same parts. Raises Unprocessable."""
    check_part_bytes(part_bytes)
    number, pieces, size = 1, list[Piece](), len(tar.END)
    for file in files:
        for piece in _pieces(file, part_bytes):
            added = tar.entry_bytes(piece.path, piece.size)
            if pieces and size + added > part_bytes:
                yield PartPlan(number, tuple(pieces), size)
                number, pieces, size = number + 1, [], len(tar.END)
            pieces.append(piece)
            size += added
    if pieces:
        yield PartPlan(number, tuple(pieces), size)


def _pieces(file: BundleFile, part_bytes: int) -> Iterator[Piece]:
    if tar.entry_bytes(file.path, file.size) + len(tar.END) <= part_bytes:
        yield Piece(file.path, file.size, file)
        return
    overhead = len(tar.header(_piece_path(file.path, MAX_PIECES, MAX_PIECES), 0)) + len(tar.END)
    room = (part_bytes - overhead) // tar.BLOCK_BYTES * tar.BLOCK_BYTES
    count = -(-file.size // room)
    if count > MAX_PIECES:
        raise Unprocessable(f"'{file.path}' would take more than {MAX_PIECES:,} parts.", code="bad_part_bytes", hint="Give a larger bound.")
    for number in range(count):
        offset = number * room
        yield Piece(_piece_path(file.path, number + 1, count), min(room, file.size - offset), file, offset)


def _piece_path(path: str, number: int, count: int) -> str:
    """`cat <path>.piece-*` puts them together in order."""
    return f"{path}.piece-{number:05d}-of-{count:05d}"
