"""What is made of an upstream's answers: the parts of one file put together, and attempts that failed told from those that are over."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp

from mirrors_app.core.errors import UpstreamBroken, UpstreamDenied, UpstreamError, UpstreamMissing
from mirrors_app.core.pace import retry_after_seconds

AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Validators:
    """What makes the next request conditional (RFC 9110)."""

    etag: str = ""
    last_modified: str = ""

    def headers(self) -> dict[str, str]:
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.last_modified} if self.last_modified else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """body is None when nothing changed (304). url: the address that answered in the end, without credentials."""

    body: bytes | None
    validators: Validators
    url: str


class Answered(Protocol):
    """The head of an answer, whichever way it came."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Sink(Protocol):
    """Takes a body as it comes. size: bytes so far."""

    @property
    def size(self) -> int: ...

    def write(self, chunk: bytes, /) -> None: ...

    def close(self) -> None: ...


S = TypeVar("S", bound=Sink)


class Again(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, reason: str, wait_seconds: float = 0.0, *, peace: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait_seconds, self.peace = reason, wait_seconds, peace


class Parts(Generic[S]):
    """One file that may come in several parts: all of one ETag, or it begins anew."""

    def __init__(self, url: str, open_sink: Callable[[], S], max_bytes: int) -> None:
        self._url, self._open_sink, self._max_bytes = url, open_sink, max_bytes
        self._sink: S | None = None
        self._validator = ""

    @property
    def is_whole(self) -> bool:
        """Whether the next request asks for all of the file."""
        return self._sink is None or not self._sink.size or not self._validator

    def request_headers(self) -> dict[str, str]:
        if self.is_whole:
            self._begin()
            return {}
        assert self._sink is not None
        return {"Range": f"bytes={self._sink.size}-", "If-Range": self._validator}

    def answered(self, response: Answered) -> None:
        """Look whether this goes on from what is there; raises Again when it can't."""
        validator = _strong(response)
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if self._sink is None or found is None or int(found[1]) != self._sink.size or validator != self._validator:
                self._begin()
                raise Again("the file changed between two parts")
            return
        if response.status == 416:
            self._begin()
            raise Again("the rest of the file was not given")
        expect(response, 200, self._url)
        if self._sink is None or self._sink.size:
            self._begin()
        self._validator = validator

    def write(self, chunk: bytes) -> None:
        assert self._sink is not None
        if self._sink.size + len(chunk) > self._max_bytes:
            raise UpstreamBroken(f"{shown_url(self._url)} has more bytes than its record says.")
        self._sink.write(chunk)

    def whole(self) -> S:
        assert self._sink is not None
        return self._sink

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _begin(self) -> None:
        self.close()
        self._sink = self._open_sink()
        self._validator = ""


def validators_of(response: Answered) -> Validators:
    return Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _strong(response: Answered) -> str:
    """What If-Range may hold: a strong ETag, or else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else "" if etag else response.headers.get("Last-Modified", "")


def refuse(response: Answered, url: str, max_wait_seconds: float) -> None:
    """Turn the statuses that end or repeat the attempt into errors."""
    status = response.status
    if status in AGAIN_STATUSES:
        wait = retry_after_seconds(response.headers.get("Retry-After"), limit_seconds=max_wait_seconds)
        raise Again(f"it answered {status}", wait, peace=status in (429, 503) and wait > 0)
    if status in (401, 403, 407):
        raise UpstreamDenied(f"{shown_url(url)} was refused ({status}).")
    if status in (404, 410):
        raise UpstreamMissing(f"{shown_url(url)} is not there ({status}).")


def expect(response: Answered, status: int, url: str) -> None:
    if response.status != status:
        raise UpstreamError(f"{shown_url(url)} answered {response.status}.")


def as_again(error: Exception) -> Again:
    """An attempt's failure as a reason that shows no address; an error that no other attempt would mend goes on up."""
    if isinstance(error, Again):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UpstreamError):
            raise cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError | aiohttp.InvalidURL):
        raise UpstreamError("The upstream's certificate or address is not valid.", hint="Check the CA bundle and the address.") from error
    return Again(_REASONS.get(type(error), f"the connection failed ({type(error).__name__})"))


_REASONS: dict[type[Exception], str] = {
    aiohttp.ClientPayloadError: "the body was cut short",
    aiohttp.ServerDisconnectedError: "the connection was dropped",
    TimeoutError: "it took too long",
}


def shown_url(url: str) -> str:
    """An address as it may be printed: no query, no user, no token."""
    parts = urlsplit(url)
    path = re.sub(r"^/t/[^/]+", "/t/***", parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"[:300]
