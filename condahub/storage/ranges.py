"""Which bytes a request asks for: the one Range of RFC 9110 section 14, and whether If-Range lets it count."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.http import parse_http_date_safe

_ONE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*", re.IGNORECASE)
# Longer than any size in bytes: more digits than these need not be counted.
_MOST_DIGITS = 20


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`; inside the whole, and never empty."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of Content-Range in a 206."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class Unsatisfiable(Exception):
    """No byte of the whole lies in the range (416)."""


def parse_range(value: str, size: int) -> ByteRange | None:
    """The range that a Range header asks of `size` bytes; None means the whole.

    What is malformed, of another unit, or more than one range gives the whole, as RFC 9110 section 14.2 allows.
    Raises Unsatisfiable when the range lies past the end or asks for the last 0 bytes.
    """
    match = _ONE_RANGE.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    first, last = (_number(digits) for digits in match.groups())
    if first is None:
        if last is None:
            return None
        if last == 0:
            raise Unsatisfiable
        length = min(last, size)
        return ByteRange(size - length, length) if length else None
    if last is not None and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return ByteRange(first, (size if last is None else min(last + 1, size)) - first)


def range_counts(if_range: str | None, *, etag: str, last_modified: int | None) -> bool:
    """Whether a Range counts under If-Range (RFC 9110 section 13.1.5): a strong ETag that is ours, or exactly our date.

    etag: ours, quoted; last_modified: ours, in whole seconds since the epoch.
    """
    if if_range is None:
        return True
    if_range = if_range.strip(" \t")
    if if_range.startswith(('"', "W/")):
        return if_range == etag and not etag.startswith("W/")
    return last_modified is not None and parse_http_date_safe(if_range) == last_modified


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0")[: _MOST_DIGITS + 1]
    return int(digits or "0")
