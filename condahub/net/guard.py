"""Which addresses the hub connects to when a tenant names them: public ones, and what the operator allowed by network or host."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from condahub.errors import Unprocessable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_CHARS = 2000
SCHEMES = ("http", "https")

# RFC 6052: IPv4 addresses reached through a translator; is_global takes them all for public.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 6890, protocol assignments: some clouds answer there with a machine's credentials.
_PROTOCOL = ipaddress.IPv4Network("192.0.0.0/24")


class AddressRefused(Unprocessable):
    """Unknown here, or not public: one answer for both, so that nobody learns which names an inner network has."""

    code = "address_refused"
    hint = "Name a host with public addresses; an operator allows others by CONDAHUB_PRIVATE_NETWORKS_ALLOWED."

    def __init__(self, host: str) -> None:
        super().__init__(f"The hub does not connect to '{host[:255]}': the name is unknown, or leads to an address that is not public.")


@dataclass(frozen=True, slots=True)
class Guard:
    """networks: allowed besides the public ones; hosts: names allowed wherever they lead, in lower case."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, *, networks: Iterable[str] = (), hosts: Iterable[str] = ()) -> Guard:
        """Raises ValueError for what is no network."""
        parsed = tuple(ipaddress.ip_network(text.strip(), strict=False) for text in networks)
        return cls(parsed, frozenset(_plain_host(host) for host in hosts))

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Guard:
        """Networks (10.0.0.0/8), addresses and host names in one list, as the setting has them. Raises ValueError."""
        networks, hosts = [], []
        for entry in (text.strip() for text in entries):
            if _is_network(entry):
                networks.append(entry)
            elif not entry or set(entry) & set("/:@* "):
                raise ValueError(f"'{entry}' is neither a network like 10.0.0.0/8 nor a host name.")
            else:
                hosts.append(entry)
        return cls.of(networks=networks, hosts=hosts)

    def allows(self, address: Address) -> bool:
        """Whether this very address may be connected to, by network alone."""
        plain = _plain(address)
        if any(plain in network for network in self.networks if network.version == plain.version):
            return True
        return plain.is_global and not (plain.is_multicast or plain.is_reserved or _is_site_local(plain) or plain in _PROTOCOL)

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Raises AddressRefused unless all addresses of the host are allowed: a name that mixes them is a trick."""
        if _plain_host(host) in self.hosts:
            return
        for text in addresses:
            if not self.allows(ipaddress.ip_address(text.partition("%")[0])):
                raise AddressRefused(host)

    def check_literal(self, host: str) -> None:
        """The same for a host that is written as an address, which no resolver ever sees."""
        text = host.strip("[]")
        try:
            ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return
        self.check(host, [text])


def resolve_and_check(host: str, port: int, guard: Guard) -> list[str]:
    """The addresses of the host, each checked. Connect to one of these, never to the name: it may lead elsewhere the next time.

    Raises AddressRefused. Takes as long as the resolver does.
    """
    try:
        # Also what only the C library takes for an address (127.1, 0x7f000001) comes back as one and is checked.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        raise AddressRefused(host) from None
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    guard.check(host, addresses)
    return addresses


def split_url(url: str) -> SplitResult:
    """An http or https URL taken apart. Raises Unprocessable for anything else, and for one that carries a user name or password."""
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url or "\\" in url:
        raise _bad_url("It is too long, or holds spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        raise _bad_url("It can't be read.") from None
    if parts.scheme not in SCHEMES or not host or port == 0:
        raise _bad_url("It must start with https:// or http:// and name a host.")
    if "@" in parts.netloc:
        raise _bad_url("It must not hold a user name or a password.")
    if parts.fragment:
        raise _bad_url("It must not hold a fragment (#).")
    return parts


def port_of(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def check_url(url: str, guard: Guard) -> None:
    """At the door, before a URL is kept: its form, and where it leads now. Raises Unprocessable, AddressRefused."""
    parts = split_url(url)
    resolve_and_check(parts.hostname or "", port_of(parts), guard)


def _bad_url(why: str) -> Unprocessable:
    return Unprocessable(f"This URL can't be used. {why}", code="invalid_url", hint="For instance: https://hooks.example.org/condahub")


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _plain_host(host: str) -> str:
    return host.strip().lower().rstrip(".")


def _is_site_local(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.is_site_local


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where there is one (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
