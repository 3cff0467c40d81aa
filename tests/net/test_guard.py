"""Addresses that a tenant gives: public ones pass, private ones don't, in whatever form they are written."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from condahub.errors import Unprocessable
from condahub.net.guard import AddressRefused, Guard, check_url, resolve_and_check, split_url
from condahub.net.post import post

PRIVATE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "100.100.100.200", "192.0.0.192", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1", "localhost"),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_what_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        resolve_and_check(host, 80, Guard())


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_pass(host: str) -> None:
    assert resolve_and_check(host, 443, Guard())


def test_unknown_names_and_inner_names_are_told_apart_by_nobody() -> None:
    told = set()
    for host in ("localhost", "no-such-name.invalid", "a" * 64 + ".example"):
        with pytest.raises(AddressRefused) as refused:
            resolve_and_check(host, 80, Guard())
        told.add((refused.value.code, refused.value.detail.replace(host, "*")))
    assert len(told) == 1


def test_the_operator_allows_networks_and_hosts() -> None:
    guard = Guard.parse(["10.0.0.0/8", "fd00::/8", "192.168.7.7", "LocalHost."])
    for allowed in ("10.9.9.9", "fd00::1", "192.168.7.7", "localhost", "::ffff:10.0.0.1"):
        assert resolve_and_check(allowed, 80, guard)
    for refused in ("192.168.7.8", "127.0.0.1"):
        with pytest.raises(AddressRefused):
            resolve_and_check(refused, 80, guard)
    for nonsense in ("http://x", "10.0.0.0/99", "*.example.org", ""):
        with pytest.raises(ValueError, match="neither a network"):
            Guard.parse([nonsense])


def test_a_name_with_one_private_address_is_refused_as_a_whole() -> None:
    with pytest.raises(AddressRefused):
        Guard().check("mixed.example", ["8.8.8.8", "10.0.0.1"])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "https://", "https:///path", "//example.org", "javascript:alert(1)", "file:///etc/passwd"),
        *("https://user:password@example.org/", "https://example.org/#part", "https://example.org:99999/", "https://example.org:0/"),
        *("https://exa mple.org/", "https://example.org/\r\nX: y", "http://[::1", "https://example.org\\@evil.example/", "https://a..b/"),
        "https://example.org/" + "x" * 2000,
    ],
)
def test_only_plain_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        split_url(url)
    assert refused.value.code == "invalid_url" and refused.value.hint


def test_a_url_is_checked_with_its_host() -> None:
    check_url("https://8.8.8.8/hook?x=1", Guard())
    with pytest.raises(AddressRefused):
        check_url("http://[::1]:8080/", Guard())


@pytest.fixture
def dripping_port() -> Iterator[int]:
    """A receiver that answers one byte every tenth of a second, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not stop.wait(0.1):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def test_the_time_is_for_the_whole_request(dripping_port: int) -> None:
    guard = Guard.parse(["127.0.0.0/8"])
    answer = post(f"http://127.0.0.1:{dripping_port}/", body=b"{}", headers={}, guard=guard, within_seconds=0.5)
    assert answer.status is None and "did not answer within 0.5 seconds" in answer.error
    assert answer.seconds < 2


def test_nothing_listens_and_nothing_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    guard = Guard.parse(["127.0.0.0/8"])
    assert "refused the connection" in post(f"http://127.0.0.1:{port}/", body=b"", headers={}, guard=guard, within_seconds=2).error
    assert "not public" in post(f"http://127.0.0.1:{port}/", body=b"", headers={}, guard=Guard(), within_seconds=2).error
