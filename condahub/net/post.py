"""Sends one POST to an address that a tenant gave: checked and pinned, no redirects, no proxy, within a time for the whole of it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpcore

from condahub.errors import HubError
from condahub.net.guard import Guard, port_of, resolve_and_check, split_url

CONNECT_SECONDS = 5.0
# RFC 3986, what a path and a query may hold; the rest is percent-encoded.
URL_CHARS = "%/?:@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True)
class Answer:
    """How it ended. status: the receiver's, None when there was none, and then `error` is a sentence without the URL."""

    status: int | None
    seconds: float
    error: str = ""


def post(url: str, *, body: bytes, headers: Mapping[str, str], guard: Guard, within_seconds: float) -> Answer:
    """POST and look at the status alone; the answer's body is not read. Raises nothing but faults of the program."""
    started = time.monotonic()
    try:
        status, error = _send(url, body, headers, guard, started + within_seconds), ""
    except HubError as refusal:
        status, error = None, refusal.detail
    except (httpcore.TimeoutException, TimeoutError):
        status, error = None, f"The receiver did not answer within {within_seconds:g} seconds."
    except httpcore.ConnectError as failure:
        status, error = None, _why(failure)
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
        status, error = None, "The connection broke before the receiver answered."
    return Answer(status, time.monotonic() - started, error)


def _send(url: str, body: bytes, headers: Mapping[str, str], guard: Guard, deadline: float) -> int:
    parts = split_url(url)
    host = (parts.hostname or "").encode("idna").decode("ascii")
    bracketed = f"[{host}]" if ":" in host else host
    sent = {
        "Host": bracketed if parts.port is None else f"{bracketed}:{parts.port}",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=URL_CHARS)
    address = httpcore.URL(scheme=parts.scheme, host=host, port=port_of(parts), target=target)
    with (
        httpcore.ConnectionPool(network_backend=_Pinned(guard, deadline), ssl_context=_trust(), retries=0) as pool,
        pool.stream("POST", address, headers=list(sent.items()), content=body) as response,
    ):
        return response.status


@cache
def _trust() -> ssl.SSLContext:
    """The system's certificate authorities, or those of SSL_CERT_FILE; names are verified."""
    return ssl.create_default_context()


def _why(failure: httpcore.ConnectError) -> str:
    cause = failure.__cause__ or failure.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"The receiver's certificate is not trusted: {cause.verify_message}."
    if isinstance(cause, ssl.SSLError):
        return "The receiver does not speak TLS as it should."
    if isinstance(cause, ConnectionRefusedError):
        return "The receiver refused the connection."
    return "The receiver can't be reached."


class _Pinned(httpcore.NetworkBackend):
    """Connects to the very addresses that were checked, and gives every step only what is left of the time for all."""

    def __init__(self, guard: Guard, deadline: float) -> None:
        self._guard = guard
        self._deadline = deadline
        self._tcp = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve_and_check(host, port, self._guard)
        for position, address in enumerate(addresses):
            try:
                within = min(CONNECT_SECONDS, _left(self._deadline))
                return _Timed(self._tcp.connect_tcp(address, port, timeout=within, socket_options=socket_options), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if position == len(addresses) - 1:
                    raise
        raise AssertionError("a name that resolves has an address")

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None) -> Any:
        raise NotImplementedError


class _Timed(httpcore.NetworkStream):
    """A connection whose reads and writes all end at one deadline: a receiver that answers a byte at a time holds nobody up."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, timeout=_left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    """Seconds until then. Raises the timeout that httpcore's callers know."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the whole request is over")
    return left
