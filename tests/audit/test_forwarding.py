"""Sealed events reach the syslog server in the chain's order, each once, and what came while it was away comes later."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.utils import timezone
from pytest_django.fixtures import Settings

from condahub.audit import chain, forwarding
from condahub.audit.apps import check_stream
from condahub.audit.services import Someone, record
from condahub.errors import Unavailable
from condahub.ops.doctor import Level

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        yield listening


def happened(count: int) -> None:
    for number in range(count):
        record(actor=Someone("ada"), action="channel.create", target=f"channel:c{number}\nforged")
    chain.seal()


def received(server: socket.socket) -> list[bytes]:
    """The messages of one connection, unframed."""
    connection, _ = server.accept()
    with connection:
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    found = []
    while data:
        size, _, rest = data.partition(b" ")
        found.append(rest[: int(size)])
        data = rest[int(size) :]
    return found


def test_events_are_sent_in_order_and_once(server: socket.socket, settings: Settings) -> None:
    settings.CONDAHUB_AUDIT_SYSLOG = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    happened(3)
    assert forwarding.forward() == 3
    lines = received(server)
    told = [json.loads(line.split(b" - ", 2)[2]) for line in lines]
    assert [one["sequence"] for one in told] == sorted(one["sequence"] for one in told)
    assert [one["target"][:10] for one in told] == ["channel:c0", "channel:c1", "channel:c2"]
    assert all(line.startswith(b"<110>1 ") and b"\n" not in line for line in lines)
    assert forwarding.forward() == 0


def test_nothing_is_left_out_while_the_server_is_away(server: socket.socket, settings: Settings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.CONDAHUB_AUDIT_SYSLOG = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        happened(2)
        with pytest.raises(Unavailable):
            forwarding.forward()
        assert check_stream().level == Level.OK
        with time_machine.travel(timezone.now() + timedelta(minutes=10)):
            assert "2 audit events have waited" in check_stream().what
    settings.CONDAHUB_AUDIT_SYSLOG = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    assert forwarding.forward() == 2


def test_a_socket_of_this_machine_takes_them_too(tmp_path: Path, settings: Settings) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        settings.CONDAHUB_AUDIT_SYSLOG = str(tmp_path / "log")
        happened(1)
        assert forwarding.forward() == 1
        assert log.recv(65536).startswith(b"<110>1 ")
