"""Faults that a real upstream has, to be put in front of a served folder; each acts on what `where` picks, `times` times."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

PACKAGE_ENDINGS = (".conda", ".tar.bz2")


def is_package(path: str) -> bool:
    return path.endswith(PACKAGE_ENDINGS)


def named(*names: str) -> Callable[[str], bool]:
    return lambda path: path.rpartition("/")[2].startswith(names)


class Limited:
    """Acts the first `times` times for each path that `where` picks; for ever when `times` is 0."""

    def __init__(self, where: Callable[[str], bool] = is_package, times: int = 1) -> None:
        self.where, self.times = where, times
        self.done: Counter[str] = Counter()

    def __call__(self, request: web.Request, path: Path) -> object:
        if not self.where(request.path) or (self.times and self.done[request.path] >= self.times) or not path.is_file():
            return None
        self.done[request.path] += 1
        return self.act(request, path)

    def act(self, request: web.Request, path: Path) -> object:
        raise NotImplementedError


class Status(Limited):
    """Answers with a status, and Retry-After when it is given."""

    def __init__(self, status: int, where: Callable[[str], bool] = is_package, times: int = 1, retry_after: str = "") -> None:
        super().__init__(where, times)
        self.status, self.retry_after = status, retry_after

    def act(self, request: web.Request, path: Path) -> web.Response:
        return web.Response(status=self.status, headers={"Retry-After": self.retry_after} if self.retry_after else {})


class WrongBytes(Limited):
    """As many bytes as there should be, but others."""

    def act(self, request: web.Request, path: Path) -> web.Response:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        return web.Response(body=bytes(data))


class Short(Limited):
    """A body that ends early, whole as far as HTTP can tell."""

    def act(self, request: web.Request, path: Path) -> web.Response:
        return web.Response(body=path.read_bytes()[:-7])


class Html(Limited):
    """A web page with status 200, as captive portals and single-page sites give."""

    def act(self, request: web.Request, path: Path) -> web.Response:
        return web.Response(text="<!DOCTYPE html><html>Please sign in</html>", content_type="text/html")


class Dropped(Limited):
    """The connection breaks in the middle of the body, whose Content-Length and ETag were those of the whole."""

    def __init__(
        self, where: Callable[[str], bool] = is_package, times: int = 1, etag: Callable[[int], str] = lambda part: '"one"'
    ) -> None:
        super().__init__(where, times)
        self.etag = etag
        self.ranges: list[tuple[str, str]] = []

    def act(self, request: web.Request, path: Path) -> object:
        async def answer() -> web.StreamResponse:
            data = path.read_bytes()
            response = web.StreamResponse(headers={"ETag": self.etag(0), "Content-Length": str(len(data))})
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            await asyncio.sleep(0.02)
            assert request.transport is not None
            request.transport.abort()
            return response

        return answer()

    def __call__(self, request: web.Request, path: Path) -> object:
        """After the break the rest is given by range, under the ETag that the file has then."""
        broken = super().__call__(request, path)
        if broken is not None or not self.where(request.path):
            return broken
        wanted, condition = request.headers.get("Range", ""), request.headers.get("If-Range", "")
        self.ranges.append((wanted, condition))
        etag = self.etag(1)
        if not wanted or not self.partial(condition, etag):
            return web.Response(body=path.read_bytes(), headers={"ETag": etag})
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        data = path.read_bytes()
        where = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return web.Response(status=206, body=data[start:], headers={"ETag": etag, "Content-Range": where})

    def partial(self, condition: str, etag: str) -> bool:
        return condition == etag


class CarelessDropped(Dropped):
    """The same from a server that does not know If-Range."""

    def partial(self, condition: str, etag: str) -> bool:
        return True
