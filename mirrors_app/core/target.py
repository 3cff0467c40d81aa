"""Where a mirror's packages go: the one interface of the sync core to a channel, a plain folder, or anything else."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec
import orjson

from condahub.packages.identity import Identity
from condahub.packages.reader import PackageInfo
from mirrors_app.core.records import Refused, UpstreamRecord

IndexKind = Literal["shards", "zst", "json", "bz2", "lock", "missing"]


class Known(NamedTuple):
    """What the target shows of one file: digests as in UpstreamRecord; sha256, md5 lower-case hex or ''; size in bytes;
    left: the upstream has it no more (or the filters would not take it now), and it is kept.
    """

    name: str
    spelling: bytes
    digest: bytes
    sha256: str
    md5: str
    size: int
    left: bool = False


class SubdirState(msgspec.Struct, frozen=True):
    """Which revision of the upstream a subdir was last brought to.

    url, etag, last_modified: of the index that was read; digest: sha256 of its bytes, hex; count: its records, or names where it is
    sharded; records: how many of them are shown; shards: name -> hash, of names that were brought over whole; decided: digest of
    the filters; extra: the index's other top-level keys as JSON, locations dropped; refused: filename -> reason, still true while
    nothing changes; rejected: filename -> sha256 of bytes that were what the index promised and yet no package that may be shown:
    they are not fetched again; base_url: the folder of the bytes, absolute, "" where it is not known.
    """

    kind: IndexKind
    url: str = ""
    etag: str = ""
    last_modified: str = ""
    digest: str = ""
    count: int = 0
    records: int = 0
    shards: dict[str, bytes] = {}
    decided: str = ""
    extra: bytes = b"{}"
    refused: dict[str, str] = {}
    rejected: dict[str, str] = {}
    base_url: str = ""


class Temporary(Protocol):
    """Bytes on their way in; the file is gone at `close` unless it was kept. sha256 and md5 are lower-case hex of all that was written.

    `path` makes a file of them where there is none yet. It may have a `data` too: all of the bytes, None when they are in a file; where
    a run reads identities alone, no file is made of such bytes before `keep`.
    """

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    @property
    def md5(self) -> str: ...

    def write(self, chunk: bytes, /) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """A package whose bytes were verified. said: what was read of it, which is all of it unless the run was to read the identity
    alone; aside: it is not to be shown: another file of this name is.
    """

    record: UpstreamRecord
    said: PackageInfo | Identity
    bytes: Temporary
    aside: bool = False

    @property
    def info(self) -> PackageInfo:
        """Only in runs that read whole packages."""
        if isinstance(self.said, Identity):
            raise TypeError("This run reads identities alone.")
        return self.said

    @property
    def run_exports(self) -> builtins.bytes:
        """JSON of lists by kind, b"{}" if none."""
        return self.said.run_exports if isinstance(self.said, Identity) else orjson.dumps(self.said.run_exports)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One atomic change of what the target shows.

    put: records to show, new or with new metadata; take: (subdir, filename) not to be shown any more; left: those that go on being
    shown though the upstream has them no more (`Known.left`; a later `put` ends it); states: of the subdirs that
    were read; raw: the upstream's index of them, as it came; summary: one line for the history; moved: records that are shown as
    they are, and may lie elsewhere now.
    """

    put: Sequence[UpstreamRecord]
    take: Sequence[tuple[str, str]]
    left: Sequence[tuple[str, str]]
    states: Mapping[str, SubdirState]
    raw: Mapping[str, bytes] = field(default_factory=dict)
    summary: str = ""
    moved: Sequence[UpstreamRecord] = ()


class Target(Protocol):
    """Synchronous; `temporary`, `discard` and the object it gives are used from many threads, all else from one and the same thread.

    The order of a run: states, spellings, known, holds, then temporary, keep and settle many times, then publish.
    """

    def states(self) -> Mapping[str, SubdirState]:
        """The last published state of each subdir."""
        ...

    def known(self, subdir: str, names: Collection[str] | None) -> Mapping[str, Known]:
        """filename -> what is shown now, of all package names or of some."""
        ...

    def spellings(self, subdir: str) -> Mapping[str, bytes | None]:
        """filename -> spelling of what is shown now, None for what the upstream has no more: what a whole index is held against."""
        ...

    def pinned(self, subdir: str) -> bytes | None:
        """The upstream's index as it came with the last state, where it is still kept."""
        ...

    def holds(self, records: Sequence[UpstreamRecord]) -> Collection[tuple[str, str]]:
        """Keys of those whose very bytes are here and may be used without asking the upstream: verified, durable, readable by the owner.

        A hash that somebody knows is no key: bytes of others count only when they are public.
        """
        ...

    def temporary(self, record: UpstreamRecord) -> Temporary:
        """A new place for the bytes of this record. Raises StorageFull."""
        ...

    def keep(self, batch: Sequence[Fetched]) -> Sequence[Refused]:
        """Take these over, so that the next run finds them even when this process is killed; quick. Those that this target itself
        refuses (a quota) are returned and not taken.
        """
        ...

    def settle(self) -> None:
        """Return when all that was kept is on the disk and noted, so that it outlives the machine's power as well."""
        ...

    def publish(self, publication: Publication) -> None:
        """All of it or nothing, settled first; every record of `put` was kept or is held."""
        ...
