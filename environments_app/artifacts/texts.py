"""Artifacts that are text: written from the lock while they are downloaded, with the addresses of this hub or the original ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import yaml
from django.conf import settings

from channels_app import origins
from condahub.accounts.policy import Actor
from condahub.engine.lock import HubLock
from condahub.engine.lock_writing import Addresses, conda_lock, explicit, pinned_environment, pixi_lock
from condahub.engine.records import CondaRecord, PypiRecord
from condahub.engine.sbom import cyclonedx, spdx
from condahub.errors import Conflict, Invalid, NotFound
from condahub.jobs import selectors as jobs
from environments_app.artifacts.kinds import Kind
from environments_app.models import ArtifactKind, Build, BuildPackage
from environments_app.pip import wheels

PIXI_VERSIONS = (6, 7)
DIGESTS = ("md5", "sha256")


@dataclass(frozen=True)
class Options:
    """upstream: original addresses where they are known; pixi_version: 6 or 7; digest: of an explicit file; reader: who is to read it,
    as where a channel comes from is not for everybody to know.
    """

    upstream: bool = False
    pixi_version: int = 6
    digest: str = "md5"
    reader: Actor = field(default_factory=Actor.anonymous)

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Options:
        """From `?urls=upstream`, `?version=7`, `?hash=sha256`. Raises Invalid."""
        urls = _one_of("urls", query.get("urls", "hub"), ("hub", "upstream"))
        version = _one_of("version", query.get("version", "6"), tuple(map(str, PIXI_VERSIONS)))
        return cls(urls == "upstream", int(version), _one_of("hash", query.get("hash", "md5"), DIGESTS))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise Invalid(f"'{name}' can't be '{value[:40]}'.", code="bad_value", hint=f"One of {', '.join(known)}.")
    return value


def lock_of(build: Build) -> HubLock:
    """The lock of a build. Raises Conflict where it has none: it did not complete."""
    if build.lock is None:
        raise Conflict(
            f"Build {build.number} is {build.state}: it has no lock.", code="build_not_completed", hint="Wait for it to complete."
        )
    return HubLock.from_bytes(bytes(build.lock.content))


def render(build: Build, kind: Kind, platform: str, options: Options) -> bytes:
    """The bytes of a text. Raises Conflict where the build has no lock yet, NotFound for a log that is gone."""
    if kind.kind == ArtifactKind.SPECIFICATION:
        return build.specification.text.encode()
    if kind.kind == ArtifactKind.LOG:
        return _log(build)
    return _WRITERS[kind.kind](build, lock_of(build), platform, options)


def _log(build: Build) -> bytes:
    if build.job is None:
        raise NotFound(f"The log of build {build.number} is not kept any more.", code="no_such_artifact")
    return "".join(f"{line.text}\n" for line in jobs.log_of(build.job)).encode()


def build_address(build: Build) -> str:
    """Where the REST API has this build."""
    environment = build.environment
    return (
        f"{settings.CONDAHUB_PUBLIC_URL}/api/hub/v1/organizations/{environment.organization.name}"
        f"/environments/{environment.name}/builds/{build.number}"
    )


def addresses(build: Build, lock: HubLock, options: Options) -> Addresses:
    """This hub's addresses of everything that a lock names; or the original ones, where the hub knows them."""
    known = origins.origins_of([one.name for one in lock.channels], options.reader) if options.upstream else {}
    fetched_from = _fetched_from(build) if options.upstream else {}

    def channel(name: str) -> str:
        return known.get(name) or f"{settings.CONDAHUB_PUBLIC_URL}/channels/{name}"

    def file(record: CondaRecord | PypiRecord) -> str:
        name = quote(record.filename, safe="-._~+!")
        if isinstance(record, CondaRecord):
            return f"{channel(record.channel)}/{record.subdir}/{name}"
        return fetched_from.get(record.sha256) or f"{build_address(build)}/wheels/{record.sha256}/{name}"

    def index(name: str) -> str:
        asked = build.request.get("pip_options", {}).get("index_url") if options.upstream else None
        return str(asked or f"{build_address(build)}/wheels")

    return Addresses(channel=channel, file=file, index=index)


def _fetched_from(build: Build) -> Mapping[str, str]:
    digests = build.packages.filter(kind=BuildPackage.Kind.PYPI).values_list("sha256", flat=True)
    return wheels.addresses(build.environment.organization_id, digests)


_Writer = Callable[[Build, HubLock, str, Options], bytes]


def _pinned(build: Build, lock: HubLock, platform: str, options: Options) -> bytes:
    text = pinned_environment(
        lock, platform, addresses(build, lock, options), name=build.environment.name, variables=build.request.get("variables") or None
    )
    return text.encode()


def _pixi(build: Build, lock: HubLock, platform: str, options: Options) -> bytes:
    return pixi_lock(lock, addresses(build, lock, options), version=options.pixi_version).encode()


def _conda_lock(build: Build, lock: HubLock, platform: str, options: Options) -> bytes:
    return conda_lock(lock, addresses(build, lock, options)).encode()


def conda_lock_document(build: Build) -> Any:
    """conda-lock's file as the values it holds. Raises Conflict."""
    lock = lock_of(build)
    return yaml.load(conda_lock(lock, addresses(build, lock, Options())), Loader=yaml.CSafeLoader)


def _explicit(build: Build, lock: HubLock, platform: str, options: Options) -> bytes:
    return explicit(lock, platform, addresses(build, lock, options), digest=options.digest).encode()


def _cyclonedx(build: Build, lock: HubLock, platform: str, options: Options) -> bytes:
    where = addresses(build, lock, options).file
    return cyclonedx(lock, platform, name=str(build.environment), version=str(build.number), address_of=where)


def _spdx(build: Build, lock: HubLock, platform: str, options: Options) -> bytes:
    where = addresses(build, lock, options).file
    return spdx(lock, platform, name=str(build.environment), version=str(build.number), namespace=build_address(build), address_of=where)


_WRITERS: dict[ArtifactKind, _Writer] = {
    ArtifactKind.PINNED: _pinned,
    ArtifactKind.PIXI_LOCK: _pixi,
    ArtifactKind.CONDA_LOCK: _conda_lock,
    ArtifactKind.EXPLICIT: _explicit,
    ArtifactKind.SBOM: _cyclonedx,
    ArtifactKind.SBOM_SPDX: _spdx,
}
