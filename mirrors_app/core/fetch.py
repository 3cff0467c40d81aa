"""Asks upstreams for bytes: within limits, again when it failed, onwards from where it broke, and never anywhere forbidden."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from yarl import URL

from condahub import __version__
from condahub.net.guard import Guard
from mirrors_app.core.credentials import Credentials, origin, s3_address, s3_headers
from mirrors_app.core.errors import (
    BadConfiguration,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamError,
    UpstreamMissing,
    UpstreamTooLarge,
)
from mirrors_app.core.pace import HostPace, Throttle, Window, backoff_seconds, check_windows, retry_after_seconds
from mirrors_app.core.ssrf import GuardedResolver, check_literal

MIB = 2**20
READ_BYTES = MIB
MAX_REDIRECTS = 8
AGAIN_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """Limits of one run. bytes_per_second 0: none; attempts: of one file; read_seconds: between two pieces of a body."""

    connections_per_host: int = 32
    bytes_per_second: int = 0
    windows: tuple[Window, ...] = ()
    attempts: int = 6
    first_backoff_seconds: float = 0.5
    max_backoff_seconds: float = 60.0
    max_retry_after_seconds: float = 300.0
    connect_seconds: float = 20.0
    read_seconds: float = 60.0
    breaker_failures: int = 40
    breaker_seconds: float = 15.0
    breaker_trips: int = 3
    proxy: str = field(default="", repr=False)
    ca_bundle: Path | None = None
    verify_tls: bool = True
    guard: Guard = field(default_factory=Guard)
    local_folders: tuple[Path, ...] = ()


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


class Sink(Protocol):
    """Takes a body as it comes. size: bytes so far."""

    @property
    def size(self) -> int: ...

    def write(self, chunk: bytes, /) -> None: ...

    def close(self) -> None: ...


S = TypeVar("S", bound=Sink)


class _Again(Exception):
    """This attempt failed in a way that another may not."""

    def __init__(self, reason: str, wait_seconds: float = 0.0, *, peace: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.wait_seconds, self.peace = reason, wait_seconds, peace


class Fetcher:
    """One run's way to the outside; an async context manager. check: raises when the run is to stop, asked before each attempt."""

    def __init__(
        self, settings: FetchSettings, credentials: Mapping[str, Credentials], *, check: Callable[[], None] = lambda: None
    ) -> None:
        """credentials: by the upstream's address, whose origin alone they are sent to."""
        self._settings, self._check = settings, check
        self._credentials = {origin(s3_address(url, one) if url.startswith("s3:") else url): one for url, one in credentials.items()}
        self._s3 = {urlsplit(url).netloc: one for url, one in credentials.items() if url.startswith("s3:")}
        self._paces: dict[str, HostPace] = {}
        self._throttle = Throttle(settings.bytes_per_second)
        self._session: aiohttp.ClientSession | None = None
        self._checked: set[tuple[str, str]] = set()
        self.received_bytes = 0
        self.requests = 0

    async def __aenter__(self) -> Self:
        settings = self._settings
        proxies = [urlsplit(settings.proxy).hostname or ""] if settings.proxy else []
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=settings.connections_per_host,
            resolver=GuardedResolver(settings.guard, unguarded=proxies),
            ssl=_tls(settings),
            ttl_dns_cache=60,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_seconds, sock_read=settings.read_seconds),
            headers={"User-Agent": f"condahub/{__version__}", "Accept-Encoding": "identity"},
            read_bufsize=256 * 1024,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, url: str, *, max_bytes: int, validators: Validators | None = None) -> Answer:
        """A whole body in memory. Raises UpstreamMissing, UpstreamDenied, UpstreamTooLarge, UpstreamError, ForbiddenAddress."""
        if url.startswith("file:"):
            return await asyncio.to_thread(self._read_local, url, max_bytes, validators)

        async def once() -> Answer:
            body = bytearray()
            response, final = await self._open(url, validators.headers() if validators else {})
            async with response:
                found = _validators(response)
                if response.status == 304:
                    return Answer(None, found, final)
                _expect(response, 200, url)
                if (response.content_length or 0) > max_bytes:
                    raise UpstreamTooLarge(f"{shown_url(url)} has more than {max_bytes} bytes.")
                while chunk := await response.content.readany():
                    body += chunk
                    if len(body) > max_bytes:
                        raise UpstreamTooLarge(f"{shown_url(url)} has more than {max_bytes} bytes.")
                    self.received_bytes += len(chunk)
                    if self._settings.bytes_per_second:
                        await self._wait_for_rate(len(chunk))
            return Answer(bytes(body), found, final)

        return await self._attempts(url, once)

    async def download(self, url: str, open_sink: Callable[[], S], *, max_bytes: int, progress: Callable[[int], None] | None = None) -> S:
        """A body into a sink, which the caller closes; after a break it goes on where it was (Range, If-Range) as long as the
        file is the same one, else it begins anew in a new sink. max_bytes: more than these is not taken.
        """
        if url.startswith("file:"):
            return await asyncio.to_thread(self._copy_local, url, open_sink, max_bytes, progress)
        parts = _Parts(url, open_sink, max_bytes)

        async def once() -> S:
            response, _ = await self._open(url, parts.request_headers())
            async with response:
                parts.answered(response)
                while chunk := await response.content.readany():
                    parts.write(chunk)
                    self.received_bytes += len(chunk)
                    if self._settings.bytes_per_second:
                        await self._wait_for_rate(len(chunk))
                    if progress is not None:
                        progress(len(chunk))
            return parts.whole()

        try:
            return await self._attempts(url, once)
        except BaseException:
            parts.close()
            raise

    async def _wait_for_rate(self, count: int) -> None:
        self._check()
        await self._throttle.take(count)

    async def _attempts(self, url: str, once: Callable[[], Awaitable[T]]) -> T:
        settings = self._settings
        pace = self._pace(url)
        reason = ""
        for attempt in range(settings.attempts):
            await pace.ready(self._may_go)
            try:
                async with pace.slots:
                    if pace.suspect:
                        async with pace.looking:
                            result = await once()
                    else:
                        result = await once()
            except (_Again, aiohttp.ClientError, TimeoutError, ConnectionError, ssl.SSLError) as error:
                again = _as_again(error)
                reason = again.reason
                if again.peace:
                    pace.quiet(again.wait_seconds)
                else:
                    pace.failed()
                if attempt + 1 < settings.attempts:
                    own = backoff_seconds(attempt, first_seconds=settings.first_backoff_seconds, limit_seconds=settings.max_backoff_seconds)
                    await asyncio.sleep(own if again.peace else max(own, again.wait_seconds))
                continue
            pace.succeeded()
            return result
        raise UpstreamError(f"{shown_url(url)} could not be had in {settings.attempts} attempts: {reason}.")

    def _may_go(self) -> None:
        self._check()
        check_windows(self._settings.windows)

    def _pace(self, url: str) -> HostPace:
        host = urlsplit(url).netloc.rpartition("@")[2]
        if host not in self._paces:
            settings = self._settings
            self._paces[host] = HostPace(
                host,
                connections=settings.connections_per_host,
                failures=settings.breaker_failures,
                seconds=settings.breaker_seconds,
                trips=settings.breaker_trips,
            )
        return self._paces[host]

    async def _open(self, url: str, headers: dict[str, str]) -> tuple[aiohttp.ClientResponse, str]:
        """The answer after redirects, each hop checked, credentials with the first origin's hops alone. The caller closes it."""
        assert self._session is not None, "use it as a context manager"
        target, address, sent = self._prepared(url, headers)
        home = ""
        for _ in range(MAX_REDIRECTS + 1):
            self._check_address(url, target)
            self.requests += 1
            response = await self._session.get(
                URL(address, encoded=True), headers=sent, allow_redirects=False, proxy=self._settings.proxy or None
            )
            if response.status == 200 or response.status not in REDIRECTS:
                try:
                    _refuse(response, url, self._settings.max_retry_after_seconds)
                except BaseException:
                    response.release()
                    raise
                return response, target
            home = home or target
            where = response.headers.get("Location", "")
            response.release()
            target = address = urljoin(address, where)
            if origin(home)[0] == "https" and urlsplit(target).scheme == "http":
                raise UpstreamError(f"{shown_url(url)} leads from https to http, which is not followed.")
            if origin(target) != origin(home):
                sent = dict(headers)
        raise UpstreamError(f"{shown_url(url)} leads in circles.")

    def _check_address(self, url: str, target: str) -> None:
        parts = urlsplit(target)
        place = (parts.scheme, parts.netloc)
        if place in self._checked:
            return
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UpstreamError(f"{shown_url(url)} leads to '{parts.scheme}:', which is not fetched.")
        check_literal(self._settings.guard, parts.hostname)
        self._checked.add(place)

    def _prepared(self, url: str, headers: dict[str, str]) -> tuple[str, str, dict[str, str]]:
        """(address without credentials, address to ask, headers) of the first hop."""
        if url.startswith("s3:"):
            credentials = self._s3.get(urlsplit(url).netloc)
            if credentials is None:
                raise BadConfiguration(f"{shown_url(url)} is in a bucket that no upstream names.")
            target = s3_address(url, credentials)
            return target, target, s3_headers(target, credentials, headers)
        credentials = self._credentials.get(origin(url))
        if credentials is None:
            return url, url, headers
        return url, credentials.address(url), {**headers, **credentials.headers()}

    def _local(self, url: str) -> Path:
        """The path of a file: address, inside the folders that were allowed."""
        path = Path(unquote(urlsplit(url).path)).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in self._settings.local_folders):
            raise UpstreamError(f"'{path.name}' is not inside a folder that this mirror may read.", code="forbidden_address")
        return path

    def _read_local(self, url: str, max_bytes: int, validators: Validators | None) -> Answer:
        self._may_go()
        path = self._local(url)
        try:
            status = path.stat()
            found = Validators(etag=f'"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"')
            if validators is not None and validators.etag == found.etag:
                return Answer(None, found, url)
            if status.st_size > max_bytes:
                raise UpstreamTooLarge(f"'{path.name}' has more than {max_bytes} bytes.")
            return Answer(path.read_bytes(), found, url)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise UpstreamMissing(f"'{path.name}' is not there.") from error
        except OSError as error:
            raise UpstreamError(f"'{path.name}' can't be read: {error.strerror}.") from error

    def _copy_local(self, url: str, open_sink: Callable[[], S], max_bytes: int, progress: Callable[[int], None] | None) -> S:
        self._may_go()
        path = self._local(url)
        try:
            source = path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise UpstreamMissing(f"'{path.name}' is not there.") from error
        except OSError as error:
            raise UpstreamError(f"'{path.name}' can't be read: {error.strerror}.") from error
        sink = open_sink()
        try:
            with source:
                while chunk := source.read(READ_BYTES):
                    sink.write(chunk)
                    if sink.size > max_bytes:
                        raise UpstreamBroken(f"'{path.name}' has more bytes than its record says.")
                    if progress is not None:
                        progress(len(chunk))
        except BaseException:
            sink.close()
            raise
        return sink


class _Parts(Generic[S]):
    """One file that may come in several parts: all of one ETag, or it begins anew."""

    def __init__(self, url: str, open_sink: Callable[[], S], max_bytes: int) -> None:
        self._url, self._open_sink, self._max_bytes = url, open_sink, max_bytes
        self._sink: S | None = None
        self._validator = ""

    def request_headers(self) -> dict[str, str]:
        if self._sink is None or not self._sink.size or not self._validator:
            self._begin()
            return {}
        return {"Range": f"bytes={self._sink.size}-", "If-Range": self._validator}

    def answered(self, response: aiohttp.ClientResponse) -> None:
        """Look whether this goes on from what is there; raises _Again when it can't."""
        validator = _strong(response)
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if self._sink is None or found is None or int(found[1]) != self._sink.size or validator != self._validator:
                self._begin()
                raise _Again("the file changed between two parts")
            return
        if response.status == 416:
            self._begin()
            raise _Again("the rest of the file was not given")
        _expect(response, 200, self._url)
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


def shown_url(url: str) -> str:
    """An address as it may be printed: no query, no user, no token."""
    parts = urlsplit(url)
    path = re.sub(r"^/t/[^/]+", "/t/***", parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"[:300]


def _tls(settings: FetchSettings) -> ssl.SSLContext | bool:
    if not settings.verify_tls:
        return False
    if settings.ca_bundle is None:
        return True
    try:
        bundle = settings.ca_bundle
        return ssl.create_default_context(cafile=None if bundle.is_dir() else str(bundle), capath=str(bundle) if bundle.is_dir() else None)
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration(f"The CA bundle '{settings.ca_bundle}' can't be read.") from error


def _validators(response: aiohttp.ClientResponse) -> Validators:
    return Validators(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _strong(response: aiohttp.ClientResponse) -> str:
    """What If-Range may hold: a strong ETag, or else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else "" if etag else response.headers.get("Last-Modified", "")


def _refuse(response: aiohttp.ClientResponse, url: str, max_wait_seconds: float) -> None:
    """Turn the statuses that end or repeat the attempt into errors."""
    status = response.status
    if status in AGAIN_STATUSES:
        wait = retry_after_seconds(response.headers.get("Retry-After"), limit_seconds=max_wait_seconds)
        raise _Again(f"it answered {status}", wait, peace=status in (429, 503) and wait > 0)
    if status in (401, 403, 407):
        raise UpstreamDenied(f"{shown_url(url)} was refused ({status}).")
    if status in (404, 410):
        raise UpstreamMissing(f"{shown_url(url)} is not there ({status}).")


def _expect(response: aiohttp.ClientResponse, status: int, url: str) -> None:
    if response.status != status:
        raise UpstreamError(f"{shown_url(url)} answered {response.status}.")


def _as_again(error: Exception) -> _Again:
    """An attempt's failure as a reason that shows no address; an error that no other attempt would mend goes on up."""
    if isinstance(error, _Again):
        return error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UpstreamError):
            raise cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.InvalidURL):
        raise UpstreamError("The upstream's certificate or address is not valid.", hint="Check the CA bundle and the address.") from error
    return _Again(_REASONS.get(type(error), f"the connection failed ({type(error).__name__})"))


_REASONS: dict[type[Exception], str] = {
    aiohttp.ClientPayloadError: "the body was cut short",
    aiohttp.ServerDisconnectedError: "the connection was dropped",
    TimeoutError: "it took too long",
}
