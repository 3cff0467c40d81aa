"""Where a mirror may connect to: the hub's guard, put into aiohttp so that a connection goes to the very address that was checked."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from condahub.net.guard import AddressRefused, Guard
from mirrors_app.core.errors import BadConfiguration, ForbiddenAddress


def make_guard(*, networks: Iterable[str] = (), hosts: Iterable[str] = ()) -> Guard:
    """What is allowed besides public addresses. Raises BadConfiguration."""
    try:
        return Guard.of(networks=networks, hosts=hosts)
    except ValueError as error:
        raise BadConfiguration(f"{error}.", hint="Write networks as 10.0.0.0/8 or fd00::/8.") from error


def check_literal(guard: Guard, host: str) -> None:
    """A host that is written as an address is seen by no resolver. Raises ForbiddenAddress."""
    try:
        guard.check_literal(host)
    except AddressRefused as error:
        raise forbidden(host) from error


def forbidden(host: str) -> ForbiddenAddress:
    """One answer for whatever is not public."""
    return ForbiddenAddress(f"'{host[:255]}' leads to an address that is not public.")


class GuardedResolver(AbstractResolver):
    """Resolves and checks in one step, so that a name can't come to mean something else in between.

    unguarded: hosts of the operator's own proxies, which are not the upstream's to choose.
    """

    def __init__(self, guard: Guard, *, unguarded: Iterable[str] = ()) -> None:
        self._guard, self._unguarded = guard, frozenset(unguarded)
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host not in self._unguarded:
            try:
                self._guard.check(host, [one["host"] for one in found])
            except AddressRefused as error:
                raise forbidden(host) from error
        return found

    async def close(self) -> None:
        await self._resolver.close()
