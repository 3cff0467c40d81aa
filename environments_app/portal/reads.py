"""Reads for the pages: environments with what is current and newest in them, the packages that a person may pick from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, JSONField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.utils.dateparse import parse_datetime

from channels_app.models import Channel, Effect, FileState, Package, PackageFile
from condahub.accounts import selectors as accounts
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can
from environments_app import selectors
from environments_app.models import Build, BuildState, Environment

MAX_ORGANIZATIONS = 500
SUGGESTED_PACKAGES = 8
SUGGESTED_VERSIONS = 10
_TOLD = ("number", "state", "size", "package_count", "created_at", "ended_at", "error_sentence")


@dataclass(frozen=True)
class Short:
    """What a list tells of a build."""

    number: int
    state: str
    size: int
    package_count: int
    when: datetime
    error: str

    @classmethod
    def of(cls, told: dict[str, Any] | None) -> Short | None:
        if told is None:
            return None
        when = parse_datetime(told["ended_at"] or told["created_at"])
        assert when is not None
        # SQLite keeps times in UTC without saying so.
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return cls(told["number"], told["state"], told["size"], told["package_count"], when, told["error_sentence"])


@dataclass(frozen=True)
class Row:
    """An environment in a list. current, newest: of the builds that the reader may see."""

    environment: Environment
    current: Short | None
    newest: Short | None
    line: str


def with_builds(actor: Actor, environments: QuerySet[Environment]) -> QuerySet[Any]:
    """Environments with what `rows_of` takes of their builds: all of it in the query that lists them."""
    visible = Build.objects.visible_to(actor)
    told = JSONObject(**{name: F(name) for name in _TOLD})
    newest = visible.filter(environment=OuterRef("pk")).order_by("-number")
    current = visible.filter(pk=OuterRef("current_build"))
    return environments.select_related("organization").annotate(
        newest_told=Subquery(newest.values(told=told)[:1], output_field=JSONField()),
        current_told=Subquery(current.values(told=told)[:1], output_field=JSONField()),
        newest_id=Subquery(newest.values("pk")[:1]),
    )


def rows_of(environments: Collection[Any]) -> list[Row]:
    return [
        Row(one, Short.of(one.current_told), Short.of(one.newest_told), f"condahub env pull {one.organization.name}/{one.name}")
        for one in environments
    ]


def mine(actor: Actor) -> QuerySet[Environment]:
    """The environments of organizations that the actor has a role in, and those that something is granted on."""
    held = [row for rows in actor.roles().values() for row in rows]
    whole = {row.organization_id for row in held if row.channel_id is None and row.environment_id is None}
    single = {row.environment_id for row in held if row.environment_id is not None}
    return Environment.objects.visible_to(actor).filter(Q(organization_id__in=whole) | Q(pk__in=single))


def homes(actor: Actor) -> list[Organization]:
    """The organizations in which the actor may have an environment made, those shared with others first."""
    if actor.is_anonymous:
        return []
    rows = accounts.visible_organizations(actor).select_related("personal_of")[:MAX_ORGANIZATIONS]
    possible = [row for row in rows if can(actor, Permission.ENVIRONMENT_CREATE, row) and can(actor, Permission.BUILD_CREATE, row)]
    return sorted(possible, key=lambda row: (row.is_personal, row.name))


@dataclass(frozen=True)
class Standing:
    """current: what everybody gets; newest: of the builds that the reader may see."""

    current: Build | None
    newest: Build | None

    @property
    def ends(self) -> bool:
        """Whether nothing of it moves by itself."""
        return self.newest is None or self.newest.state not in (BuildState.QUEUED, BuildState.RUNNING)


def standing(actor: Actor, environment: Environment) -> Standing:
    """One query, two where the newest build is not the current one."""
    visible = Build.objects.visible_to(actor).filter(environment=environment).select_related("job")
    newest = visible.order_by("-number").first()
    current = newest if newest is not None and newest.pk == environment.current_build_id else None
    if current is None and newest is not None and environment.current_build_id is not None:
        current = visible.filter(pk=environment.current_build_id).first()
    for build in (newest, current):
        if build is not None:
            build.environment = environment
    return Standing(current, newest)


@dataclass(frozen=True)
class Suggestion:
    """A package that can be picked: as lines of a specification, the plainest first."""

    name: str
    version: str
    channel: str
    summary: str
    lines: list[str]


def readable_channels(actor: Actor, names: Collection[str]) -> QuerySet[Channel]:
    return Channel.objects.visible_to(actor).filter(name__in=names)


def suggestions(actor: Actor, channels: Collection[str], text: str) -> list[Suggestion]:
    """Packages of these channels whose name begins so; of the one that is called exactly so also its versions. Two queries."""
    name = text.strip().split(" ")[0].lower()
    if not name or not channels:
        return []
    there = Package.objects.filter(channel__in=readable_channels(actor, channels)).exclude(latest_version="").select_related("channel")
    rows = list(there.filter(name__startswith=name).defer("description").order_by("name", "channel__name")[:SUGGESTED_PACKAGES])
    exact = [row for row in rows if row.name == name]
    versions = _versions([row.channel_id for row in exact], name) if exact else []
    return [
        Suggestion(
            row.name, row.latest_version, row.channel.name, row.summary, [row.name, *([] if row.name != name else _lines(name, versions))]
        )
        for row in rows
    ]


def _lines(name: str, versions: list[str]) -> list[str]:
    return [f"{name} {version}.*" if version.count(".") < 2 else f"{name} {version}" for version in versions]


def _versions(channel_ids: Collection[int], name: str) -> list[str]:
    files = PackageFile.objects.filter(channel_id__in=channel_ids, name=name, state=FileState.LIVE, verdict=Effect.ALLOW)
    found = files.order_by().values_list("version", flat=True).distinct()
    return selectors.in_order(found, newest_first=True)[:SUGGESTED_VERSIONS]
