"""What a request's headers ask of a representation: its conditions (RFC 9110 section 13) and the one Range (section 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.http import parse_etags, parse_http_date_safe

_ONE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)[ \t]*-[ \t]*([0-9]*)[ \t]*", re.IGNORECASE)
# Longer than any size in bytes: more digits than these need not be counted.
_MOST_DIGITS = 20


_CONDITIONS = frozenset({"HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"})


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


def failed_condition(meta: Mapping[str, Any], *, etag: str, last_modified: int | None) -> int | None:
    """The status that a condition of a GET or HEAD asks for, 304 or 412, in the order of RFC 9110 section 13.2.2; None to go on.

    meta: the request's headers as in a WSGI environ; etag: ours, quoted; last_modified: ours, in whole seconds since the epoch.
    """
    if _CONDITIONS.isdisjoint(meta):
        return None
    if wanted := parse_etags(meta.get("HTTP_IF_MATCH", "")):
        if wanted != ["*"] and (etag.startswith("W/") or etag not in wanted):
            return 412
    elif (since := _date(meta, "HTTP_IF_UNMODIFIED_SINCE")) is not None and (last_modified is None or last_modified > since):
        return 412
    if known := parse_etags(meta.get("HTTP_IF_NONE_MATCH", "")):
        weak = etag.removeprefix("W/")
        return 304 if known == ["*"] or any(tag.removeprefix("W/") == weak for tag in known) else None
    since = _date(meta, "HTTP_IF_MODIFIED_SINCE")
    return 304 if since is not None and last_modified is not None and last_modified <= since else None


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


def _date(meta: Mapping[str, Any], name: str) -> int | None:
    value = meta.get(name)
    return parse_http_date_safe(value) if value else None


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0")[: _MOST_DIGITS + 1]
    return int(digits or "0")
