"""The zip around a .conda: strictly one layout, so that a client that streams it and one that seeks in it see the same."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from condahub.packages.errors import PackageAmbiguous, PackageDamaged, PackageNotConda, PackageTruncated, PackageWrongType, shown
from condahub.packages.streams import ByteRange

ZIP_MAGIC = b"PK\x03\x04"
BZIP2_MAGIC = b"BZh"

# APPNOTE.TXT 6.3.10, 4.3: the fixed parts of the records.
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
END_RECORD = struct.Struct("<4s4H2LH")
ZIP64_LOCATOR = struct.Struct("<4sLQL")
ZIP64_END_RECORD = struct.Struct("<4sQ2H2L4Q")
END_MAGIC, ZIP64_LOCATOR_MAGIC, ZIP64_END_MAGIC = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
ZIP64_EXTRA_ID = 1
FULL_16, FULL_32 = 0xFFFF, 0xFFFFFFFF
UTF8_NAME_FLAG = 0x800
MAX_ENTRIES = 3
MAX_DIRECTORY_BYTES = 64 * 1024
MAX_COMMENT_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Part:
    """A stored member of the zip: where its bytes lie in the file, and their CRC-32."""

    name: str
    start: int
    size: int
    crc32: int

    def open(self, file: BinaryIO) -> ByteRange:
        return ByteRange(file, self.start, self.size)


def check_magic(file: BinaryIO, extension: str) -> None:
    """Refuse bytes that don't begin as the extension promises."""
    head = file.read(4)
    file.seek(0)
    if not head:
        raise PackageTruncated("The file is empty.")
    if extension == ".conda" and head != ZIP_MAGIC:
        raise PackageWrongType("The file is called .conda but is not a zip archive.")
    if extension == ".tar.bz2" and not head.startswith(BZIP2_MAGIC):
        raise PackageWrongType("The file is called .tar.bz2 but is not compressed with bzip2.")


def zip_parts(file: BinaryIO, size: int) -> list[Part]:
    """The members of the zip in the order they lie in the file.

    Refuses anything but stored members back to back from byte 0, their directory right after them, and nothing more:
    no comment, no gap, no member that only one of the two places names.
    """
    directory_at = _directory_start(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError) as error:
        raise PackageDamaged(f"The zip directory is broken: {shown(str(error))}.") from error
    parts, at = [], 0
    for entry in entries:
        part = _part(file, entry, at)
        parts.append(part)
        at = part.start + part.size
    if at != directory_at:
        raise PackageAmbiguous("The zip archive holds bytes that belong to no member.")
    names = [part.name for part in parts]
    if len(set(names)) != len(names):
        raise PackageAmbiguous("The zip archive holds a member twice.")
    return parts


def _directory_start(file: BinaryIO, size: int) -> int:
    if size < END_RECORD.size:
        raise PackageTruncated("The zip archive ends too early.")
    file.seek(size - END_RECORD.size)
    magic, disk, start_disk, here, entries, length, start, comment = END_RECORD.unpack(file.read(END_RECORD.size))
    if magic != END_MAGIC or comment:
        raise _no_end_record(file, size)
    end = size - END_RECORD.size
    wide = _zip64_end(file, end)
    if wide is not None:
        narrow, fulls = (here, entries, length, start), (FULL_16, FULL_16, FULL_32, FULL_32)
        end, here, entries, length, start = wide
        if any(a not in (full, b) for a, b, full in zip(narrow, wide[1:], fulls, strict=True)):
            raise PackageAmbiguous("The zip archive has two ends that disagree.")
    if disk or start_disk or here != entries:
        raise PackageNotConda("The zip archive is one of several volumes.")
    if entries > MAX_ENTRIES or length > MAX_DIRECTORY_BYTES:
        raise PackageNotConda(f"The zip archive holds more than its {MAX_ENTRIES} members.")
    if start + length != end:
        raise PackageAmbiguous("The zip archive does not end where its directory says.")
    return int(start)


def _no_end_record(file: BinaryIO, size: int) -> PackageTruncated | PackageAmbiguous:
    tail = min(size, END_RECORD.size + MAX_COMMENT_BYTES)
    file.seek(size - tail)
    found = file.read(tail).rfind(END_MAGIC)
    if 0 <= found <= tail - END_RECORD.size:
        return PackageAmbiguous("Something follows the end of the zip archive.")
    return PackageTruncated("The zip archive ends too early.")


def _zip64_end(file: BinaryIO, end: int) -> tuple[int, int, int, int, int] | None:
    """Where the zip64 record lies and what it says; some readers use it whenever it is there, so this one does."""
    record_at = end - ZIP64_LOCATOR.size - ZIP64_END_RECORD.size
    file.seek(max(0, end - ZIP64_LOCATOR.size))
    if file.read(4) != ZIP64_LOCATOR_MAGIC:
        return None
    if record_at < 0:
        raise PackageDamaged("The zip archive has a broken end.")
    file.seek(record_at)
    magic, length, _, _, disk, start_disk, here, entries, directory_bytes, start = ZIP64_END_RECORD.unpack(file.read(ZIP64_END_RECORD.size))
    locator_magic, locator_disk, located_at, disks = ZIP64_LOCATOR.unpack(file.read(ZIP64_LOCATOR.size))
    if magic != ZIP64_END_MAGIC or locator_magic != ZIP64_LOCATOR_MAGIC or length != ZIP64_END_RECORD.size - 12:
        raise PackageDamaged("The zip archive has a broken end.")
    if located_at != record_at or disk or start_disk or locator_disk or disks > 1:
        raise PackageAmbiguous("The zip archive does not end where its directory says.")
    return record_at, here, entries, directory_bytes, start


def _part(file: BinaryIO, entry: zipfile.ZipInfo, at: int) -> Part:
    name = entry.orig_filename
    if entry.header_offset != at:
        raise PackageAmbiguous("The zip archive holds bytes that belong to no member, or members that overlap.")
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ~UTF8_NAME_FLAG:
        raise PackageNotConda(f"'{shown(name)}' in the zip archive is compressed, encrypted or streamed; it must be stored as it is.")
    file.seek(at)
    head = file.read(LOCAL_HEADER.size)
    if len(head) != LOCAL_HEADER.size:
        raise PackageTruncated("The zip archive ends too early.")
    magic, _, flags, method, _, _, crc32, packed, unpacked, name_bytes, extra_bytes = LOCAL_HEADER.unpack(head)
    raw_name, extra = file.read(name_bytes), file.read(extra_bytes)
    if FULL_32 in (packed, unpacked):
        unpacked, packed = _zip64_sizes(extra)
    same = (ZIP_MAGIC, entry.flag_bits, zipfile.ZIP_STORED, entry.CRC, entry.file_size, entry.file_size)
    codec = "utf-8" if flags & UTF8_NAME_FLAG else "cp437"
    if (magic, flags, method, crc32, packed, unpacked) != same or raw_name != name.encode(codec, "replace"):
        raise PackageAmbiguous(f"The zip archive describes '{shown(name)}' in two ways.")
    if entry.compress_size != entry.file_size:
        raise PackageAmbiguous(f"The zip archive gives '{shown(name)}' two sizes.")
    return Part(name, at + LOCAL_HEADER.size + name_bytes + extra_bytes, entry.file_size, entry.CRC)


def _zip64_sizes(extra: bytes) -> tuple[int, int]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == ZIP64_EXTRA_ID and length >= 16 and at + 20 <= len(extra):
            unpacked, packed = struct.unpack_from("<QQ", extra, at + 4)
            return unpacked, packed
        at += 4 + length
    raise PackageDamaged("The zip archive has a broken member header.")
