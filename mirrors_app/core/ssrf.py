"""Which addresses a mirror may speak to: public ones, and those that were allowed by network or host name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from mirrors_app.core.errors import BadConfiguration, ForbiddenAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# is_global alone takes the NAT64 prefix for public, through which private IPv4 addresses can be reached.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = frozenset({ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")})


@dataclass(frozen=True, slots=True)
class Guard:
    """networks: allowed besides the public ones, in CIDR; hosts: names allowed wherever they lead, lower case."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, *, networks: Iterable[str] = (), hosts: Iterable[str] = ()) -> Guard:
        """Read the settings. Raises BadConfiguration for what is no network."""
        try:
            parsed = tuple(ipaddress.ip_network(text.strip(), strict=False) for text in networks)
        except ValueError as error:
            raise BadConfiguration(f"{error}.", hint="Write networks as 10.0.0.0/8 or fd00::/8.") from error
        return cls(parsed, frozenset(host.strip().lower().rstrip(".") for host in hosts))

    def allows(self, address: Address) -> bool:
        """Whether this very address may be connected to, by network alone."""
        plain = _plain(address)
        if any(plain in network for network in self.networks if network.version == plain.version):
            return True
        return plain.is_global and not plain.is_multicast and not plain.is_reserved and plain not in _METADATA

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Raises ForbiddenAddress unless all addresses of the host are allowed: a name that mixes them is a trick."""
        if host.lower().rstrip(".") in self.hosts:
            return
        for text in addresses:
            if not self.allows(ipaddress.ip_address(text.partition("%")[0])):
                raise ForbiddenAddress(f"'{host}' leads to an address that is not public.")

    def check_literal(self, host: str) -> None:
        """The same for a host that is written as an address, which no resolver ever sees."""
        try:
            ipaddress.ip_address(host.partition("%")[0].strip("[]"))
        except ValueError:
            return
        self.check(host, [host.strip("[]")])


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


class GuardedResolver(AbstractResolver):
    """Resolves and checks in one step: the connection goes to the very addresses that were checked, so a name can't change between.

    unguarded: hosts of the operator's own proxies, which are not the upstream's to choose.
    """

    def __init__(self, guard: Guard, *, unguarded: Iterable[str] = ()) -> None:
        self._guard, self._unguarded = guard, frozenset(unguarded)
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host not in self._unguarded:
            self._guard.check(host, [one["host"] for one in found])
        return found

    async def close(self) -> None:
        await self._resolver.close()
