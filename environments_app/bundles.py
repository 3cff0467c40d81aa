"""How an environment is carried to another hub: its specification, its current build's lock, and the packages that the lock names."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from django.conf import settings
from django.utils import timezone

from channels_app.models import Channel
from condahub import bundles
from condahub.accounts.models import Organization
from condahub.accounts.policy import AccessTarget, Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.bundles import Luggage, WantedPackage
from condahub.engine.lock import HubLock, LockedChannel, PlatformLock
from condahub.errors import Conflict, Unprocessable
from condahub.names import check_name
from environments_app import selectors
from environments_app.building import outcome
from environments_app.models import Build, BuildChannel, BuildPackage, BuildState, Environment, Specification, SpecificationKind
from environments_app.spec import SpecInvalid, parse

ENVIRONMENT, LOCK, SPECIFICATION = "environment.json", "lock.json", "specification.txt"
KEY_BYTES = 6
MAX_SPECIFICATION_CHARS = 1024 * 1024


class _About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """kind: of the specification; request: what was solved; number: of the build there."""

    number: int
    kind: str
    description: str
    request: dict[str, Any]


class Environments:
    """Packs and unpacks environments (condahub.bundles.Traveller)."""

    def pack(self, *, actor: Actor, name: str) -> Luggage:
        """The current build. Raises Forbidden, Conflict where there is none, or where it has wheels, which no channel holds."""
        organization, _, environment_name = name.partition("/")
        environment = selectors.environment_for(actor, organization, environment_name, Permission.ENVIRONMENT_READ)
        build = environment.current_build
        if build is None or build.lock is None:
            raise Conflict(f"'{environment}' has no build yet.", code="no_build", hint="Build it first.")
        build = selectors.build_for(actor, environment, build.number)
        assert build.lock is not None
        lock = HubLock.from_bytes(bytes(build.lock.content))
        if any(platform.pypi for platform in lock.platforms.values()):
            raise Conflict(f"'{environment}' has wheels, which no bundle carries.", code="wheels_not_carried", hint="Nothing was exported.")
        about = _About(
            number=build.number, kind=build.specification.kind, description=environment.description, request=_portable(build.request)
        )
        documents = {
            ENVIRONMENT: msgspec.json.encode(about, order="sorted"),
            LOCK: lock.to_bytes(),
            SPECIFICATION: build.specification.text.encode(),
        }
        return Luggage(build.number, documents, _wanted(lock))

    def permit(self, *, actor: Actor, organization_id: int) -> None:
        target = AccessTarget(organization_id=organization_id)
        for permission in (Permission.ENVIRONMENT_CREATE, Permission.ENVIRONMENT_UPDATE, Permission.BUILD_CREATE):
            require(actor, permission, target)

    def unpack(self, *, label: str, organization_id: int, channel_id: int, name: str, documents: Mapping[str, bytes]) -> Mapping[str, Any]:
        """The environment with one more build, which has its lock and waits for its folder as an archived build does."""
        about, lock, text = _read(documents)
        check_name(name, what="an environment")
        organization = Organization.objects.get(pk=organization_id)
        channel = Channel.objects.get(pk=channel_id)
        environment = _environment(organization, name, about.description, label)
        build = _build(environment, _specification(organization, about.kind, text, label), _on(lock, channel), about, channel, label)
        audit(
            actor=_Label(label),
            action="build.import",
            target=f"build:{build}",
            organization_id=organization_id,
            details={"lock": build.lock.sha256 if build.lock else "", "channel": channel.name},
        )
        return {"name": str(environment), "build": build.number, "packages": build.package_count}


class _Label(Actor):
    def __init__(self, label: str) -> None:
        super().__init__(system=True, via=label)

    @property
    def label(self) -> str:
        return self.via


def _portable(request: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, as plain JSON."""
    table: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(request))
    return table


def _wanted(lock: HubLock) -> list[WantedPackage]:
    records = {(one.channel, one.subdir, one.filename, one.sha256) for platform in lock.platforms.values() for one in platform.conda}
    ids = dict(Channel.objects.existing().filter(name__in={one[0] for one in records}).values_list("name", "pk"))
    return [WantedPackage(ids.get(channel, 0), subdir, filename, sha256) for channel, subdir, filename, sha256 in sorted(records)]


def _read(documents: Mapping[str, bytes]) -> tuple[_About, HubLock, str]:
    try:
        about = msgspec.json.decode(documents[ENVIRONMENT], type=_About)
        text = documents[SPECIFICATION].decode()
        lock = HubLock.from_bytes(documents[LOCK])
        if about.kind not in SpecificationKind.values or len(text) > MAX_SPECIFICATION_CHARS or "\x00" in text:
            raise ValueError
    except (KeyError, ValueError, msgspec.MsgspecError):
        raise Unprocessable("The bundle's environment can't be read.", code="bundle_manifest", hint="Nothing was changed.") from None
    return about, lock, text


def _on(lock: HubLock, channel: Channel) -> HubLock:
    """The same packages, all out of the one channel that the bundle filled."""
    platforms = {
        subdir: PlatformLock(
            conda=tuple(msgspec.structs.replace(one, channel=channel.name) for one in platform.conda),
            virtual_packages=platform.virtual_packages,
        )
        for subdir, platform in lock.platforms.items()
    }
    return HubLock.of(channels=[LockedChannel(channel.name, channel.head + 1)], platforms=platforms)


def _environment(organization: Organization, name: str, description: str, label: str) -> Environment:
    found = Environment.objects.existing().select_for_update(of=("self",)).filter(organization=organization, name=name).first()
    return found or Environment.objects.create(organization=organization, name=name, description=description, created_by=label)


def _specification(organization: Organization, kind: str, text: str, label: str) -> Specification:
    try:
        canonical = parse(text, public_url=settings.CONDAHUB_PUBLIC_URL)[1].canonical()
    except SpecInvalid:
        # Written for channels of the other hub: the lock says what is in it all the same.
        canonical = {}
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    values = {"kind": kind, "text": text, "canonical": canonical, "author": label}
    return Specification.objects.get_or_create(organization=organization, sha256=sha256, defaults=values)[0]


def _build(environment: Environment, specification: Specification, lock: HubLock, about: _About, channel: Channel, label: str) -> Build:
    environment.last_number += 1
    row, now = outcome.keep_lock(lock), timezone.now()
    build = Build.objects.create(
        environment=environment,
        number=environment.last_number,
        key=secrets.token_hex(KEY_BYTES),
        specification=specification,
        request=about.request,
        state=BuildState.COMPLETED,
        lock=row,
        package_count=max((len(platform.conda) for platform in lock.platforms.values()), default=0),
        author=label[:200],
        ended_at=now,
        # Its folder is made from the lock when somebody asks for it, as that of any build which was set aside.
        archived_at=now,
    )
    BuildChannel.objects.create(
        build=build, channel=channel, name=channel.name, organization_id=channel.organization_id, position=0, revision=channel.head + 1
    )
    BuildPackage.objects.bulk_create(outcome.package_rows(build, lock), batch_size=500)
    environment.current_build = build
    environment.save(update_fields=["last_number", "current_build"])
    return build


def register() -> None:
    """Called once, when the app is ready."""
    bundles.register("environment", Environments())
