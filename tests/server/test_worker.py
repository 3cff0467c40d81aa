"""Clients that send, take or leave slowly never hold what others need, and whoever is slow but alive goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from condahub.server.worker import body_threads
from tests.server.conftest import THREADS, Server, read_answer, run_server

HALF_LINE = b"GET /hel"
HALF_HEAD = b"GET /hello HTTP/1.1\r\nHost: hub\r\nUser-Agent: sl"
HALF_BODY = b"PUT /upload HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000000\r\n\r\nabc"
HALF_SMALL_BODY = b"PUT /upload HTTP/1.1\r\nHost: hub\r\nContent-Length: 50\r\n\r\nabc"
HALF_CHUNK = b"PUT /upload HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\nabc"
HALF_REFUSED = b"PUT /refuse HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000000\r\n\r\nabc"
HALF_REFUSED_CHUNK = b"PUT /refuse HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\nabc"
HALF_NEXT = b"GET /hello HTTP/1.1\r\nHost: hub\r\n\r\nGET /hel"
WHOLE = b"GET /hello HTTP/1.1\r\nHost: hub\r\n\r\n"
CLOSING = b"GET /hello HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"


@contextmanager
def open_clients(server: Server, *starts: bytes) -> Iterator[list[socket.socket]]:
    """Connections that sent this much and then nothing."""
    with ExitStack() as clients:
        opened = [clients.enter_context(server.connect()) for _ in starts]
        for client, start in zip(opened, starts, strict=True):
            client.sendall(start)
        yield opened


@pytest.mark.parametrize(
    "starts",
    [
        [HALF_LINE] * 200,
        [HALF_LINE, HALF_HEAD, HALF_BODY, HALF_SMALL_BODY, HALF_CHUNK] * 40,
        [HALF_REFUSED, HALF_REFUSED_CHUNK] * 100,
        [HALF_NEXT, CLOSING] * 100,
        [b""] * 200,
    ],
    ids=["lines", "lines, heads and bodies", "bodies that nobody reads", "next requests and goodbyes", "nothing at all"],
)
def test_with_200_half_sent_requests_a_get_takes_less_than_a_second(server: Server, starts: list[bytes]) -> None:
    with open_clients(server, *starts):
        assert max(server.get_seconds() for _ in range(5)) < 1


def test_who_may_not_send_a_small_body_hears_so_without_sending_it(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"PUT /refuse HTTP/1.1\r\nHost: hub\r\nContent-Length: 50\r\n\r\nabc")
        client.settimeout(5)
        assert read_answer(client) == (403, b"no")


def test_uploads_past_the_bound_are_told_to_come_back_and_gets_go_on(server: Server) -> None:
    bound = body_threads(THREADS)
    with open_clients(server, *[HALF_BODY] * bound):
        time.sleep(0.2)
        started = time.monotonic()
        answer = server.ask("PUT", "/upload", body=iter([b"x" * 100_000]))
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["code"] == "uploads_busy"
        assert time.monotonic() - started < 1
        assert server.get_seconds() < 1
        # A small body is there before a thread is asked for.
        assert server.ask("PUT", "/upload", body=b"small").status == 200
    time.sleep(0.3)
    assert server.ask("PUT", "/upload", body=iter([b"x" * 100_000])).status == 200


def test_the_upload_that_is_slow_but_alive_goes_on(hasty: Server) -> None:
    pieces = [b"piece %d " % number for number in range(6)]
    whole = b"".join(pieces)
    for head, frame in (
        (b"Content-Length: %d" % len(whole), lambda piece: piece),
        (b"Transfer-Encoding: chunked", lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece)),
    ):
        with hasty.connect() as client:
            client.sendall(b"PUT /upload HTTP/1.1\r\nHost: hub\r\n" + head + b"\r\n\r\n")
            for piece in pieces:
                time.sleep(0.4)
                client.sendall(frame(piece))
            if b"chunked" in head:
                client.sendall(b"0\r\n\r\n")
            status, body = read_answer(client)
        assert status == 200
        assert json.loads(body)["sha256"] == hashlib.sha256(whole).hexdigest()


def test_the_download_that_is_slow_but_alive_goes_on(hasty: Server) -> None:
    data = os.urandom(1_000_000) * 5
    with hasty.connect() as client:
        path = place(hasty, data)
        client.sendall(b"GET %s HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n" % path.encode())
        got = b""
        while piece := client.recv(500_000, socket.MSG_WAITALL):
            got += piece
            time.sleep(0.15)
    assert got.endswith(data)


def test_who_takes_nothing_is_left(hasty: Server) -> None:
    path = place(hasty, os.urandom(1000), size=200_000_000)
    with hasty.connect() as client:
        client.sendall(b"GET %s HTTP/1.1\r\nHost: hub\r\n\r\n" % path.encode())
        time.sleep(0.3)
        assert process(hasty)["blobs"] == 1
        deadline = time.monotonic() + 10
        while process(hasty)["blobs"] and time.monotonic() < deadline:
            time.sleep(0.2)
        assert process(hasty)["blobs"] == 0


@pytest.mark.parametrize(
    ("start", "status"), [(HALF_LINE, 408), (HALF_HEAD, 408), (HALF_SMALL_BODY, 408), (HALF_BODY, 408), (HALF_CHUNK, 408), (b"", None)]
)
def test_who_sends_no_more_is_told_so_and_left(hasty: Server, start: bytes, status: int | None) -> None:
    started = time.monotonic()
    with hasty.connect() as client:
        client.sendall(start)
        answer = client.recv(1000)
        while client.recv(1000):
            pass
    assert 0.8 < time.monotonic() - started < 4
    assert answer.split(b" ")[1:2] == ([str(status).encode()] if status else [])


def test_an_answer_reaches_the_client_that_is_still_sending(server: Server) -> None:
    answer = server.ask("PUT", "/refuse", body=iter([b"x" * 1024**2] * 30))
    assert (answer.status, answer.body) == (403, b"no")
    answer = server.ask("PUT", "/refuse", body=b"x" * 30 * 1024**2)
    assert (answer.status, answer.body) == (403, b"no")


def test_connections_are_kept_and_requests_may_follow_closely(server: Server) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.sendall(WHOLE)
            assert read_answer(client) == (200, b"hello")
        client.sendall(WHOLE * 3)
        got = b""
        while got.count(b"hello") < 3:
            got += client.recv(10_000)
        # A small body that nobody reads does not end the connection.
        client.sendall(b"POST /refuse HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\n12345" + WHOLE)
        assert read_answer(client) == (403, b"no")


def test_requests_may_come_byte_by_byte(server: Server) -> None:
    with server.connect() as client:
        for byte in WHOLE:
            client.sendall(bytes([byte]))
        assert read_answer(client) == (200, b"hello")


def test_continue_is_said_before_the_body_is_read(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"PUT /upload HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        status, body = read_answer(client)
    assert (status, json.loads(body)["size"]) == (200, 3)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\n\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (b"PUT /upload HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT /upload HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_at_once(server: Server, data: bytes, status: int) -> None:
    started = time.monotonic()
    assert server.raw(data)[0] == status
    assert time.monotonic() - started < 1


def test_a_stopped_worker_answers_what_it_has_begun(tmp_path: Path) -> None:
    for running in run_server(tmp_path):
        with open_clients(running, b"GET /slow HTTP/1.1\r\nHost: hub\r\n\r\n", HALF_LINE, WHOLE) as clients:
            time.sleep(0.3)
            started = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert read_answer(clients[0]) == (200, b"slow")
            running.process.wait(10)
            assert time.monotonic() - started < 6


def test_no_line_of_the_log_has_a_secret(server: Server) -> None:
    server.ask("GET", "/t/my-own-token/hello?api_key=query-secret&page=2")
    server.raw(b"GET /t/my-own-token/hel lo HTTP/1.1\r\n\r\n")
    server.raw(b"GET /hello HTTP/1.1\r\nReferer: /t/my-own-token/\r\nBad Header: chub-user-" + b"a" * 40 + b"-abcdef\r\n\r\n")
    time.sleep(0.2)
    log = server.log.read_text()
    assert '"GET /t/***/hello?api_key=***&page=2" 200' in log
    assert "my-own-token" not in log
    assert "query-secret" not in log
    assert "a" * 40 not in log
    assert "Traceback" not in log


def place(server: Server, data: bytes, *, size: int | None = None) -> str:
    """Puts a blob into the server's store (sparse, when it shall be larger than its data), and gives its path."""
    sha256 = hashlib.sha256(data).hexdigest()
    path = server.store / "packages" / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.truncate(path, size or len(data))
    return f"/blob/{sha256}?size={size or len(data)}"


def process(server: Server) -> dict[str, int]:
    found: dict[str, int] = server.ask("GET", "/process").json()
    return found
