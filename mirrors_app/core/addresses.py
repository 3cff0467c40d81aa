"""Addresses of upstreams put together: those in buckets are read as all others are."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

_S3, _HTTP = "s3:", "http:"


def joined(base: str, reference: str) -> str:
    """`reference` as it is meant at `base` (RFC 3986), which may be an s3: address. Raises ValueError as urljoin does."""
    if not base.startswith(_S3) or urlsplit(reference).scheme:
        return urljoin(base, reference)
    # urljoin knows schemes by name, and not this one.
    return _S3 + urljoin(_HTTP + base.removeprefix(_S3), reference).removeprefix(_HTTP)
