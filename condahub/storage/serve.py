"""Answers with a blob's bytes: conditions, one range, and whoever sends them (sendfile, nginx, S3), never Django."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, http_date, quote_etag

from condahub.storage.base import STREAM_BYTES, BlobMissing, BlobStore
from condahub.storage.blobs import blobs
from condahub.storage.disk import DiskStore
from condahub.storage.ranges import ByteRange, Unsatisfiable, parse_range, range_counts

PRESIGNED_SECONDS = 60
# Up to this size a read and a write are cheaper than sendfile.
SMALL_BYTES = 32 * 1024
_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE")
_ABOUT_CONTENT = frozenset({"Content-Type", "Content-Encoding", "Content-Disposition", "Accept-Ranges"})


def serve_blob(
    request: HttpRequest,
    *,
    namespace: str,
    sha256: str,
    size: int,
    content_type: str,
    etag: str,
    cache_control: str,
    filename: str | None = None,
    last_modified: datetime | None = None,
    headers: Mapping[str, str] | None = None,
    content_encoding: str | None = None,
    allow_redirect: bool = True,
) -> HttpResponseBase:
    """The answer to a GET or HEAD of one blob (RFC 9110): 200, 206, 304, 412, 416, or a 302 to S3.

    size: the recorded bytes; etag: the opaque tag, quoted or not; filename: makes it an attachment of that name; headers: extra ones,
    also on 304; allow_redirect: False streams the bytes of a small file from S3 through the hub, so that the client keeps our ETag.
    Raises BlobMissing (503) when the store has lost it, Unavailable (503) when the store does not answer.
    """
    head = _headers(content_type, etag, cache_control, filename, last_modified, headers, content_encoding)
    settled, wanted = _settle(request, size, head, last_modified)
    if settled is not None:
        return settled
    store = blobs(namespace)
    if request.method == "HEAD":
        return HttpResponse(headers=_framed(head, size, None))
    mode = settings.CONDAHUB_SERVE_MODE or ("sendfile" if isinstance(store, DiskStore) else "redirect")
    if isinstance(store, DiskStore):
        if mode == "accel":
            return _accelerated(store, sha256, head)
        return _sent_file(store, sha256, size, wanted, head)
    if mode == "redirect" and allow_redirect:
        return _redirected(store, sha256, filename, content_type, cache_control)
    return _streamed(store, sha256, size, wanted, head)


def serve_bytes(
    request: HttpRequest,
    data: bytes,
    *,
    content_type: str,
    etag: str,
    cache_control: str,
    filename: str | None = None,
    last_modified: datetime | None = None,
    headers: Mapping[str, str] | None = None,
    content_encoding: str | None = None,
) -> HttpResponseBase:
    """As `serve_blob`, for a small answer that is in memory already."""
    head = _headers(content_type, etag, cache_control, filename, last_modified, headers, content_encoding)
    settled, wanted = _settle(request, len(data), head, last_modified)
    if settled is not None:
        return settled
    if request.method == "HEAD":
        return HttpResponse(headers=_framed(head, len(data), None))
    body = data if wanted is None else data[wanted.start : wanted.start + wanted.length]
    return HttpResponse(body, status=206 if wanted else 200, headers=_framed(head, len(data), wanted))


class BlobResponse(FileResponse):
    """A FileResponse whose headers are settled already: it neither guesses a name nor seeks to the file's end."""

    block_size = STREAM_BYTES

    def set_headers(self, filelike: Any) -> None:
        return None


def _headers(
    content_type: str,
    etag: str,
    cache_control: str,
    filename: str | None,
    last_modified: datetime | None,
    extra: Mapping[str, str] | None,
    content_encoding: str | None,
) -> dict[str, str]:
    head = {
        "Content-Type": content_type,
        "ETag": quote_etag(etag),
        "Cache-Control": cache_control,
        "Accept-Ranges": "bytes",
        # What a tenant uploaded is never guessed to be a page.
        "X-Content-Type-Options": "nosniff",
    }
    if last_modified is not None:
        head["Last-Modified"] = http_date(last_modified.timestamp())
    if filename is not None:
        head["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
    if content_encoding is not None:
        head["Content-Encoding"] = content_encoding
    if extra:
        head.update(extra)
    return head


def _framed(head: dict[str, str], size: int, wanted: ByteRange | None) -> dict[str, str]:
    """The headers of a 200, or of a 206 when a range is wanted."""
    if wanted is None:
        return {**head, "Content-Length": str(size)}
    return {**head, "Content-Length": str(wanted.length), "Content-Range": wanted.content_range(size)}


def _settle(
    request: HttpRequest, size: int, head: dict[str, str], last_modified: datetime | None
) -> tuple[HttpResponseBase | None, ByteRange | None]:
    """Either the answer that a condition or a range past the end asks for, or the range to send (None: the whole)."""
    meta = request.META
    modified = int(last_modified.timestamp()) if last_modified is not None else None
    if any(name in meta for name in _CONDITIONS):
        plain = HttpResponse(headers=head)
        settled = get_conditional_response(request, etag=head["ETag"], last_modified=modified, response=plain)
        if settled is not plain and settled is not None:
            if settled.status_code == 304:
                for name in head.keys() - _ABOUT_CONTENT:
                    settled.headers[name] = head[name]
            else:
                settled.headers["Content-Length"] = "0"
            return settled, None
    asked = meta.get("HTTP_RANGE")
    if asked is None or request.method != "GET" or not range_counts(meta.get("HTTP_IF_RANGE"), etag=head["ETag"], last_modified=modified):
        return None, None
    try:
        return None, parse_range(asked, size)
    except Unsatisfiable:
        kept = {name: head[name] for name in ("ETag", "Accept-Ranges")}
        return HttpResponse(status=416, headers={**kept, "Content-Range": f"bytes */{size}", "Content-Length": "0"}), None


def _sent_file(store: DiskStore, sha256: str, size: int, wanted: ByteRange | None, head: dict[str, str]) -> HttpResponseBase:
    file = store.open_raw(sha256)
    start, length = (wanted.start, wanted.length) if wanted else (0, size)
    try:
        # A file cut short would break the connection's framing in the middle of an answer.
        if os.fstat(file.fileno()).st_size != size:
            raise BlobMissing()
        if length <= SMALL_BYTES:
            data = os.pread(file.fileno(), length, start)
            file.close()
            return HttpResponse(data, status=206 if wanted else 200, headers=_framed(head, size, wanted))
        if start:
            file.seek(start)
        if wanted is not None and wanted.start + wanted.length != size:
            return _bounded(file, size, wanted, head)
        return BlobResponse(file, status=206 if wanted else 200, headers=_framed(head, size, wanted))
    except BaseException:
        file.close()
        raise


def _bounded(file: io.FileIO, size: int, wanted: ByteRange, head: dict[str, str]) -> HttpResponseBase:
    """A range that ends before the file does: exactly its bytes, also where nobody counts them (a server without sendfile)."""
    return BlobResponse(_Slice(file, wanted.length), status=206, headers=_framed(head, size, wanted))


class _Slice:
    """The next `length` bytes of a file; its number and position are the file's, which is what sendfile uses."""

    def __init__(self, file: io.FileIO, length: int) -> None:
        self._file = file
        self._left = length
        self.fileno = file.fileno
        self.seek = file.seek
        self.tell = file.tell
        self.close = file.close

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece


def _accelerated(store: DiskStore, sha256: str, head: dict[str, str]) -> HttpResponseBase:
    """nginx sends the file and works out the range; it takes our ETag and extra headers from this answer."""
    target = f"{settings.CONDAHUB_ACCEL_PREFIX.rstrip('/')}/{store.name(sha256)}"
    return HttpResponse(headers={**head, "X-Accel-Redirect": target, "Content-Length": "0"})


def _redirected(store: BlobStore, sha256: str, filename: str | None, content_type: str, cache_control: str) -> HttpResponseBase:
    address = store.presigned_url(
        sha256, filename=filename, content_type=content_type, seconds=PRESIGNED_SECONDS, cache_control=cache_control
    )
    # The address opens the bytes to whoever holds it: no cache may keep it.
    return HttpResponse(status=302, headers={"Location": address or "", "Cache-Control": "private, no-store", "Content-Length": "0"})


def _streamed(store: BlobStore, sha256: str, size: int, wanted: ByteRange | None, head: dict[str, str]) -> HttpResponseBase:
    pieces = store.stream(sha256, start=wanted.start if wanted else 0, length=wanted.length if wanted else None)
    return StreamingHttpResponse(pieces, status=206 if wanted else 200, headers=_framed(head, size, wanted))


__all__ = ["PRESIGNED_SECONDS", "BlobResponse", "serve_blob", "serve_bytes"]
