"""A connection that was told it is kept is kept, however long its thread was not let run."""

from __future__ import annotations

import itertools
import socket
import time

import pytest
from gunicorn.config import Config

from condahub.server.connections import HubConnection
from condahub.server.worker import HubWorker


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\nGET /next HTTP/1.1\r\nHost: hub\r\n\r\n",
    ],
    ids=["no body", "a body that nobody read and that is here", "with the next request behind it"],
)
def test_a_thread_that_stood_still_keeps_the_connection(request_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(request_bytes)
        conn = HubConnection(Config(), ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        conn.init()
        next(conn.parser)
        # Between any two looks at the clock a second has passed.
        seconds = itertools.count(time.monotonic())
        monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
        kept = HubWorker._keepalive_after(HubWorker.__new__(HubWorker), conn, True)
        monkeypatch.undo()
        conn.close()
    assert kept
