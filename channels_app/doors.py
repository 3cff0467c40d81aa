"""What a byte-serving process remembers of channels and files, so that a hot file costs no query."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from channels_app.models import Channel, ChannelKind, ChannelName, FileState, PackageFile, Policy, Revision
from channels_app.policies import serving
from channels_app.virtual.walls import Parts, parts_of
from condahub.accounts.models import Organization
from condahub.accounts.policy import AccessTarget
from condahub.names import MAX_NAME_CHARS, NAME_PATTERN
from condahub.prepared import Prepared
from condahub.remembering import Remembered

# How old the word on who may read a channel may be when a package file is served.
DOOR_SECONDS = 2.0
# Of 2026-01-31; a time has more.
DAY_CHARS = 10
_NUMBER = re.compile(r"[0-9]{1,7}|[0-9]{9,18}")  # eight digits are a day
REMEMBERED_DOORS = 4096
REMEMBERED_FILES = 65536


class Door(NamedTuple):
    """A channel as its readers meet it; `asked_name` differs from `name` where an alias was used."""

    channel_id: int
    name: str
    asked_name: str
    kind: str
    visibility: str
    allow_overwrite: bool
    head: int
    generation: int
    target: AccessTarget
    has_policy: bool
    # Of a virtual channel: the names, by id, of those whose packages it gives out, the highest first.
    members: Mapping[int, str] = {}

    @property
    def is_virtual(self) -> bool:
        return self.kind == ChannelKind.VIRTUAL


class ServedFile(NamedTuple):
    """A package file that may be downloaded, or (sha256 "") a purged one with its reason. blob_id: None where its bytes are not here."""

    file_id: int
    sha256: str
    size: int
    state: str
    reason: str
    indexed_at: datetime
    blob_id: int | None = None


_COLUMNS = ("pk", "sha256", "size", "state", "reason", "indexed_at", "blob_id")
_doors: Remembered[str, tuple[float, Door]] = Remembered(REMEMBERED_DOORS)
_files: Remembered[tuple[int, int, str, str], ServedFile] = Remembered(REMEMBERED_FILES)

_SELECT = f"""
    SELECT c.id, c.name, c.visibility, c.allow_overwrite, c.head, c.generation, c.organization_id, o.personal_of_id IS NOT NULL,
        EXISTS (SELECT 1 FROM {Policy._meta.db_table} p
            WHERE p.level = 'installation' OR p.organization_id = c.organization_id OR p.channel_id = c.id),
        c.kind
    FROM {Channel._meta.db_table} c JOIN {Organization._meta.db_table} o ON o.id = c.organization_id
    WHERE c.name = %s AND c.deleted_at IS NULL AND o.deleted_at IS NULL
"""  # noqa: S608 - table names, no input


def door(name: str, *, fresh: bool) -> Door | None:
    """The channel of this name or alias; `fresh` reads it now, else it may be DOOR_SECONDS old."""
    if not fresh:
        found = _doors.get(name)
        if found is not None and time.monotonic() - found[0] < DOOR_SECONDS:
            return found[1]
    made = (_read(name, name) or _read_alias(name)) if NAME_PATTERN.fullmatch(name) and len(name) <= MAX_NAME_CHARS else None
    if made is None:
        _doors.forget(name)
    else:
        _doors.put(name, (time.monotonic(), made))
    return made


def _read(name: str, asked_name: str) -> Door | None:
    with connection.cursor() as cursor:
        cursor.execute(_SELECT, [name])
        row = cursor.fetchone()
    if row is None:
        return None
    parts = parts_of(row[0]) if row[9] == ChannelKind.VIRTUAL else Parts({}, ())
    target = AccessTarget(organization_id=row[6], channel_id=row[0], visibility=row[2], personal=bool(row[7]), made_of=parts.made_of)
    return Door(row[0], row[1], asked_name, row[9], row[2], bool(row[3]), row[4], row[5], target, bool(row[8]), parts.members)


def _read_alias(name: str) -> Door | None:
    current = ChannelName.objects.filter(name=name, state="alias", channel__isnull=False).values_list("channel__name", flat=True).first()
    return _read(current, name) if current else None


def renamed_at(door: Door) -> datetime:
    """When the channel got another name than the one it was asked for by."""
    return ChannelName.objects.values_list("changed_at", flat=True).get(name=door.asked_name)


def _named(channel_id: int, subdir: str, filename: str) -> QuerySet[PackageFile, tuple[Any, ...]]:
    return PackageFile.objects.filter(channel_id=channel_id, subdir=subdir, filename=filename).values_list(*_COLUMNS)


_prepared_files = Prepared(_named, -1, "-", "--")


def served_file(door: Door, subdir: str, filename: str) -> ServedFile | None:
    """The file that a plain URL names: live or yanked, else a purged one; None for all else."""
    key = (door.channel_id, door.generation, subdir, filename)
    if (found := _files.get(key)) is not None:
        return found
    states = {row[3]: ServedFile(*row) for row in _prepared_files.rows(door.channel_id, subdir, filename)}
    made = states.get(FileState.LIVE) or states.get(FileState.YANKED) or states.get(FileState.HELD) or states.get(FileState.PURGED)
    # What is not here yet may be at any moment.
    if made is not None and (made.blob_id is not None or door.kind != ChannelKind.PROXY):
        _files.put(key, made)
    return made


def file_removed_by(door: Door, subdir: str, filename: str, created_at: datetime) -> ServedFile | None:
    """The file that a revision of that time names as removed, where it is still to be had: no other bytes that came later."""
    rows = PackageFile.objects.filter(channel_id=door.channel_id, subdir=subdir, filename=filename, indexed_at__lte=created_at)
    row = rows.exclude(state__in=(FileState.DELETED, FileState.ASIDE)).order_by("-indexed_at", "-pk").values_list(*_COLUMNS).first()
    return ServedFile(*row) if row else None


def file_by_content(door: Door, subdir: str, filename: str, *, sha256: str = "", md5: str = "") -> ServedFile | None:
    """The file with exactly these bytes, whatever its state: what a past revision names, by md5 where an upstream gave no more."""
    rows = PackageFile.objects.filter(channel_id=door.channel_id, subdir=subdir, filename=filename)
    row = rows.filter(**({"sha256": sha256} if sha256 else {"md5": md5})).values_list(*_COLUMNS).first()
    return ServedFile(*row) if row else None


def file_now(file_id: int) -> ServedFile | None:
    """The file as it is at this moment."""
    row = PackageFile.objects.filter(pk=file_id).values_list(*_COLUMNS).first()
    return ServedFile(*row) if row else None


def require_open(door: Door, file: ServedFile, filename: str, *, is_past: bool) -> None:
    """Raise Forbidden for a file that policy keeps closed today; costs nothing where no level has a policy."""
    if door.has_policy:
        serving.require_open(
            channel_id=door.channel_id, generation=door.generation, file_id=file.file_id, filename=filename, is_past=is_past
        )


def revision_at(door: Door, moment: str) -> int | None:
    """The number that `@...` names: a revision's number, or the last one made by a time (ISO 8601; a day means its end)."""
    if _NUMBER.fullmatch(moment):
        number = int(moment)
        kept = Revision.objects.filter(channel_id=door.channel_id, number=number).exists()
        return number if kept else None
    when = moment_of(moment)
    if when is None:
        return None
    return (
        Revision.objects.filter(channel_id=door.channel_id, created_at__lte=when)
        .order_by("-number")
        .values_list("number", flat=True)
        .first()
    )


def moment_of(text: str) -> datetime | None:
    """The time in UTC that a text names (ISO 8601, UTC unless it says otherwise; a day means its end); None for a number."""
    if _NUMBER.fullmatch(text):
        return None
    try:
        when = datetime.fromisoformat(text)
        if len(text) <= DAY_CHARS:
            when = when.replace(hour=23, minute=59, second=59, microsecond=999999)
        # A zone can lead out of the years there are.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    _doors.forget_all()
    _files.forget_all()
    serving.forget_all()
