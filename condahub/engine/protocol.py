"""What a parent and an engine child say to each other: one JSON line with a request, then JSON lines with events.

The events are those that condahub.jobs understands of any child (`progress`, `log`, `result`, `error`), and one of the
engine's own, `conflict`, which comes before the error that it explains.
"""

from __future__ import annotations

import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from condahub.engine.lock import HubLock

SUBDIRS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")

ChannelPriority = Literal["strict", "disabled"]
Strategy = Literal["highest", "lowest", "lowest-direct"]
ArchiveFormat = Literal["tar.gz", "tar.zst", "sh"]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as the child reaches it.

    name: the hub's, which is what locks hold; address: where the byte-serving process serves it, without revision;
    revision: solve and fetch at exactly that one; public: everybody may read it, so its packages may lie in the shared
    cache; public_address: what the records in a prefix say it came from (default: the address).
    """

    name: str
    address: str
    revision: int | None = None
    public: bool = False
    public_address: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """One platform to solve for. virtual_packages: overrides of the defaults, such as {"glibc": "2.35", "cuda": "12.4"};
    an empty version takes the package away. specs: what is asked for on this platform only.
    """

    subdir: str
    virtual_packages: dict[str, str] = {}
    specs: tuple[str, ...] = ()


class Solve(msgspec.Struct, kw_only=True, tag_field="kind", tag="solve"):
    """Solve for each platform. previous: versions to prefer; keep: names of it that must not change; exclude_newer: with a
    time zone; cache_folder: of this organization alone; timeout_seconds: for all platforms together.
    """

    channels: tuple[Channel, ...]
    platforms: tuple[Platform, ...]
    specs: tuple[str, ...]
    cache_folder: str
    token: str = ""
    constraints: tuple[str, ...] = ()
    previous: HubLock | None = None
    keep: tuple[str, ...] = ()
    exclude_newer: datetime.datetime | None = None
    channel_priority: ChannelPriority = "strict"
    strategy: Strategy = "highest"
    timeout_seconds: float = 120.0


class WouldItSolve(Solve, kw_only=True, tag_field="kind", tag="would_it_solve"):
    """The same question, whose answer is a SolveAnswer either way."""


class Install(msgspec.Struct, kw_only=True, tag_field="kind", tag="install"):
    """Link a lock's packages of one platform into `staging`, written for the path `prefix`.

    organization_cache: package cache of this organization alone; shared_cache: for public channels' packages, '' for none;
    specs: what history says was asked for; variables: set when the environment is activated.
    """

    lock: HubLock
    platform: str
    channels: tuple[Channel, ...]
    staging: str
    prefix: str
    organization_cache: str
    shared_cache: str = ""
    token: str = ""
    specs: tuple[str, ...] = ()
    variables: dict[str, str] = {}


class Compile(msgspec.Struct, kw_only=True, tag_field="kind", tag="compile"):
    """Compile a prefix's Python files with its own python. workers: processes at once; trusted: on the machine of the person
    who will run it anyway, it need not be confined.
    """

    prefix: str
    workers: int = 1
    trusted: bool = False


class Archive(msgspec.Struct, kw_only=True, tag_field="kind", tag="archive"):
    """Pack a prefix into archives that can be unpacked anywhere. targets: file to write, by format; baked: the path the
    prefix's files were written for; caches: where its packages lie extracted.
    """

    name: str
    prefix: str
    baked: str
    targets: dict[ArchiveFormat, str]
    caches: tuple[str, ...]
    workers: int = 1


class LinkWheels(msgspec.Struct, kw_only=True, tag_field="kind", tag="link_wheels"):
    """Put a lock's wheels of one platform into `staging`, where its conda packages are already, written for the path `prefix`.

    wheels: the file of each, by sha256; max_bytes: how much they may take unpacked.
    """

    lock: HubLock
    platform: str
    staging: str
    prefix: str
    wheels: dict[str, str]
    max_bytes: int | None = None


class RunScripts(msgspec.Struct, kw_only=True, tag_field="kind", tag="run_scripts"):
    """Run the post-link scripts of the packages that lie in `staging`, where they find themselves at `prefix`.

    overlay: the file to write what they wrote to; seconds: each may take; memory_bytes: of all processes of one; max_bytes: of
    the whole environment; hidden: folders of the hub that no script may see wherever they lie.
    """

    lock: HubLock
    platform: str
    staging: str
    prefix: str
    overlay: str
    seconds: float
    memory_bytes: int
    max_bytes: int
    hidden: tuple[str, ...] = ()


class LayOver(msgspec.Struct, kw_only=True, tag_field="kind", tag="lay_over"):
    """Put what scripts wrote, as RunScripts kept it, into `staging`."""

    staging: str
    overlay: str


Request = Solve | WouldItSolve | Install | Compile | Archive | LinkWheels | RunScripts | LayOver


class Progress(msgspec.Struct, omit_defaults=True):
    """How far it is; unit: packages or bytes."""

    phase: str
    done: int = 0
    total: int | None = None
    unit: str = ""


class ConflictingSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the user's own and its part in the conflict."""

    spec: str
    why: str = ""


class Conflict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a platform can't be solved. text: the solver's tree, bounded; missing: what no channel has, as specs."""

    platform: str
    text: str
    specs: tuple[ConflictingSpec, ...] = ()
    missing: tuple[str, ...] = ()


class Failure(msgspec.Struct, omit_defaults=True):
    """A HubError on its way to the parent: detail is the sentence for the person."""

    code: str
    detail: str
    hint: str = ""
    status: int = 422


class SolveAnswer(msgspec.Struct, kw_only=True):
    """lock: None if it does not solve; seconds: what each platform took."""

    lock: HubLock | None
    seconds: dict[str, float] = {}
    conflict: Conflict | None = None


class LinkScript(msgspec.Struct, frozen=True):
    """A script that a package wants run when it is linked or unlinked, which has not been done."""

    package: str
    path: str


class InstallAnswer(msgspec.Struct, kw_only=True):
    """files: links and files of the packages; shared_files: hard links to the cache; unshared_bytes: what this prefix takes of its own."""

    packages: int
    files: int
    shared_files: int
    total_bytes: int
    unshared_bytes: int
    downloaded_bytes: int
    link_scripts: tuple[LinkScript, ...] = ()


class CompileAnswer(msgspec.Struct, kw_only=True):
    """compiled: .pyc files now there; confined_by: what held the prefix's python; skipped: why nothing was compiled."""

    compiled: int = 0
    confined_by: str = ""
    skipped: str = ""


class ArchiveAnswer(msgspec.Struct, kw_only=True):
    """sha256 and size in bytes of each target, by format; warnings: files that hold the old path and can't be moved."""

    sha256: dict[str, str]
    size: dict[str, int]
    warnings: tuple[str, ...] = ()


class LinkWheelsAnswer(msgspec.Struct, kw_only=True):
    """files, total_bytes: what was written; warnings: files of wheels that gave way to what was there."""

    packages: int
    files: int
    total_bytes: int
    warnings: tuple[str, ...] = ()


class RanScript(msgspec.Struct, kw_only=True):
    """package: as name-version-build; output: the last of what it said; message: what it wants people to be told."""

    package: str
    path: str
    output: str = ""
    message: str = ""


class RunScriptsAnswer(msgspec.Struct, kw_only=True):
    """sha256, size: of what they wrote together, as it was kept; '' where there was no script; total_bytes: of the environment."""

    ran: tuple[RanScript, ...] = ()
    sha256: str = ""
    size: int = 0
    total_bytes: int = 0


class LayOverAnswer(msgspec.Struct, kw_only=True):
    """total_bytes: of the environment."""

    files: int
    total_bytes: int


class Event(msgspec.Struct, omit_defaults=True):
    """One line of a child: exactly one of the first five is there."""

    progress: Progress | None = None
    log: str | None = None
    conflict: Conflict | None = None
    result: dict[str, Any] | None = None
    error: Failure | None = None
    level: str = "info"


def encode_request(request: Request) -> bytes:
    """The request as the one line that a child reads."""
    return msgspec.json.encode(request)


def stdin_of(request: Request) -> object:
    """The same as plain JSON values, for a parent that writes the line itself."""
    return msgspec.to_builtins(request)
