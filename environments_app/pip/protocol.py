"""What the job and the child that resolves pip requirements say to each other."""

from __future__ import annotations

import msgspec

from condahub.engine.lock import HubLock


class Resolve(msgspec.Struct, kw_only=True):
    """Resolve `requirements` for each platform of the lock, and fetch the wheels into `folder`; without requirements, fetch the
    very wheels that the lock names.

    prefix: where the packages of `platform` are linked; proxy: the only way out; index, extra_indexes: addresses of PEP 503
    indexes, of which the extra ones come first; cache_folder: uv's, of one organization alone; known: wheels that the
    organization has, by sha256, which are not fetched again; max_bytes: of all wheels together; exclude_newer: RFC 3339, '' for no limit.
    """

    lock: HubLock
    requirements: tuple[str, ...]
    platform: str
    prefix: str
    index: str
    extra_indexes: tuple[str, ...] = ()
    prerelease: bool = False
    proxy: str
    folder: str
    cache_folder: str
    known: dict[str, str] = {}
    max_bytes: int
    timeout_seconds: float
    exclude_newer: str = ""


class Fetched(msgspec.Struct, kw_only=True):
    """A wheel that was fetched. address: from where; path: where it lies."""

    sha256: str
    filename: str
    name: str
    version: str
    size: int
    address: str
    path: str


class Resolved(msgspec.Struct, kw_only=True):
    """The lock with wheels in it, and the wheels, each once."""

    lock: HubLock
    wheels: tuple[Fetched, ...]
