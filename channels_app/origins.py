"""Where the packages of channels were copied from, as the apps that copy say: for lock files with the original addresses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

AddressesOf = Callable[[Collection[str]], Mapping[str, str]]

_known: list[AddressesOf] = []


def register(addresses_of: AddressesOf) -> None:
    """`addresses_of(names)` answers with the upstream address of those channels that have exactly one; called when Django is ready."""
    if addresses_of not in _known:
        _known.append(addresses_of)


def origins_of(names: Collection[str]) -> dict[str, str]:
    """The upstream's address, without a last slash, by channel; those that stand for themselves are left out."""
    return {name: address.rstrip("/") for addresses_of in _known for name, address in addresses_of(names).items()}
