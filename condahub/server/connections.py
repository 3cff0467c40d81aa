"""A client's connection: its socket, whose limits count stalls and not totals, and the request that is arriving on it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import socket
import sys
import termios
import time
from typing import Any

from gunicorn.workers.gthread import TConn

HEAD_SECONDS = 10
BODY_IDLE_SECONDS = 30
SEND_STALL_SECONDS = 60
# Then a request whose small body has not come is given to a thread all the same: who may not send it shall hear so.
SMALL_BODY_SECONDS = 1
LINGER_SECONDS = 5

# A body up to this size is awaited by the poller, without a thread.
SMALL_BODY_BYTES = 64 * 1024
# What a client may still send that was answered already: closing at once could lose it the answer (RFC 9112 section 9.6).
LINGER_BYTES = 256 * 1024**2
RECEIVE_BYTES = 64 * 1024
# Up to this much of a body is copied to leave with its head.
JOINED_BYTES = 64 * 1024
# The most that one call may be asked to send.
SENDFILE_BYTES = 2**30

# More than any head within gunicorn's limits that a client of the hub sends.
MOST_HEAD_BYTES = 64 * 1024

_FINAL_ANSWER = tuple(b"HTTP/1.%d %d" % (minor, hundred) for minor in (0, 1) for hundred in (2, 3, 4, 5))
_HEAD_END = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r?\n", re.IGNORECASE)
_EXPECT = re.compile(rb"\nexpect:", re.IGNORECASE)


class HubSocket(socket.socket):
    """A socket that gives up on a client that takes nothing for SEND_STALL_SECONDS, however long the whole takes.

    Taking is what counts, not room to write: a large send buffer has room again only when a third of it was taken, which a slow
    client may need minutes for. The limit of reading is the timeout that the worker set.
    """

    def setblocking(self, flag: bool, /) -> None:
        """Blocking never means for ever here: a thread waits for a body, and only so long."""
        self.settimeout(BODY_IDLE_SECONDS if flag else 0)

    # The head of an answer, until the first of its body follows: they leave together.
    _head = b""

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        if len(data) > JOINED_BYTES:
            self.flush()
        elif self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_FINAL_ANSWER) and self.gettimeout():
            self._head = data
            return
        self._write(data)

    def flush(self) -> None:
        """Sends the head of an answer that has no body."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head)

    def _write(self, data: bytes) -> None:
        # Written as to a file: send() would ask first, with a call to the system of its own, whether there is room.
        number = self.fileno()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(number, rest) :]
            except BlockingIOError:
                self._await_taking()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Sends `count` bytes of the file from `offset` without reading them into this process; the file's position stays."""
        self.flush()
        number = file.fileno()
        end = os.fstat(number).st_size if count is None else offset + count
        start = offset
        while offset < end:
            try:
                sent = os.sendfile(self.fileno(), number, offset, min(end - offset, SENDFILE_BYTES))
            except BlockingIOError:
                self._await_taking()
                continue
            if not sent:
                raise OSError(errno.EIO, "the file ended before what was promised of it")
            offset += sent
        return offset - start

    def _await_taking(self) -> None:
        """Returns when there is room to write; raises TimeoutError when the client took nothing for too long."""
        if self.gettimeout() == 0:
            # The poller waits for nobody.
            raise TimeoutError("the client takes nothing at the moment")
        poller = select.poll()
        poller.register(self.fileno(), select.POLLOUT)
        waiting_bytes = self._untaken_bytes()
        while not poller.poll(SEND_STALL_SECONDS * 1000):
            before, waiting_bytes = waiting_bytes, self._untaken_bytes()
            if waiting_bytes >= before:
                raise TimeoutError("the client takes nothing")

    def _untaken_bytes(self) -> int:
        """What was written and has not been acknowledged (SIOCOUTQ, which has TIOCOUTQ's number)."""
        return int.from_bytes(fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class HubConnection(TConn):  # type: ignore[misc]
    """gunicorn's connection, and what of the next request has arrived before a thread was given to it."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, HubSocket(sock.family, sock.type, sock.proto, fileno=sock.detach()), client, server)
        # gthread would wait in a thread for the first byte; here it has arrived by then.
        self.data_ready = True
        self.received = bytearray()
        self.deadline = 0.0
        self.head_at = 0.0
        self.lingered_bytes = 0
        self._searched = 0
        self._needed_bytes = 0

    def init(self) -> None:
        super().init()
        if self.received:
            self.parser.unreader.unread(bytes(self.received))
            self.received = bytearray()

    def expect_head(self) -> None:
        """Starts the clock of a new request."""
        self.deadline = time.monotonic() + HEAD_SECONDS
        self._searched = self._needed_bytes = 0

    def receive(self) -> bool:
        """Takes what has arrived; False when the client will send no more.

        Raises BlockingIOError when nothing has arrived, another OSError when the client is gone.
        """
        piece = self.sock.recv(RECEIVE_BYTES)
        self.received += piece
        if self._needed_bytes:
            self.deadline = time.monotonic() + BODY_IDLE_SECONDS
        return bool(piece)

    def is_complete(self) -> bool:
        """Whether a thread can take the request without waiting for the client, except for a body that is large or of unknown size."""
        if not self._needed_bytes:
            end = _HEAD_END.search(self.received, max(0, self._searched - 3))
            if end is None:
                self._searched = len(self.received)
                return False
            self._needed_bytes = end.end() + _small_body_bytes(self.received, end.end())
            self.head_at = time.monotonic()
            self.deadline = self.head_at + BODY_IDLE_SECONDS
        return len(self.received) >= self._needed_bytes

    @property
    def head_is_too_long(self) -> bool:
        return not self._needed_bytes and len(self.received) > MOST_HEAD_BYTES

    @property
    def awaits_body(self) -> bool:
        return self._needed_bytes > 0


def _small_body_bytes(received: bytearray, head_bytes: int) -> int:
    """The bytes of a body that the poller awaits: 0 when it is large, of unknown size, or waits for a 100 Continue."""
    length = _CONTENT_LENGTH.search(received, 0, head_bytes)
    if length is None or _EXPECT.search(received, 0, head_bytes):
        return 0
    size = int(length[1])
    return size if size <= SMALL_BODY_BYTES else 0
