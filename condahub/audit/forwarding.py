"""Streams sealed audit events to a syslog server, RFC 5424 with the event as JSON, in the order of the chain.

A job sends what is new; the number of the last event sent is kept, and moves after a batch was handed over. So nothing is
left out while the server is away: it comes when it is back, the last batch perhaps twice (`sequence` tells). Over UDP nobody
says whether a datagram arrived; over TCP and TLS what was on its way when the connection broke may be lost or come twice.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count, Min, Q

from condahub.audit.models import AuditEvent, Forwarded
from condahub.errors import Unavailable

CURSOR_ID = 1
BATCH_EVENTS = 200
SEND_SECONDS = 10
# The job looks every 10 s.
LATE_SECONDS = 300
# Facility 13 (log audit), severity 6 (informational): RFC 5424, section 6.2.1.
PRIORITY = 13 * 8 + 6
DEFAULT_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
MAX_DATAGRAM_BYTES = 60_000


def is_configured() -> bool:
    return bool(settings.CONDAHUB_AUDIT_SYSLOG)


def waiting() -> tuple[int, datetime | None]:
    """How many events the server has not been given, and the moment of the first of them."""
    sent = Forwarded.objects.filter(pk=CURSOR_ID).values_list("sequence", flat=True).first() or 0
    found = AuditEvent.objects.filter(Q(sequence__gt=sent) | Q(sequence__isnull=True)).aggregate(count=Count("pk"), since=Min("at"))
    return found["count"], found["since"]


def line_of(event: AuditEvent, host: str) -> bytes:
    """One message: header, no structured data, JSON of all that the event says."""
    told = {
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "actor": event.actor_label,
        "actor_id": event.actor_id,
        "token_prefix": event.token_prefix,
        "action": event.action,
        "target_type": event.target_type,
        "target": event.target,
        "organization_id": event.organization_id,
        "address": event.address,
        "request_id": event.request_id,
        "details": event.details,
        "hash": event.hash,
    }
    body = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return f"<{PRIORITY}>1 {event.at:%Y-%m-%dT%H:%M:%S.%fZ} {host} condahub - {event.action[:32]} - {body}".encode()


def forward() -> int:
    """Send what is sealed and not sent yet; how many. Raises Unavailable when the server does not take it."""
    if not is_configured():
        return 0
    cursor, _ = Forwarded.objects.get_or_create(pk=CURSOR_ID)
    host = (urlsplit(settings.CONDAHUB_PUBLIC_URL).hostname or "-")[:255]
    sent = 0
    try:
        with _connected(settings.CONDAHUB_AUDIT_SYSLOG) as send:
            while True:
                waiting = AuditEvent.objects.filter(sequence__gt=cursor.sequence).order_by("sequence")
                batch = list(waiting[:BATCH_EVENTS])
                if not batch:
                    return sent
                for event in batch:
                    send(line_of(event, host))
                cursor.sequence = batch[-1].sequence or 0
                cursor.save(update_fields=["sequence"])
                sent += len(batch)
    except OSError as error:
        raise Unavailable(f"The syslog server does not take audit events ({error.strerror or type(error).__name__}).") from None


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """A function that sends one message. address: a socket's path, or udp://, tcp:// or tls:// with host and port."""
    if address.startswith("/"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
            local.settimeout(SEND_SECONDS)
            local.connect(address)
            yield lambda line: local.send(line[:MAX_DATAGRAM_BYTES])
        return
    parts = urlsplit(address if "://" in address else f"udp://{address}")
    place = (parts.hostname or "localhost", parts.port or DEFAULT_PORTS.get(parts.scheme, 514))
    if parts.scheme == "udp":
        family, kind, protocol, _, target = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as datagrams:
            yield lambda line: datagrams.sendto(line[:MAX_DATAGRAM_BYTES], target)
        return
    with socket.create_connection(place, timeout=SEND_SECONDS) as plain:
        if parts.scheme != "tls":
            yield lambda line: plain.sendall(_framed(line))
            return
        with ssl.create_default_context().wrap_socket(plain, server_hostname=place[0]) as sealed:
            yield lambda line: sealed.sendall(_framed(line))


def _framed(line: bytes) -> bytes:
    """Its length first (RFC 6587, 3.4.1)."""
    return b"%d %b" % (len(line), line)
