"""Reads an upload's body straight from the socket, chunked or not, and says clearly when it did not come whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousMultipartForm, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.http import parse_header_parameters
from gunicorn.http.errors import NoMoreData, ParseException

from condahub.errors import Invalid, TooLarge
from condahub.storage.base import BlobStore
from condahub.storage.temporary import TemporaryBlob

CHUNK_BYTES = 1024**2
# Django's multipart parser wants a length; a chunked body has none.
UNKNOWN_LENGTH_BYTES = 2**62
# The closing boundary lies in the last bytes of a body.
TAIL_BYTES = 4096


class Body:
    """The body of one request as a file that can be read once. Never touches request.body, POST or FILES.

    Raises TooLarge (413), and Invalid with the codes `body_short` (400), `body_broken` (400), `body_timeout` (408) and
    `length_required` (411).
    """

    def __init__(self, request: HttpRequest, *, limit_bytes: int | None = None) -> None:
        environ = request.META
        self._stream = environ["wsgi.input"]
        self.expected_bytes = _content_length(environ)
        self.received_bytes = 0
        self.tail = b""
        self._limit_bytes = limit_bytes
        self._failure: Invalid | None = None
        if self.expected_bytes is None:
            if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
                self.expected_bytes = 0
            elif not environ.get("wsgi.input_terminated"):
                raise Invalid(
                    "This server needs the length of the body.", code="length_required", status=411, hint="Send a Content-Length."
                )
        self._check_limit(self.expected_bytes or 0)

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """The next bytes, at most `size`; b"" at the end of a body that came whole."""
        if self.expected_bytes is not None:
            size = min(size, self.expected_bytes - self.received_bytes)
            if size <= 0:
                return b""
        piece = self._read(size)
        if not piece and self.expected_bytes is not None:
            raise _short(f"{self.received_bytes} of {self.expected_bytes} bytes came.")
        self.received_bytes += len(piece)
        self._check_limit(self.received_bytes)
        if piece:
            self.tail = (self.tail + piece[-TAIL_BYTES:])[-TAIL_BYTES:]
        return piece

    def _read(self, size: int) -> bytes:
        if self._failure is not None:
            # gunicorn's reader would say "end of body" when it is asked again.
            raise self._failure
        try:
            piece: bytes = self._stream.read(size)
        except TimeoutError:
            self._failure = Invalid("The body stopped coming.", code="body_timeout", status=408, hint="Send the request again.")
        except (NoMoreData, ConnectionError):
            self._failure = _short(f"{self.received_bytes} bytes came.")
        except (ParseException, OSError, ValueError):
            self._failure = Invalid("The body is not chunked as HTTP/1.1 asks.", code="body_broken", hint="Send the request again.")
        else:
            return piece
        raise self._failure

    def _check_limit(self, size: int) -> None:
        if self._limit_bytes is not None and size > self._limit_bytes:
            raise TooLarge(f"The body is larger than {self._limit_bytes} bytes.", hint="Send less, or ask IT for a larger limit.")


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One file of a multipart body: the field and file name that the client gave (without folders), and the bytes."""

    field: str
    filename: str
    blob: TemporaryBlob


@dataclass(slots=True)
class ReceivedForm:
    """A multipart body: its files and its other fields, both in the order they came."""

    files: list[ReceivedFile] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)


def iterate_body(request: HttpRequest, *, limit_bytes: int | None = None, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The body in pieces of at most `chunk_bytes`; raises what `Body` raises, too large a Content-Length before the first piece."""
    body = Body(request, limit_bytes=limit_bytes)
    return iter(lambda: body.read(chunk_bytes), b"")


@contextmanager
def multipart_files(request: HttpRequest, *, store: BlobStore, limit_bytes: int | None = None) -> Iterator[ReceivedForm]:
    """Reads a multipart/form-data body whole, its files into the store's temporary files; those that are not kept go at the end.

    limit_bytes: of the whole body. Raises what `Body` raises, Invalid `multipart_broken` (400), StorageFull, Unavailable.
    """
    form = ReceivedForm()
    with ExitStack() as files:
        _parse(request, Body(request, limit_bytes=limit_bytes), _Handler(form, store, files), form)
        yield form


def _parse(request: HttpRequest, body: Body, handler: _Handler, form: ReceivedForm) -> None:
    content_type = request.META.get("CONTENT_TYPE", "")
    length = UNKNOWN_LENGTH_BYTES if body.expected_bytes is None else body.expected_bytes
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(length)}
    try:
        # The parser's type asks for a whole IO object; it calls read alone.
        source: Any = body
        fields, _ = MultiPartParser(meta, source, [handler], settings.DEFAULT_CHARSET).parse()
    except (MultiPartParserError, SuspiciousMultipartForm) as error:
        raise Invalid(f"The multipart body cannot be read: {error}", code="multipart_broken") from error
    except (TooManyFieldsSent, TooManyFilesSent) as error:
        raise Invalid("The multipart body has too many parts.", code="multipart_broken", hint="Send fewer files at once.") from error
    except RequestDataTooBig as error:
        raise TooLarge("The multipart body's fields are too large.") from error
    boundary = parse_header_parameters(content_type)[1]["boundary"]
    if f"--{boundary}--".encode("ascii") not in body.tail:
        raise Invalid("The multipart body ends before its last boundary.", code="multipart_broken", hint="Send the request again.")
    form.fields.update((name, [str(value) for value in values]) for name, values in fields.lists())


class _Handler(FileUploadHandler):
    """Hashes each file into a temporary file of the store; nothing of it stays in memory."""

    chunk_size = CHUNK_BYTES

    def __init__(self, form: ReceivedForm, store: BlobStore, files: ExitStack) -> None:
        super().__init__()
        self._form = form
        self._store = store
        self._files = files

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        blob = self._files.enter_context(self._store.temporary(self.content_length))
        self._form.files.append(ReceivedFile(str(self.field_name), str(self.file_name), blob))

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._form.files[-1].blob.write(raw_data)

    def file_complete(self, file_size: int) -> None:
        return None


def _content_length(environ: dict[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    return int(text) if text.isascii() and text.isdigit() else None


def _short(detail: str) -> Invalid:
    return Invalid(f"The body ended early: {detail}", code="body_short", hint="Send the request again.")
