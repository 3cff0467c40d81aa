"""HubLock: the immutable, host-free list of exactly which packages an environment is made of, on every platform."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping

import msgspec

from condahub.engine.records import CondaRecord, LockedChannel, PlatformLock, PypiRecord
from condahub.errors import Unprocessable

FORMAT_VERSION = 1
_SHA256 = re.compile("[0-9a-f]{64}")

__all__ = ["CondaRecord", "HubLock", "LockedChannel", "PlatformLock", "PypiRecord"]


class HubLock(msgspec.Struct, frozen=True, kw_only=True):
    """A solved environment. channels: in their priority; platforms: what each gets, by subdir.

    Made by `of`, it is in canonical order; two locks with the same content have the same bytes. It names channels,
    revisions, files and hashes: hosts are filled in when a lock file is written of it (condahub.engine.lock_writing).
    """

    version: int = FORMAT_VERSION
    channels: tuple[LockedChannel, ...]
    platforms: dict[str, PlatformLock]

    @classmethod
    def of(cls, *, channels: Iterable[LockedChannel], platforms: Mapping[str, PlatformLock]) -> HubLock:
        """The lock in canonical order. Unprocessable if a platform would get two packages of one name, or one without its sha256."""
        return cls(channels=tuple(channels), platforms={subdir: _in_order(subdir, lock) for subdir, lock in sorted(platforms.items())})

    @classmethod
    def from_bytes(cls, data: bytes) -> HubLock:
        """Read back what `to_bytes` wrote. Unprocessable if it is something else."""
        try:
            lock = msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise Unprocessable("This is not a lock of a hub.", code="invalid_lock") from error
        if lock.version != FORMAT_VERSION:
            raise Unprocessable(f"A hub's lock of version {lock.version} can't be read here.", code="invalid_lock")
        return cls.of(channels=lock.channels, platforms=lock.platforms)

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no white space, UTF-8."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of the canonical bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def packages_sha256(self) -> str:
        """The same whatever the revisions were at: equal for two locks of the same packages."""
        return HubLock(channels=tuple(LockedChannel(one.name) for one in self.channels), platforms=self.platforms).sha256

    def only(self, subdir: str) -> HubLock:
        """The lock of that one platform. Unprocessable if it has none."""
        self.platform(subdir)
        return HubLock(channels=self.channels, platforms={subdir: self.platforms[subdir]})

    def platform(self, subdir: str) -> PlatformLock:
        """What that platform gets. Unprocessable if the lock is not for it."""
        try:
            return self.platforms[subdir]
        except KeyError:
            known = ", ".join(self.platforms) or "no platform"
            raise Unprocessable(f"The lock is not for {subdir} but for {known}.", code="no_such_platform") from None


def _in_order(subdir: str, lock: PlatformLock) -> PlatformLock:
    conda = tuple(sorted(lock.conda, key=lambda record: record.name))
    pypi = tuple(sorted(lock.pypi, key=lambda record: record.name))
    for names in ([record.name for record in conda], [record.name for record in pypi]):
        for one, other in itertools.pairwise(names):
            if one == other:
                raise Unprocessable(f"{subdir}: there are two packages called {one}.", code="invalid_lock")
    for filename, digest in [(one.filename, one.sha256) for one in conda] + [(one.filename, one.sha256) for one in pypi]:
        if _SHA256.fullmatch(digest) is None:
            raise Unprocessable(f"{subdir}: {filename} has no sha256.", code="invalid_lock")
    return PlatformLock(conda=conda, pypi=pypi, virtual_packages=tuple(sorted(lock.virtual_packages)))


def in_dependency_order(records: Iterable[CondaRecord]) -> list[CondaRecord]:
    """Each package after those it depends on, python before all that need it; by name where nothing else decides."""
    by_name = {record.name: record for record in sorted(records, key=lambda record: record.name)}
    done: dict[str, CondaRecord] = {}
    for name in by_name:
        _after_its_dependencies(name, by_name, done)
    return list(done.values())


def _after_its_dependencies(start: str, by_name: Mapping[str, CondaRecord], done: dict[str, CondaRecord]) -> None:
    # Depth first without recursion: chains of dependencies are longer than Python's stack likes, and may be circles.
    waiting: list[tuple[str, list[str]]] = []
    entered: set[str] = set()

    def enter(name: str) -> None:
        entered.add(name)
        waiting.append((name, sorted({dependency.split(" ", 1)[0].lower() for dependency in by_name[name].depends}, reverse=True)))

    if start not in done:
        enter(start)
    while waiting:
        name, dependencies = waiting[-1]
        while dependencies:
            dependency = dependencies.pop()
            if dependency in by_name and dependency not in done and dependency not in entered:
                enter(dependency)
                break
        else:
            waiting.pop()
            done[name] = by_name[name]
