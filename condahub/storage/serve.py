"""Django's answers with bytes: conditions, one range, and whoever sends them (sendfile, nginx, S3), never Django itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from condahub.storage.answers import BytesAnswer, FilePart, Representation, answer_blob, answer_bytes
from condahub.storage.base import STREAM_BYTES


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
    what = Representation.of(
        size,
        content_type=content_type,
        etag=etag,
        cache_control=cache_control,
        filename=filename,
        last_modified=last_modified,
        headers=headers,
        content_encoding=content_encoding,
    )
    return as_response(
        answer_blob(request.META, what, namespace=namespace, sha256=sha256, filename=filename, allow_redirect=allow_redirect)
    )


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
    what = Representation.of(
        len(data),
        content_type=content_type,
        etag=etag,
        cache_control=cache_control,
        filename=filename,
        last_modified=last_modified,
        headers=headers,
        content_encoding=content_encoding,
    )
    return as_response(answer_bytes(request.META, data, what))


class BlobResponse(FileResponse):
    """A FileResponse whose headers are settled already: it neither guesses a name nor seeks to the file's end."""

    block_size = STREAM_BYTES

    def set_headers(self, filelike: Any) -> None:
        return None


def as_response(answer: BytesAnswer) -> HttpResponseBase:
    """The answer as Django sends it."""
    if isinstance(answer.body, FilePart):
        return BlobResponse(answer.body, status=answer.status, headers=dict(answer.headers))
    if isinstance(answer.body, bytes):
        response = HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
        if "Content-Type" not in answer.headers:
            # Django would call an empty body a page.
            del response.headers["Content-Type"]
        return response
    return StreamingHttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
