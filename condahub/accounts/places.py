"""How the rooms above translate the names of their objects for grants and tokens, which keep plain ids."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from condahub.accounts.permissions import AccessTarget
from condahub.accounts.policy import Actor
from condahub.errors import Unprocessable

CHANNEL = "channel"
ENVIRONMENT = "environment"


class Find(Protocol):
    def __call__(self, actor: Actor, name: str) -> AccessTarget:
        """The object of this name that the actor may read. Raises NotAuthenticated or Forbidden, hidden and unknown alike."""


class NamesOf(Protocol):
    def __call__(self, ids: Collection[int]) -> dict[int, str]:
        """The present names of these ids, in one query; ids of what is gone are left out."""


@dataclass(frozen=True)
class Places:
    """One kind of object that a role or a limit can be on."""

    find: Find
    names_of: NamesOf


_places: dict[str, Places] = {}


def register(kind: str, *, find: Find, names_of: NamesOf) -> None:
    """Called by the app that has these objects, in `AppConfig.ready`."""
    _places[kind] = Places(find, names_of)


def find(kind: str, actor: Actor, name: str) -> AccessTarget:
    """Raises NotAuthenticated, Forbidden, Unprocessable where this hub has no such kind of object."""
    known = _places.get(kind)
    if known is None:
        raise Unprocessable(f"This hub has no {kind}s.", code="no_such_kind", hint=f"Leave '{kind}' out.")
    return known.find(actor, name)


def names_of(kind: str, ids: Collection[int | None]) -> dict[int, str]:
    """Names by id; no query for no ids."""
    wanted = {one for one in ids if one is not None}
    known = _places.get(kind)
    return known.names_of(wanted) if wanted and known is not None else {}
