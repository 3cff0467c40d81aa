"""gunicorn's threaded worker, made so that clients that send or take slowly never hold the threads that others need."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any, NamedTuple

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.message import Request
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from condahub.server import waiting
from condahub.server.connections import LINGER_BYTES, LINGER_SECONDS, RECEIVE_BYTES, SMALL_BODY_SECONDS, HubConnection

# Threads that never read a large body: what is left for everything else while uploads stall.
LEAST_FREE_THREADS = 2
# How long an answered request's unread chunks, which should be here already, may take to pass by.
DRAIN_SECONDS = 0.005
# Without descriptors nobody can be taken in: the poller shall not spin on it.
FULL_PAUSE_SECONDS = 0.01
REAP_SECONDS = 0.5
WARN_SECONDS = 10
# Requests that wait for an upstream: each costs a thread that does next to nothing.
WAITING_THREADS = 256

_BUSY_BODY = b'{"code": "uploads_busy", "detail": "Too many uploads are running.", "hint": "Try again in a few seconds."}'
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BUSY_BODY), _BUSY_BODY)
)
_WAITING_BODY = b'{"code": "too_many_wait", "detail": "Too many wait for upstreams already.", "hint": "Try again in a few seconds."}'
TOO_MANY_WAIT = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 2\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_WAITING_BODY), _WAITING_BODY)
)
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def body_threads(threads: int) -> int:
    """How many of a worker's threads may read large bodies at once: three quarters, and never all of them."""
    return max(1, threads - max(LEAST_FREE_THREADS, threads // 4))


class _Moved(NamedTuple):
    """A request that is to be finished in another thread."""

    request: Request
    finish: Callable[[], Any]


class HubWorker(ThreadWorker):  # type: ignore[misc]
    """The poller receives request heads and small bodies, and sees connections out; a thread is given only to a request that is there.

    Limits: 10 s for a head, 30 s without a byte of a body, 60 s without a byte taken; uploads at once: `body_threads`, the next are
    answered 503 with Retry-After. A request that must wait for an upstream (`waiting.MustWait`) is finished in one of
    WAITING_THREADS, so that those who wait never keep a thread from the others.
    Where the descriptors run out, the connection that has waited longest for its head gives way.
    Speaks HTTP/1.1 without TLS, which a proxy in front ends.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.cfg.is_ssl:
            raise RuntimeError("HubWorker speaks plain HTTP: end TLS in a proxy in front of it.")
        self.body_slots = threading.BoundedSemaphore(body_threads(self.cfg.threads))
        # Connections in the poller whose request is not whole yet, and those that are being closed; oldest first.
        self.arriving: dict[HubConnection, None] = {}
        self.lingering: dict[HubConnection, None] = {}
        self.waiting_slots = threading.BoundedSemaphore(WAITING_THREADS)
        self._waiting_threads = ThreadPoolExecutor(WAITING_THREADS, "waiting")
        self._thread = threading.local()
        self._scrap = bytearray(4 * RECEIVE_BYTES)
        self._next_reap = 0.0
        self._next_warning = 0.0

    def load_wsgi(self) -> None:
        super().load_wsgi()
        application: Callable[..., Any] = self.wsgi
        self.wsgi: Callable[..., Any] = self._telling_who_may_wait(application)

    def _telling_who_may_wait(self, application: Callable[..., Any]) -> Callable[..., Any]:
        def told(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            finish = getattr(self._thread, "finish", None)
            environ[waiting.MAY_WAIT] = finish is not None
            if finish is not None:
                environ[waiting.FINISH] = finish
            return application(environ, start_response)

        return told

    # The poller's thread

    def accept(self, listener: Any) -> None:
        """Takes a new client in and looks at once whether its request is there."""
        try:
            client_socket, client_address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
                time.sleep(FULL_PAUSE_SECONDS)
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self._arrive(HubConnection(self.cfg, client_socket, client_address, listener.getsockname()))

    def on_client_socket_readable(self, conn: HubConnection, client: socket.socket) -> None:
        """A kept connection's next request begins."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._arrive(conn)

    def finish_request(self, conn: HubConnection, fs: Any) -> None:
        """A thread has answered: the connection waits for its next request, which may be here already, or is seen out."""
        if not fs.cancelled() and fs.exception() is None and isinstance(fs.result(), _Moved):
            moved = self._waiting_threads.submit(self._finish_later, fs.result(), conn)
            moved.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))
            return
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._linger(conn)
            return
        conn.received += conn.parser.unreader.take_buffered()
        if conn.received:
            conn.sock.setblocking(False)
            self._arrive(conn)
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Closes what has run out of its time: heads, goodbyes; a small body that does not come is a thread's to wait for."""
        now = time.monotonic()
        if now < self._next_reap:
            return
        self._next_reap = now + REAP_SECONDS
        for conn in [conn for conn in self.arriving if conn.awaits_body and conn.head_at + SMALL_BODY_SECONDS < now]:
            self._leave_poller(conn)
            self.enqueue_req(conn)
        for conn in [conn for conn in self.arriving if conn.deadline < now]:
            self._leave_poller(conn)
            if conn.received:
                self._try_send(conn, TIMED_OUT)
            self._close(conn)
        for conn in [conn for conn in self.lingering if conn.deadline < now]:
            self._leave_poller(conn)
            self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in (*self.arriving, *self.lingering):
            conn.deadline = min(conn.deadline, deadline)

    def _arrive(self, conn: HubConnection) -> None:
        conn.expect_head()
        if not self._receive(conn):
            self.arriving[conn] = None
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_more, conn))

    def _on_more(self, conn: HubConnection, client: socket.socket) -> None:
        if self._receive(conn, registered=True):
            return
        # It moved, so it is not the one that has waited longest.
        if conn.awaits_body:
            del self.arriving[conn]
            self.arriving[conn] = None

    def _receive(self, conn: HubConnection, *, registered: bool = False) -> bool:
        """Takes what has come; True when the poller is done with this connection: its request is whole, or it is gone."""
        try:
            done = conn.is_complete() if conn.received else False
            open_ = done or conn.receive()
        except BlockingIOError:
            return False
        except OSError:
            open_ = done = False
            conn.received.clear()
        if open_ and not done:
            done = conn.is_complete()
        if open_ and not done and not conn.head_is_too_long:
            return False
        if registered:
            self._leave_poller(conn)
        if conn.head_is_too_long:
            self._try_send(conn, TOO_LONG)
            self._linger(conn)
        elif done or (conn.awaits_body and conn.received):
            # A body that ended short is the application's to refuse.
            self.enqueue_req(conn)
        else:
            self._close(conn)
        return True

    def _linger(self, conn: HubConnection) -> None:
        """Says goodbye and waits, without a thread, until the client has read the answer and closes as well (RFC 9112 section 9.6)."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            conn.deadline = time.monotonic() + (LINGER_SECONDS if self.alive else STOP_KEEPALIVE_LINGER)
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_goodbye, conn))
        except (OSError, ValueError):
            self._close(conn)
            return
        self.lingering[conn] = None

    def _on_goodbye(self, conn: HubConnection, client: socket.socket) -> None:
        try:
            taken = client.recv_into(self._scrap)
        except BlockingIOError:
            return
        except OSError:
            taken = 0
        conn.lingered_bytes += taken
        if not taken or conn.lingered_bytes > LINGER_BYTES:
            self._leave_poller(conn)
            self._close(conn)

    def _make_room(self) -> None:
        """Closes who has waited longest: for a goodbye, for a next request, for a head."""
        if self.lingering:
            conn = next(iter(self.lingering))
        elif self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
        elif self.arriving:
            conn = next(iter(self.arriving))
        else:
            return
        self._leave_poller(conn)
        self._close(conn)

    def _leave_poller(self, conn: HubConnection) -> None:
        self.arriving.pop(conn, None)
        self.lingering.pop(conn, None)
        self.poller.unregister(conn.sock)

    def _close(self, conn: HubConnection) -> None:
        self.nr_conns -= 1
        conn.close()

    def _try_send(self, conn: HubConnection, data: bytes) -> None:
        try:
            conn.sock.send(data)
        except OSError:
            self.log.debug("A client was gone before it was told why.")

    # The request's thread

    def handle_request(self, req: Request, conn: HubConnection) -> bool | _Moved:
        """Answers one request, reading its body within the limits; who stalls is dropped quietly, who must wait goes elsewhere."""
        try:
            if not _body_is_coming(req):
                return self._answer(req, conn)
            if not self.body_slots.acquire(blocking=False):
                self._refuse_upload(conn)
                return False
            try:
                return self._answer(req, conn)
            finally:
                self.body_slots.release()
        except waiting.MustWait as must:
            return self._move(req, conn, must)

    def _move(self, req: Request, conn: HubConnection, must: waiting.MustWait) -> bool | _Moved:
        if self.waiting_slots.acquire(blocking=False):
            return _Moved(req, must.finish)
        conn.sock.sendall(TOO_MANY_WAIT)
        conn.sock.flush()
        return False

    def _finish_later(self, moved: _Moved, conn: HubConnection) -> bool:
        """Answers a request in a thread that is there for waiting."""
        self._thread.finish = moved.finish
        try:
            return self._keepalive_after(conn, self._answer(moved.request, conn)) is True
        except (OSError, StopIteration) as error:
            self.log.debug("Closing connection. %s", error)
        except Exception as error:  # noqa: BLE001 - as gunicorn's own threads do
            self.handle_error(moved.request, conn.sock, conn.client, error)
        finally:
            self._thread.finish = None
            self.waiting_slots.release()
        return False

    def _answer(self, req: Request, conn: HubConnection) -> bool:
        try:
            keep = bool(super().handle_request(req, conn))
            conn.sock.flush()
        except TimeoutError:
            self.log.info("Gave up on a client that stalled.")
            return False
        return keep

    def _refuse_upload(self, conn: HubConnection) -> None:
        now = time.monotonic()
        if now > self._next_warning:
            self._next_warning = now + WARN_SECONDS
            self.log.warning("Uploads are refused: all %d threads for them are busy.", body_threads(self.cfg.threads))
        conn.sock.sendall(BUSY)
        conn.sock.flush()

    def _keepalive_after(self, conn: HubConnection, keepalive: bool | _Moved) -> bool | _Moved:
        """Whether the connection can take another request; gthread would wait here for the rest of a body that nobody read."""
        if not keepalive or isinstance(keepalive, _Moved):
            return keepalive
        if not _body_is_coming(conn.parser.mesg):
            # It waits for nobody: a thread that was not let run for a while must not end a connection that was told it is kept.
            return bool(conn.parser.finish_body())
        if isinstance(conn.parser.mesg.body.reader, LengthReader):
            return False
        return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS))


def _body_is_coming(req: Request) -> bool:
    """Whether reading this request's body may wait for the client."""
    reader = req.body.reader
    if isinstance(reader, ChunkedReader):
        return reader.parser is not None
    return bool(reader.length > len(req.unreader.buf.getbuffer()))
