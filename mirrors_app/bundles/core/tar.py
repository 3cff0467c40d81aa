"""Plain tar, one spelling of it: from a list of names and sizes follows every byte that is not a member's own.

POSIX ustar (IEEE 1003.1-1988) with a pax header (IEEE 1003.1-2001) before a name that has no room in it. Regular files only,
mode 0644, owner 0, time 0; so whoever reads a part need not parse tar, but compares it with what it must be.
"""

from __future__ import annotations

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
NAME_BYTES = 100
MAX_MEMBER_BYTES = 8**11 - 1
PAX_NAME = "./PaxHeaders/path"


def header(path: str, size: int) -> bytes:
    """What stands before a member's bytes. path: ASCII; size: in bytes, below 8 GiB."""
    if len(path) <= NAME_BYTES:
        return _ustar(path, size, b"0")
    record = _pax_record("path", path)
    return _ustar(PAX_NAME, len(record), b"x") + record + padding(len(record)) + _ustar(path[:NAME_BYTES], size, b"0")


def padding(size: int) -> bytes:
    """What follows a member's bytes."""
    return bytes(-size % BLOCK_BYTES)


def entry_bytes(path: str, size: int) -> int:
    """How much room a member takes in all."""
    return len(header(path, 0)) + size + -size % BLOCK_BYTES


def _ustar(name: str, size: int, kind: bytes) -> bytes:
    if size > MAX_MEMBER_BYTES:
        raise ValueError("a member of a part must be smaller than 8 GiB")
    block = bytearray(BLOCK_BYTES)
    encoded = name.encode("ascii")
    block[0 : len(encoded)] = encoded
    block[100:108] = b"0000644\0"
    block[108:116] = b"0000000\0"
    block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _pax_record(key: str, value: str) -> bytes:
    """`<length> <key>=<value>\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return f"{length} {key}={value}\n".encode("ascii")
