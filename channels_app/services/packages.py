"""What a channel says of a package name as a whole: kept current as its files come and go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from django.db import connection
from django.utils import timezone

from channels_app.index.render import ABOUT_KEYS
from channels_app.models import Channel, Effect, FileState, Package, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.services import needs
from condahub.engine import versions

MAX_ABOUT_CHARS = 32_768
CHUNK_NAMES = 200
FIELDS = ("latest_version", "platforms", "files_count", "updated_at", "summary", "description", "license", "url")


def described(about: dict[str, Any]) -> dict[str, Any]:
    """The part of info/about.json that a channel tells (CEP-38); absurdly long texts are cut."""
    kept = {key: value for key, value in about.items() if key in ABOUT_KEYS and value not in (None, "", [])}
    return {
        key: value[:MAX_ABOUT_CHARS] if isinstance(value, str) else value
        for key, value in kept.items()
        if len(str(value)) < 4 * MAX_ABOUT_CHARS
    }


class _File(NamedTuple):
    pk: int
    version: str
    subdir: str
    state: str
    verdict: str

    @property
    def is_shown(self) -> bool:
        return self.state == FileState.LIVE and self.verdict == Effect.ALLOW


_FILES = (
    f"SELECT name, {', '.join('id' if one == 'pk' else one for one in _File._fields)} FROM {PackageFile._meta.db_table}"  # noqa: S608
    f" WHERE channel_id = %s AND name IN ({{}}) AND state IN ({', '.join(repr(one.value) for one in OCCUPYING_STATES)})"
)


def refresh(channel: Channel, names: Iterable[str], *, newest: PackageFile | None = None, is_view_only: bool = False) -> None:
    """Bring the Package rows of these names up to date; in the transaction that changed the files.

    newest: the file that was just published, which then need not be read again. is_view_only: the files are the same, and policy
    shows others of them: that is no update of a package. A few queries for 200 names.
    """
    wanted = sorted(set(names))
    for start in range(0, len(wanted), CHUNK_NAMES):
        _refresh(channel, wanted[start : start + CHUNK_NAMES], newest, is_view_only)


def _refresh(channel: Channel, names: Sequence[str], newest: PackageFile | None, is_view_only: bool) -> None:
    files = _files(channel, names)
    known = {package.name: package for package in Package.objects.filter(channel=channel, name__in=names)}
    gone = [package.pk for name, package in known.items() if name not in files]
    if gone:
        Package.objects.filter(pk__in=gone).delete()
    latest = {name: versions.latest({one.version for one in several if one.is_shown}) for name, several in files.items()}
    platforms = {name: sorted({one.subdir for one in several if one.is_shown}) for name, several in files.items()}
    if is_view_only:
        files = {
            name: several
            for name, several in files.items()
            if name not in known or (known[name].latest_version, known[name].platforms) != (latest[name], platforms[name])
        }
    needs.note(channel, [*files, *(package.name for package in known.values() if package.pk in gone)], _newest(files, latest))
    texts = _texts(files, latest, newest)
    now = timezone.now()
    changed = []
    for name, several in files.items():
        package = known.get(name) or Package(channel=channel, name=name)
        package.latest_version = latest[name]
        package.platforms = platforms[name]
        package.files_count = len(several)
        if name not in known or not is_view_only:
            package.updated_at = now
        for field, text in texts.get(name, {}).items():
            setattr(package, field, text)
        changed.append(Package(channel=channel, name=name, **{field: getattr(package, field) for field in FIELDS}))
    # One statement for all of them, which an update of many rows is not.
    Package.objects.bulk_create(
        changed, batch_size=CHUNK_NAMES, update_conflicts=True, unique_fields=["channel", "name"], update_fields=FIELDS
    )


def _files(channel: Channel, names: Sequence[str]) -> dict[str, list[_File]]:
    """Past the ORM, which takes twice as long for so many short rows."""
    files: dict[str, list[_File]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_FILES.format(", ".join(["%s"] * len(names))), [channel.pk, *names])
        for name, *row in cursor.fetchall():
            files[name].append(_File(*row))
    return files


def _newest(files: Mapping[str, Sequence[_File]], latest: Mapping[str, str]) -> list[int]:
    """Of each name's latest version the file that came last, for each platform."""
    best: dict[tuple[str, str], int] = {}
    for name, several in files.items():
        for one in several:
            if one.is_shown and one.version == latest[name]:
                best[name, one.subdir] = max(best.get((name, one.subdir), 0), one.pk)
    return list(best.values())


def _texts(files: Mapping[str, Sequence[_File]], latest: Mapping[str, str], newest: PackageFile | None) -> dict[str, dict[str, str]]:
    """Summary and the like of each name: from the file just published, else from the last seen one of the latest version."""
    best: dict[int, str] = {}
    for name, several in files.items():
        shown = [one for one in several if one.is_shown and one.version == latest[name]]
        if shown:
            best[max(one.pk for one in shown)] = name
    sources = {} if newest is None or newest.pk not in best else {best.pop(newest.pk): newest}
    sources.update((best[file.pk], file) for file in PackageFile.objects.filter(pk__in=best).only("about", "record"))
    return {name: _texts_of(file) for name, file in sources.items()}


def _texts_of(file: PackageFile) -> dict[str, str]:
    about: dict[str, Any] = msgspec.json.decode(file.about)
    record: dict[str, Any] = msgspec.json.decode(file.record)
    license_name = record.get("license") or about.get("license") or ""
    return {
        "summary": _text(about.get("summary"))[:1000],
        "description": _text(about.get("description")),
        "license": _text(license_name)[:200],
        "url": _text(about.get("home"))[:500],
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return str(value[0]) if value else ""
    return value.replace("\x00", "") if isinstance(value, str) else ""
