"""What is carried in a bundle beside a channel's packages: a room above says how its things are packed and unpacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from condahub.accounts.policy import Actor


class WantedPackage(NamedTuple):
    """A package that must come along, in a channel of this hub."""

    channel_id: int
    subdir: str
    filename: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Luggage:
    """One thing, packed. revision: a number that grows with its states; documents: file name -> bytes, names of [a-z0-9.-]."""

    revision: int
    documents: Mapping[str, bytes]
    packages: Sequence[WantedPackage]


class Traveller(Protocol):
    """How things of one kind travel."""

    def pack(self, *, actor: Actor, name: str) -> Luggage:
        """The thing of this name (`<organization>/<name>`) as it is now. Raises Forbidden, Conflict where there is nothing to carry."""
        ...

    def permit(self, *, actor: Actor, organization_id: int) -> None:
        """Raises Forbidden unless the actor may unpack there."""
        ...

    def unpack(self, *, label: str, organization_id: int, channel_id: int, name: str, documents: Mapping[str, bytes]) -> Mapping[str, Any]:
        """Make it in the organization, standing on that channel's packages, in the caller's transaction; what to tell of it.

        Raises HubError for documents that are not right, before anything is made.
        """
        ...


_travellers: dict[str, Traveller] = {}


def register(kind: str, traveller: Traveller) -> None:
    """An app names what it carries (`environment`)."""
    _travellers[kind] = traveller


def traveller(kind: str) -> Traveller:
    """Raises LookupError for a kind that no app carries."""
    try:
        return _travellers[kind]
    except KeyError:
        raise LookupError(f"No app carries the kind '{kind}'.") from None
