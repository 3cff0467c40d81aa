"""Where the packages of channels were copied from, as the apps that copy say: for lock files with the original addresses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from condahub.accounts.policy import Actor

AddressesOf = Callable[[Collection[str], Actor], Mapping[str, str]]

_known: list[AddressesOf] = []


def register(addresses_of: AddressesOf) -> None:
    """`addresses_of(names, actor)` answers with the upstream address of those channels that have exactly one and whose origin the
    actor may know; called when Django is ready.
    """
    if addresses_of not in _known:
        _known.append(addresses_of)


def origins_of(names: Collection[str], actor: Actor) -> dict[str, str]:
    """The upstream's address, without a last slash, by channel; those that stand for themselves, or whose origin is not for this
    actor to know, are left out.
    """
    return {name: address.rstrip("/") for addresses_of in _known for name, address in addresses_of(names, actor).items()}
