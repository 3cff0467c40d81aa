"""A proxy on loopback for programs that fetch by addresses which tenants give: it connects to what the guard allows, and to nothing else.

It speaks CONNECT and plain HTTP/1.1 (RFC 9112 3.2.2). A program that is told of no other way out can be neither redirected nor
rebound to an address of an inner network: each connection is made to the very addresses that were checked.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Collection
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from condahub.errors import HubError
from condahub.net.guard import Guard, resolve_and_check

MAX_CONNECTIONS = 64
MAX_HEAD_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 120.0
PIECE_BYTES = 256 * 1024
POLL_SECONDS = 0.5
_HOP_HEADERS = frozenset({b"proxy-connection", b"proxy-authorization", b"connection", b"keep-alive"})


class GuardedProxy:
    """Runs in threads of this process as long as its `with`. own: (host, port) pairs that are allowed as they are: the hub itself."""

    def __init__(self, guard: Guard, *, own: Collection[tuple[str, int]] = ()) -> None:
        self._guard = guard
        self._own = frozenset(own)
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._closed = threading.Event()
        self.refused: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(POLL_SECONDS)
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    @property
    def address(self) -> str:
        """What HTTP_PROXY and HTTPS_PROXY are set to."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed.set()
        self._thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                continue
            if not self._places.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                client.settimeout(IDLE_SECONDS)
                self._answer(client)
        finally:
            self._places.release()

    def _answer(self, client: socket.socket) -> None:
        head, rest = _read_head(client)
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3:
            return
        method, target, _ = words
        is_tunnel = method == b"CONNECT"
        parts = urlsplit(f"//{target.decode('latin-1')}" if is_tunnel else target.decode("latin-1"))
        try:
            host, port = parts.hostname or "", parts.port or (443 if is_tunnel else 80)
            if not is_tunnel and parts.scheme != "http":
                raise HubError("Only http goes through here.")
            upstream = self._connect(host, port)
        except (HubError, ValueError):
            self.refused.append((parts.hostname or "")[:255])
            client.sendall(b"HTTP/1.1 403 Refused by the hub\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        except OSError:
            client.sendall(b"HTTP/1.1 502 The host does not answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with upstream:
            if is_tunnel:
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                upstream.sendall(rest)
            else:
                path = target.decode("latin-1").partition("://")[2].partition("/")[2]
                upstream.sendall(_plain_head(head, path) + rest)
            self._pass_on(client, upstream)

    def _connect(self, host: str, port: int) -> socket.socket:
        if (host, port) in self._own:
            return socket.create_connection((host, port), CONNECT_SECONDS)
        last: OSError = OSError("no address")
        for address in resolve_and_check(host, port, self._guard):
            try:
                return socket.create_connection((address, port), CONNECT_SECONDS)
            except OSError as error:
                last = error
        raise last

    def _pass_on(self, client: socket.socket, upstream: socket.socket) -> None:
        """Bytes both ways until one side ends, or neither says anything for long."""
        other = {client: upstream, upstream: client}
        heard_at = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for one in other:
                selector.register(one, selectors.EVENT_READ)
            while not self._closed.is_set():
                ready = [key.fileobj for key, _ in selector.select(POLL_SECONDS)]
                if not ready and time.monotonic() - heard_at > IDLE_SECONDS:
                    return
                for one in other:
                    if one in ready:
                        piece = one.recv(PIECE_BYTES)
                        if not piece:
                            return
                        other[one].sendall(piece)
                        heard_at = time.monotonic()


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_HEAD_BYTES:
        piece = client.recv(MAX_HEAD_BYTES)
        if not piece:
            break
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _plain_head(head: bytes, path: str) -> bytes:
    """The request as the server itself is asked; one on each connection, for the next may be for another host."""
    first, *lines = head.split(b"\r\n")
    method, _, version = first.split(b" ")
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in _HOP_HEADERS]
    return b"\r\n".join([b"%s /%s %s" % (method, path.encode("latin-1"), version), *kept, b"Connection: close", b"", b""])
