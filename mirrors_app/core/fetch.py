"""Asks upstreams for bytes: within limits, again when it failed, onwards from where it broke, and never anywhere forbidden."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from condahub import __version__
from condahub.net.guard import Guard
from mirrors_app.core.credentials import Credentials, Origin, origin, s3_address, s3_headers
from mirrors_app.core.errors import BadConfiguration, UpstreamError, UpstreamTooLarge
from mirrors_app.core.local import LocalFolders
from mirrors_app.core.pace import HostPace, Throttle, Window, backoff_seconds, check_windows
from mirrors_app.core.parts import Again, Answer, Answered, Parts, S, Validators, as_again, expect, refuse, shown_url, validators_of
from mirrors_app.core.ssrf import GuardedResolver, check_literal
from mirrors_app.core.wire import Head, NotPlain, Wire

MIB = 2**20
MAX_REDIRECTS = 8
REDIRECTS = frozenset({301, 302, 303, 307, 308})

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


class _Route(NamedTuple):
    """place: what connections are kept for; host: as in the Host header; folder: the target's beginning, to which the URL from `cut` on
    is added; headers: that prove who asks.
    """

    place: Origin
    host: str
    folder: str
    cut: int
    headers: dict[str, str]


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
        self._wire: Wire | None = None
        self._routes: dict[str, _Route] = {}
        self._local = LocalFolders(settings.local_folders)
        self._checked: set[tuple[str, str]] = set()
        self.received_bytes = 0
        self.requests = 0

    async def __aenter__(self) -> Self:
        settings = self._settings
        proxies = [urlsplit(settings.proxy).hostname or ""] if settings.proxy else []
        resolver = GuardedResolver(settings.guard, unguarded=proxies)
        tls = _tls(settings)
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=settings.connections_per_host, resolver=resolver, ssl=tls, ttl_dns_cache=60
        )
        headers = {"User-Agent": f"condahub/{__version__}", "Accept-Encoding": "identity"}
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_seconds, sock_read=settings.read_seconds),
            headers=headers,
            read_bufsize=256 * 1024,
        )
        if not settings.proxy and not settings.bytes_per_second:
            self._wire = Wire(
                resolver,
                tls,
                connect_seconds=settings.connect_seconds,
                read_seconds=settings.read_seconds,
                headers={"Accept": "*/*", **headers},
            )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._wire is not None:
            await self._wire.close()
        if self._session is not None:
            await self._session.close()

    async def read(self, url: str, *, max_bytes: int, validators: Validators | None = None) -> Answer:
        """A whole body in memory. Raises UpstreamMissing, UpstreamDenied, UpstreamTooLarge, UpstreamError, ForbiddenAddress."""
        if url.startswith("file:"):
            self._may_go()
            return await asyncio.to_thread(self._local.read, url, max_bytes, validators)

        async def once() -> Answer:
            if validators is None and (plain := await self._read_plainly(url, max_bytes)) is not None:
                return plain
            body = bytearray()
            response, final = await self._open(url, validators.headers() if validators else {})
            async with response:
                found = validators_of(response)
                if response.status == 304:
                    return Answer(None, found, final)
                expect(response, 200, url)
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
            self._may_go()
            return await asyncio.to_thread(self._local.copy, url, open_sink, max_bytes, progress)
        parts = Parts(url, open_sink, max_bytes)

        async def once() -> S:
            if parts.is_whole and await self._plainly(url, parts.request_headers(), _IntoParts(self, url, parts, progress)):
                return parts.whole()
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

    async def _read_plainly(self, url: str, max_bytes: int) -> Answer | None:
        into = _IntoMemory(self, url, max_bytes)
        if not await self._plainly(url, {}, into):
            return None
        return Answer(bytes(into.body), into.validators, url if url.startswith("s3:") else self._prepared(url, {})[0])

    async def _plainly(self, url: str, headers: dict[str, str], into: _IntoParts[Any] | _IntoMemory) -> bool:
        """Ask by the quick way; False where the server does not answer plainly enough for it."""
        if self._wire is None:
            return False
        route = self._route(url)
        if not self._wire.knows(route.place):
            return False
        self.requests += 1
        try:
            await self._wire.get(route.place, route.host, route.folder + url[route.cut :], {**headers, **route.headers}, into)
        except NotPlain:
            return False
        return True

    def _route(self, url: str) -> _Route:
        """How to ask for a file; worked out once for all files of a folder, unless each has a signature or query of its own."""
        folder = url[: url.rfind("/") + 1]
        route = self._routes.get(folder)
        if route is None:
            alone = "?" in url or "#" in url or url.startswith("s3:")
            asked = url if alone else folder
            target, address, sent = self._prepared(asked, {})
            self._check_address(url, target)
            parts = urlsplit(address)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            route = _Route(origin(address), parts.netloc.rpartition("@")[2], path, len(asked), sent)
            if not alone:
                self._routes[folder] = route
        return route

    def refuse(self, answered: Answered, url: str) -> None:
        """Raises what ends or repeats the attempt."""
        refuse(answered, url, self._settings.max_retry_after_seconds)

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
            except (Again, aiohttp.ClientError, TimeoutError, ConnectionError, ssl.SSLError) as error:
                again = as_again(error)
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
        start = url.find("//") + 2
        end = url.find("/", start)
        host = url[start : end if end > 0 else len(url)].rpartition("@")[2]
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
        # What stands beside a file in a bucket is asked for by its s3: address as well, or it would not be signed for.
        first = target if url.startswith("s3:") else ""
        home = ""
        for _ in range(MAX_REDIRECTS + 1):
            self._check_address(url, target)
            self.requests += 1
            response = await self._session.get(
                URL(address, encoded=True), headers=sent, allow_redirects=False, proxy=self._settings.proxy or None
            )
            if response.status == 200 or response.status not in REDIRECTS:
                try:
                    self.refuse(response, url)
                except BaseException:
                    response.release()
                    raise
                return response, url if target == first else target
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


class _IntoParts(Generic[S]):
    """Puts an answer of the quick way into a file's parts."""

    __slots__ = ("_fetcher", "_parts", "_progress", "_url")

    def __init__(self, fetcher: Fetcher, url: str, parts: Parts[S], progress: Callable[[int], None] | None) -> None:
        self._fetcher, self._url, self._parts, self._progress = fetcher, url, parts, progress

    def head(self, head: Head, /) -> None:
        self._fetcher.refuse(head, self._url)
        self._parts.answered(head)

    def piece(self, data: bytes, /) -> None:
        self._parts.write(data)
        self._fetcher.received_bytes += len(data)
        if self._progress is not None:
            self._progress(len(data))


class _IntoMemory:
    """Keeps an answer of the quick way."""

    def __init__(self, fetcher: Fetcher, url: str, max_bytes: int) -> None:
        self._fetcher, self._url, self._max_bytes = fetcher, url, max_bytes
        self.body, self.validators = bytearray(), Validators()

    def head(self, head: Head, /) -> None:
        self._fetcher.refuse(head, self._url)
        expect(head, 200, self._url)
        if head.length > self._max_bytes:
            raise UpstreamTooLarge(f"{shown_url(self._url)} has more than {self._max_bytes} bytes.")
        self.validators = validators_of(head)

    def piece(self, data: bytes, /) -> None:
        self.body += data
        self._fetcher.received_bytes += len(data)


def _tls(settings: FetchSettings) -> ssl.SSLContext:
    context = _context(settings)
    # A server that prefers HTTP/2 must not choose it.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context(settings: FetchSettings) -> ssl.SSLContext:
    if not settings.verify_tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    if settings.ca_bundle is None:
        return _public_context()
    try:
        bundle = settings.ca_bundle
        return ssl.create_default_context(cafile=None if bundle.is_dir() else str(bundle), capath=str(bundle) if bundle.is_dir() else None)
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration(f"The CA bundle '{settings.ca_bundle}' can't be read.") from error


@cache
def _public_context() -> ssl.SSLContext:
    """The machine's own trust, read once in a process: that takes longer than a run that finds nothing new."""
    return ssl.create_default_context()
