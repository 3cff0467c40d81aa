"""What the job and the child that resolves pip requirements say to each other."""

from __future__ import annotations

import msgspec

from condahub.engine.lock import HubLock


class BuiltWheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that the organization has built of a source distribution. built_with: as Fetched has it; path: where it lies."""

    filename: str
    sdist_sha256: str
    path: str
    built_with: tuple[str, ...] = ()


class SourceBuilds(msgspec.Struct, kw_only=True):
    """How source distributions are built. prefix: where the environment's files find themselves; known: built before; seconds,
    memory_bytes: that one build may take; hidden: folders of the hub that none may see.
    """

    prefix: str
    seconds: float
    memory_bytes: int
    known: tuple[BuiltWheel, ...] = ()
    hidden: tuple[str, ...] = ()


class Resolve(msgspec.Struct, kw_only=True):
    """Resolve `requirements` for each platform of the lock, and fetch the wheels into `folder`; without requirements, fetch the
    very wheels that the lock names.

    prefix: where the packages of `platform` are linked; proxy: the only way out; index, extra_indexes: addresses of PEP 503
    indexes, of which the extra ones come first; cache_folder: uv's, of one organization alone; known: wheels that the
    organization has, by sha256, which are not fetched again; max_bytes: of all wheels together; exclude_newer: RFC 3339, '' for no limit.
    sources: None where nothing is built of its source.
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
    sources: SourceBuilds | None = None


class Fetched(msgspec.Struct, kw_only=True):
    """A wheel that was fetched, or built. address: from where; path: where it lies; sdist, sdist_sha256: the source
    distribution that it was built of, '' for none; built_with: the wheels that took, as "<filename> sha256:<digest>".
    """

    sha256: str
    filename: str
    name: str
    version: str
    size: int
    address: str
    path: str
    sdist: str = ""
    sdist_sha256: str = ""
    built_with: tuple[str, ...] = ()


class Resolved(msgspec.Struct, kw_only=True):
    """The lock with wheels in it, and the wheels, each once."""

    lock: HubLock
    wheels: tuple[Fetched, ...]
