"""What the present request is, for the audit: its address and id, carried beside the call stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class RequestMeta:
    """Where a request came from; all empty outside of requests."""

    address: str = ""
    request_id: str = ""


_NO_REQUEST = RequestMeta()
request_context: ContextVar[RequestMeta] = ContextVar("condahub_audit_request", default=_NO_REQUEST)


def current_request() -> RequestMeta:
    return request_context.get()


def address_of(meta: Mapping[str, Any]) -> str:
    """The client's address from a WSGI environ; behind our own proxy what that proxy saw, never what the client claims."""
    claimed = str(meta.get("REMOTE_ADDR") or "")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        # Proxies append: only the last entry is written by the one we trust.
        claimed = str(meta.get("HTTP_X_FORWARDED_FOR") or claimed).rpartition(",")[2].strip()
    try:
        return str(ip_address(claimed))
    except ValueError:
        return ""


@contextmanager
def asked_from(meta: Mapping[str, Any]) -> Iterator[None]:
    """For a door without middleware: what is recorded inside knows the request's address."""
    before = request_context.set(RequestMeta(address=address_of(meta)))
    try:
        yield
    finally:
        request_context.reset(before)
