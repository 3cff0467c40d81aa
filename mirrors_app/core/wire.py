"""Plain HTTP/1.1 GETs over kept connections: the quick way to many small files, for servers that answer as plainly as most do.

It knows bodies with a Content-Length and nothing else. Whatever else comes (redirects, chunks, another version) is `NotPlain`: the
caller asks again by the way that knows all of HTTP. Nothing is decided here about what a status or a break means.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict

from mirrors_app.core.credentials import Origin

MAX_HEAD_BYTES = 32 * 1024
WATCH_SECONDS = 1.0
_STATUS = re.compile(r"HTTP/1\.1 ([1-5]\d\d)(?: [^\r\n\0]*)?")
_HEADER = re.compile(r"\r\n([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_HEADERS = re.compile(rf"(?:{_HEADER.pattern})*")
_TARGET = re.compile(r"/[\x21-\x7e]*")
_HOST = re.compile(r"[0-9A-Za-z.:_\[\]-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_DIGITS = re.compile(r"[0-9]{1,15}")
# Without a body, whatever their headers say (RFC 9110, 6.4.1), or not the last word on the request.
_ODD_STATUSES = frozenset({*range(100, 200), 204, 304, *range(300, 400)})


class NotPlain(Exception):
    """The server does not answer in the one way that is known here."""


class Head:
    """Status and headers of an answer, named as aiohttp names them. length: bytes of its body."""

    __slots__ = ("headers", "length", "status")

    def __init__(self, status: int, headers: CIMultiDict[str], length: int) -> None:
        self.status, self.headers, self.length = status, headers, length


class Receiver(Protocol):
    """Takes an answer as it comes; what it raises ends the request."""

    def head(self, head: Head, /) -> None: ...

    def piece(self, data: bytes, /) -> None: ...


class Wire:
    """Connections to any number of origins, each asked one thing at a time. resolver: says which addresses may be connected to."""

    def __init__(
        self,
        resolver: AbstractResolver,
        context: ssl.SSLContext,
        *,
        connect_seconds: float,
        read_seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        self._resolver, self._context = resolver, context
        self._connect_seconds, self._read_seconds = connect_seconds, read_seconds
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: dict[Origin, list[_Connection]] = {}
        self._busy: set[_Connection] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._odd: set[Origin] = set()

    def knows(self, place: Origin) -> bool:
        """False once this origin has answered otherwise than plainly."""
        return place not in self._odd

    async def get(self, place: Origin, host: str, target: str, headers: Mapping[str, str], receiver: Receiver) -> None:
        """Ask for the target (path and query) of a host (as in the Host header), and give the whole answer to the receiver.

        Raises NotPlain, aiohttp.ClientError, TimeoutError, OSError, and whatever the receiver does.
        """
        request = self._request(host, target, headers)
        try:
            while True:
                connection = self._kept(place)
                fresh = connection is None
                if connection is None:
                    connection = await self._connect(place)
                try:
                    await self._exchange(place, connection, request, receiver)
                    return
                except aiohttp.ServerDisconnectedError:
                    # A kept connection may have ended just when it was to be used.
                    if fresh or connection.heard:
                        raise
        except NotPlain:
            self._odd.add(place)
            raise

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for connection in [*self._busy, *(one for kept in self._idle.values() for one in kept)]:
            connection.abort()
        self._idle.clear()

    def _request(self, host: str, target: str, headers: Mapping[str, str]) -> bytes:
        if not (_TARGET.fullmatch(target) and _HOST.fullmatch(host) and all(_VALUE.fullmatch(one) for one in headers.values())):
            raise NotPlain
        own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{self._headers}{own}\r\n".encode("ascii")

    def _kept(self, place: Origin) -> _Connection | None:
        kept = self._idle.get(place)
        while kept:
            connection = kept.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self, place: Origin) -> _Connection:
        scheme, host, port = place
        context = self._context if scheme == "https" else None
        name = host if context is not None else None
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        async with asyncio.timeout(self._connect_seconds):
            for address in await self._addresses(host, port):
                try:
                    _, made = await loop.create_connection(_Connection, address, port, ssl=context, server_hostname=name)
                    return made
                except ssl.SSLCertVerificationError:
                    raise
                except OSError as error:
                    failure = error
        raise aiohttp.ClientConnectionError from failure

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        try:
            return [one["host"] for one in await self._resolver.resolve(host, port)]
        except OSError as error:
            raise aiohttp.ClientConnectionError from error

    async def _exchange(self, place: Origin, connection: _Connection, request: bytes, receiver: Receiver) -> None:
        self._busy.add(connection)
        if self._watch is None:
            self._look()
        try:
            await connection.ask(request, receiver)
        except BaseException:
            connection.abort()
            raise
        finally:
            self._busy.discard(connection)
        if connection.is_open:
            self._idle.setdefault(place, []).append(connection)

    def _look(self) -> None:
        """End requests of which nothing was heard for too long: one timer for all of them."""
        loop = asyncio.get_running_loop()
        for connection in [one for one in self._busy if loop.time() - one.heard_at > self._read_seconds]:
            connection.fail(TimeoutError())
        self._watch = loop.call_later(min(WATCH_SECONDS, self._read_seconds / 2), self._look)


class _Connection(asyncio.Protocol):
    """One request after another; bytes that nobody asked for end it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._done: asyncio.Future[None] | None = None
        self._text = b""
        self._left = -1
        self._last = False
        self.heard = False
        self.heard_at = self._loop.time()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes, receiver: Receiver) -> None:
        assert self._transport is not None
        self._receiver, self._text, self._left, self.heard = receiver, b"", -1, False
        self.heard_at = self._loop.time()
        self._done = self._loop.create_future()
        self._transport.write(request)
        try:
            await self._done
        finally:
            self._receiver = self._done = None

    def data_received(self, data: bytes) -> None:
        self.heard, self.heard_at = True, self._loop.time()
        try:
            if self._receiver is None:
                self.abort()
            elif self._left < 0:
                self._begin(self._text + data, self._receiver)
            else:
                self._body(data, self._receiver)
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who asked is told
            self.fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        if self.heard and self._left >= 0:
            self.fail(aiohttp.ClientPayloadError())
        self.fail(aiohttp.ServerDisconnectedError())

    def fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _begin(self, text: bytes, receiver: Receiver) -> None:
        end = text.find(b"\r\n\r\n")
        if end < 0:
            if len(text) > MAX_HEAD_BYTES:
                raise NotPlain
            self._text = text
            return
        head = _parsed(text[:end])
        self._left, self._text = head.length, b""
        self._last = head.headers.get("Connection", "").lower() not in ("", "keep-alive")
        receiver.head(head)
        self._body(text[end + 4 :], receiver)

    def _body(self, data: bytes, receiver: Receiver) -> None:
        if len(data) > self._left:
            raise NotPlain
        if data:
            self._left -= len(data)
            receiver.piece(data)
        if not self._left and self._done is not None and not self._done.done():
            if self._last:
                self.abort()
            # Anything more is not part of this answer.
            self._receiver = None
            self._done.set_result(None)


def _parsed(data: bytes) -> Head:
    text = data.decode("latin-1")
    status = _STATUS.match(text)
    if status is None or _HEADERS.fullmatch(text, status.end()) is None or int(status[1]) in _ODD_STATUSES:
        raise NotPlain
    headers = CIMultiDict(_HEADER.findall(text, status.end()))
    lengths = headers.getall("Content-Length", [])
    if len(lengths) != 1 or _DIGITS.fullmatch(lengths[0]) is None or "Transfer-Encoding" in headers:
        raise NotPlain
    return Head(int(status[1]), headers, int(lengths[0]))
