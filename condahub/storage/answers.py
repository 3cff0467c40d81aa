"""The answer to a GET or HEAD of some bytes: its status, headers and body; whether Django sends it or WSGI does is another matter."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils.http import content_disposition_header, http_date, quote_etag

from condahub.storage.base import STREAM_BYTES, BlobMissing, BlobStore
from condahub.storage.blobs import blobs
from condahub.storage.conditions import ByteRange, Unsatisfiable, failed_condition, parse_range, range_counts
from condahub.storage.disk import DiskStore

PRESIGNED_SECONDS = 60
# Up to this size a read and a write are cheaper than sendfile.
SMALL_BYTES = 32 * 1024

_ABOUT_CONTENT = frozenset({"Content-Type", "Content-Encoding", "Content-Disposition", "Accept-Ranges"})
# nginx would judge these again, by the file's time and a tag of its own: whoever sends them is answered by this process.
_NGINX_JUDGES = frozenset({"HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"})
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class FilePart:
    """The next `length` bytes of an open file; its number and position are the file's, which is what sendfile uses."""

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


@dataclass(frozen=True, slots=True)
class BytesAnswer:
    """What to send: bytes, a part of a file (to be closed by whoever sends it), or pieces."""

    status: int
    headers: Mapping[str, str]
    body: bytes | FilePart | Iterator[bytes] = b""

    def send(self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
        """Answers a WSGI call, for a door so hot that it does without Django's request and response."""
        start_response(_STATUS_LINES[self.status], list(self.headers.items()))
        if isinstance(self.body, bytes):
            return (self.body,) if self.body else ()
        if isinstance(self.body, FilePart):
            wrapper: Callable[[Any, int], Iterable[bytes]] = environ["wsgi.file_wrapper"]
            return wrapper(self.body, STREAM_BYTES)
        return self.body


@dataclass(frozen=True, slots=True)
class Representation:
    """The bytes as they are offered: how many, and the headers of a 200 (without Content-Length)."""

    size: int
    headers: Mapping[str, str]
    last_modified: int | None = None

    @classmethod
    def of(
        cls,
        size: int,
        *,
        content_type: str,
        etag: str,
        cache_control: str,
        filename: str | None = None,
        last_modified: datetime | None = None,
        headers: Mapping[str, str] | None = None,
        content_encoding: str | None = None,
    ) -> Representation:
        """etag: the opaque tag, quoted or not; filename: makes it an attachment of that name; headers: extra ones, also on 304.

        It may be kept and used for any number of requests.
        """
        head = {
            "Content-Type": content_type,
            "ETag": quote_etag(etag),
            "Cache-Control": cache_control,
            "Accept-Ranges": "bytes",
            # What a tenant uploaded is never guessed to be a page.
            "X-Content-Type-Options": "nosniff",
        }
        modified = int(last_modified.timestamp()) if last_modified is not None else None
        if modified is not None:
            head["Last-Modified"] = http_date(modified)
        if filename is not None:
            head["Content-Disposition"] = content_disposition_header(True, filename) or "attachment"
        if content_encoding is not None:
            head["Content-Encoding"] = content_encoding
        return cls(size, {**head, **(headers or {})}, modified)

    def framed(self, wanted: ByteRange | None) -> dict[str, str]:
        """The headers of a 200, or of a 206 when a range is wanted."""
        if wanted is None:
            return {**self.headers, "Content-Length": str(self.size)}
        return {**self.headers, "Content-Length": str(wanted.length), "Content-Range": wanted.content_range(self.size)}

    def settle(self, meta: Mapping[str, Any]) -> tuple[BytesAnswer | None, ByteRange | None]:
        """Either the answer that needs no bytes (304, 412, 416, a HEAD), or the range to send (None: the whole)."""
        etag = self.headers["ETag"]
        failed = failed_condition(meta, etag=etag, last_modified=self.last_modified)
        if failed == 304:
            return BytesAnswer(304, {name: value for name, value in self.headers.items() if name not in _ABOUT_CONTENT}), None
        if failed is not None:
            return BytesAnswer(failed, {"Content-Length": "0"}), None
        if meta["REQUEST_METHOD"] == "HEAD":
            return BytesAnswer(200, self.framed(None)), None
        asked = meta.get("HTTP_RANGE")
        if asked is None or not range_counts(meta.get("HTTP_IF_RANGE"), etag=etag, last_modified=self.last_modified):
            return None, None
        try:
            return None, parse_range(asked, self.size)
        except Unsatisfiable:
            head = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Range": f"bytes */{self.size}", "Content-Length": "0"}
            return BytesAnswer(416, head), None


def answer_bytes(meta: Mapping[str, Any], data: bytes, what: Representation) -> BytesAnswer:
    """A small answer that is in memory already."""
    settled, wanted = what.settle(meta)
    if settled is not None:
        return settled
    if wanted is None:
        return BytesAnswer(200, what.framed(None), data)
    return BytesAnswer(206, what.framed(wanted), data[wanted.start : wanted.start + wanted.length])


def answer_blob(
    meta: Mapping[str, Any],
    what: Representation,
    *,
    namespace: str,
    sha256: str,
    filename: str | None = None,
    allow_redirect: bool = True,
) -> BytesAnswer:
    """A blob, sent by whom `CONDAHUB_SERVE_MODE` says: this process (sendfile), nginx (accel), or S3 (redirect).

    meta: the request's WSGI environ. Raises BlobMissing (503) when the store has lost it, Unavailable (503) when it does not answer.
    """
    settled, wanted = what.settle(meta)
    if settled is not None:
        return settled
    store = blobs(namespace)
    mode = settings.CONDAHUB_SERVE_MODE or ("sendfile" if isinstance(store, DiskStore) else "redirect")
    if isinstance(store, DiskStore):
        if mode == "accel" and _NGINX_JUDGES.isdisjoint(meta):
            return _accelerated(store, sha256, what)
        return _sent_file(store, sha256, wanted, what)
    if mode == "redirect" and allow_redirect:
        return _redirected(store, sha256, filename, what)
    pieces = store.stream(sha256, start=wanted.start if wanted else 0, length=wanted.length if wanted else None)
    return BytesAnswer(206 if wanted else 200, what.framed(wanted), pieces)


def _sent_file(store: DiskStore, sha256: str, wanted: ByteRange | None, what: Representation) -> BytesAnswer:
    status = 206 if wanted else 200
    start, length = (wanted.start, wanted.length) if wanted else (0, what.size)
    file = store.open_raw(sha256)
    try:
        # A file cut short would break the connection's framing in the middle of an answer.
        if os.fstat(file.fileno()).st_size != what.size:
            raise BlobMissing()
        if length <= SMALL_BYTES:
            data = os.pread(file.fileno(), length, start)
            file.close()
            return BytesAnswer(status, what.framed(wanted), data)
        if start:
            file.seek(start)
        return BytesAnswer(status, what.framed(wanted), FilePart(file, length))
    except BaseException:
        file.close()
        raise


def _accelerated(store: DiskStore, sha256: str, what: Representation) -> BytesAnswer:
    """nginx sends the file and works out the range; it takes our ETag and extra headers from this answer."""
    target = f"{settings.CONDAHUB_ACCEL_PREFIX.rstrip('/')}/{store.name(sha256)}"
    head = {name: value for name, value in what.headers.items() if name != "Accept-Ranges"}
    return BytesAnswer(200, {**head, "X-Accel-Redirect": target, "Content-Length": "0"})


def _redirected(store: BlobStore, sha256: str, filename: str | None, what: Representation) -> BytesAnswer:
    address = store.presigned_url(
        sha256,
        filename=filename,
        content_type=what.headers["Content-Type"],
        seconds=PRESIGNED_SECONDS,
        cache_control=what.headers["Cache-Control"],
    )
    # The address opens the bytes to whoever holds it: no cache may keep it.
    return BytesAnswer(302, {"Location": address or "", "Cache-Control": "private, no-store", "Content-Length": "0"})
