"""Reads for the pages: lists of channels with what is newest in them, a package's grid of versions and platforms, its downloads."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import msgspec
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from channels_app.index.assemble import named
from channels_app.models import Channel, DownloadCount, Effect, FileState, Package, PackageFile, Revision
from channels_app.portal import words
from condahub.accounts.policy import Actor
from condahub.engine import versions

WEEKS_SHOWN = 12
GRID_VERSIONS = 12


def with_changes(channels: QuerySet[Channel]) -> QuerySet[Any]:
    """Channels with `changed_at`, when their newest revision was made, and the package that was published last."""
    revision = Revision.objects.filter(channel=OuterRef("pk")).order_by("-number")
    newest = Package.objects.filter(channel=OuterRef("pk")).exclude(latest_version="").order_by("-updated_at")
    return channels.select_related("organization").annotate(
        changed_at=Subquery(revision.values("created_at")[:1]),
        newest_name=Subquery(newest.values("name")[:1]),
        newest_version=Subquery(newest.values("latest_version")[:1]),
    )


def packages_counts(channel_ids: Sequence[int]) -> dict[int, int]:
    """How many packages with something to install each of these channels has; one query."""
    rows = Package.objects.filter(channel_id__in=channel_ids).exclude(latest_version="").order_by().values_list("channel_id")
    return dict(rows.annotate(number=Count("pk")))


def packages_count() -> Subquery:
    """The same as a part of a query of channels: for few of them."""
    rows = Package.objects.filter(channel=OuterRef("pk")).exclude(latest_version="").order_by().values("channel")
    return Subquery(rows.annotate(number=Count("pk")).values("number"))


def mine(actor: Actor) -> QuerySet[Channel]:
    """The channels of organizations that the actor has a role in, and those that something is granted on."""
    held = [row for rows in actor.roles().values() for row in rows]
    whole = {row.organization_id for row in held if row.channel_id is None and row.environment_id is None}
    single = {row.channel_id for row in held if row.channel_id is not None}
    return Channel.objects.visible_to(actor).filter(Q(organization_id__in=whole) | Q(pk__in=single))


def for_platform(packages: QuerySet[Package], platform: str) -> QuerySet[Package]:
    """Those with a file for a platform. The list is looked at as the JSON text it is, which every database can."""
    quoted = msgspec.json.encode(platform).decode()
    return packages.alias(platforms_text=Cast("platforms", TextField())).filter(platforms_text__contains=quoted)


@dataclass
class Cell:
    """The files of one version for one platform. state: the one that a person has to know of."""

    count: int = 0
    state: str = FileState.LIVE

    @property
    def word(self) -> str:
        return str(words.FILE_STATES[FileState(self.state)])


@dataclass
class GridRow:
    version: str
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """Versions, the newest first, by platforms. hidden: how many older versions are left out."""

    platforms: list[str]
    rows: list[GridRow]
    hidden: int


_SHOWN_RANK = {FileState.LIVE: 0, FileState.HELD: 1, FileState.YANKED: 2, FileState.DELETED: 3, FileState.PURGED: 4}


def grid(files: QuerySet[PackageFile], *, whole: bool) -> Grid:
    """One grouped query; `whole` shows all versions."""
    counts = files.exclude(state=FileState.ASIDE).order_by().values_list("version", "subdir", "state").annotate(number=Count("pk"))
    rows: dict[str, GridRow] = {}
    platforms: set[str] = set()
    for version, subdir, state, number in counts:
        platforms.add(subdir)
        cell = rows.setdefault(version, GridRow(version)).cells.setdefault(subdir, Cell(0, state))
        if state in (FileState.LIVE, FileState.HELD, FileState.YANKED):
            cell.count += number
        cell.state = min(cell.state, state, key=lambda one: _SHOWN_RANK[FileState(one)])
    ordered = [rows[version] for version in newest_first(rows)]
    shown = ordered if whole else ordered[:GRID_VERSIONS]
    return Grid(sorted(platforms), shown, len(ordered) - len(shown))


def newest_first(names: Sequence[str] | dict[str, Any]) -> list[str]:
    """Versions in conda's order (CEP-33), the newest first."""

    def compare(one: str, other: str) -> int:
        if versions.is_newer(one, other):
            return -1
        return 1 if versions.is_newer(other, one) else 0

    return sorted(sorted(names), key=functools.cmp_to_key(compare))


@dataclass(frozen=True)
class Week:
    """Downloads in the seven days from `start`."""

    start: date
    count: int


def downloads_by_week(channel: Channel, package: str) -> list[Week]:
    """The last WEEKS_SHOWN weeks, the present one last; one query."""
    today = timezone.now().date()
    first = today - timedelta(days=today.weekday() + 7 * (WEEKS_SHOWN - 1))
    counts = DownloadCount.objects.filter(file__channel=channel, file__name=package, day__gte=first)
    weeks = dict.fromkeys(range(WEEKS_SHOWN), 0)
    for day, count in counts.order_by().values_list("day").annotate(number=Sum("count")):
        weeks[min((day - first).days // 7, WEEKS_SHOWN - 1)] += count
    return [Week(first + timedelta(days=7 * number), count) for number, count in weeks.items()]


@dataclass(frozen=True)
class Dependency:
    """One dependency of a package. package: its name; here: whether this channel has something to install under it."""

    spec: str
    package: str
    here: bool
    virtual: bool


def dependencies(actor_packages: QuerySet[Package], depends: Sequence[str]) -> list[Dependency]:
    """What a record's `depends` name, and whether they are there; one query."""
    names = {spec: name for spec in depends if (name := named(spec))}
    there = set(actor_packages.filter(name__in=set(names.values())).exclude(latest_version="").values_list("name", flat=True))
    return [Dependency(spec, name, name in there, name.startswith("__")) for spec, name in names.items()]


def newest_file(files: QuerySet[PackageFile], version: str) -> PackageFile | None:
    """The file of a version that came last, found here: asked for it, SQLite would walk the whole channel by date."""
    rows = files.defer(None).filter(version=version, state=FileState.LIVE, verdict=Effect.ALLOW)
    return max(rows, key=lambda file: (file.indexed_at, file.pk), default=None)
