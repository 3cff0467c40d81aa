"""Answers of the quick way are taken byte for byte as HTTP says, and whatever is not plain goes the long way or is a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from mirrors_app.core.credentials import Credentials
from mirrors_app.core.errors import UpstreamError
from mirrors_app.core.fetch import Fetcher
from tests.mirrors_app.core.conftest import QUICK

BODY = b"x" * 100
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY


@asynccontextmanager
async def served(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that answers by `serve`, none of whose connections outlives it; its address."""
    writers: list[asyncio.StreamWriter] = []

    async def remembered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(remembered, "127.0.0.1", 0)
    try:
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in writers:
            writer.transport.abort()
        # Transports end in the loop's next rounds.
        await asyncio.sleep(0.01)


async def ask(answers: list[bytes], times: int = 1, piece: int = 10**9, **settings: object) -> tuple[list[bytes | str], int, list[bytes]]:
    """Bodies (or error codes) of so many requests to a server that gives these answers in turn; its connections; what it was asked."""
    waiting, asked, connections = list(answers), [], 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while waiting:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                answer = waiting.pop(0)
                for start in range(0, len(answer), piece):
                    writer.write(answer[start : start + piece])
                    await writer.drain()
                    await asyncio.sleep(0)
                if not answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    found: list[bytes | str] = []
    async with served(serve) as root, Fetcher(replace(QUICK, attempts=2, **settings), {}) as fetcher:  # type: ignore[arg-type]
        for _ in range(times):
            try:
                found.append((await fetcher.read(f"{root}/a+b.conda", max_bytes=1000)).body or b"")
            except UpstreamError as error:
                found.append(error.code)
    return found, connections, asked


def test_one_connection_serves_many_requests() -> None:
    found, connections, asked = asyncio.run(ask([PLAIN] * 5, times=5))
    assert (found, connections) == ([BODY] * 5, 1)
    assert asked[0].startswith(b"GET /a+b.conda HTTP/1.1\r\nHost: 127.0.0.1:")


def test_answers_come_in_any_pieces() -> None:
    assert asyncio.run(ask([PLAIN] * 2, times=2, piece=1))[0] == [BODY] * 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY,
    ],
)
def test_what_is_not_plain_goes_the_long_way_and_all_after_it(answer: bytes) -> None:
    found, _, asked = asyncio.run(ask([answer] * 3, times=2))
    assert (found, len(asked)) == ([BODY] * 2, 3)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Length: 7\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_00\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length : 100\r\nX\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"\0\1\2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + BODY,
        b"",
    ],
)
def test_nonsense_is_a_failure(answer: bytes) -> None:
    assert asyncio.run(ask([answer] * 8))[0] == ["upstream_failed"]


def test_bytes_after_the_answer_are_no_other_answer() -> None:
    """What a server adds to one answer must not be taken for the next one."""
    found, _, _ = asyncio.run(ask([PLAIN + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", PLAIN, PLAIN, PLAIN], times=2))
    assert b"evil" not in found and set(found) == {BODY}


def test_a_server_that_falls_silent_is_not_waited_for_for_ever() -> None:
    silent = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY

    async def hang() -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(silent)

        async with served(serve) as root, Fetcher(replace(QUICK, attempts=1, read_seconds=0.3), {}) as fetcher:
            with pytest.raises(UpstreamError) as raised:
                await fetcher.read(f"{root}/x", max_bytes=10_000)
        return raised.value.detail

    assert "too long" in asyncio.run(asyncio.wait_for(hang(), 20))


def test_a_secret_with_a_line_break_makes_no_second_header() -> None:
    async def attempt() -> list[bytes]:
        asked: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.read(4000))
            writer.close()

        async with served(serve) as root:
            credentials = {f"{root}/": Credentials(kind="bearer", secret="one\r\nX-Evil: yes")}
            async with Fetcher(replace(QUICK, attempts=1), credentials) as fetcher:
                with pytest.raises((UpstreamError, ValueError)):
                    await fetcher.read(f"{root}/x", max_bytes=100)
        return asked

    assert not any(b"\r\nX-Evil" in one for one in asyncio.run(attempt()))
