"""Requests that wait for an upstream keep no thread from those that wait for nobody."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from condahub.server.worker import WAITING_THREADS
from tests.server.conftest import THREADS, Server, read_answer

pytestmark = pytest.mark.real


def _asking(stack: ExitStack, server: Server, count: int, seconds: float) -> list[socket.socket]:
    clients = [stack.enter_context(server.connect()) for _ in range(count)]
    for client in clients:
        client.sendall(f"GET /wait/{seconds} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
    return clients


def test_many_may_wait_while_others_are_answered_at_once(server: Server) -> None:
    with ExitStack() as stack:
        clients = _asking(stack, server, 5 * THREADS, 1.5)
        assert all(server.get_seconds() < 1 for _ in range(10))
        assert [read_answer(client) for client in clients] == [(200, b"waited")] * len(clients)


def test_a_connection_that_waited_is_kept(server: Server) -> None:
    with server.open() as connection:
        for path in ("/wait/0.01", "/hello", "/wait/0.01"):
            connection.request("GET", path)
            assert connection.getresponse().read() == (b"hello" if path == "/hello" else b"waited")


def test_past_the_threads_for_waiting_clients_are_told_to_come_again(server: Server) -> None:
    with ExitStack() as stack:
        clients = _asking(stack, server, WAITING_THREADS + 5, 2.0)
        answers = [read_answer(client) for client in clients]
        assert [status for status, _ in answers].count(503) == 5
        assert server.ask("GET", "/wait/0").status == 200


def test_who_waits_with_a_body_waits_too(server: Server) -> None:
    answer = server.ask("GET", "/wait/0.05", body=b"x" * 1000)
    assert (answer.status, answer.body) == (200, b"waited")
