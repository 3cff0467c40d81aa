"""What a channel says of a package name as a whole: kept current as its files come and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from django.utils import timezone

from channels_app.index.render import ABOUT_KEYS
from channels_app.models import Channel, FileState, Package, PackageFile
from condahub.engine import versions

MAX_ABOUT_CHARS = 32_768


def described(about: dict[str, Any]) -> dict[str, Any]:
    """The part of info/about.json that a channel tells (CEP-38); absurdly long texts are cut."""
    kept = {key: value for key, value in about.items() if key in ABOUT_KEYS and value not in (None, "", [])}
    return {
        key: value[:MAX_ABOUT_CHARS] if isinstance(value, str) else value
        for key, value in kept.items()
        if len(str(value)) < 4 * MAX_ABOUT_CHARS
    }


def refresh(channel: Channel, names: Iterable[str], *, newest: PackageFile | None = None) -> None:
    """Bring the Package rows of these names up to date; in the transaction that changed the files."""
    for name in sorted(set(names)):
        files = list(
            PackageFile.objects.filter(
                channel=channel, name=name, state__in=(FileState.LIVE, FileState.YANKED, FileState.HELD)
            ).values_list("version", "subdir", "state")
        )
        if not files:
            Package.objects.filter(channel=channel, name=name).delete()
            continue
        shown = [one for one in files if one[2] == FileState.LIVE]
        latest = versions.latest({version for version, _, _ in shown})
        values: dict[str, Any] = {
            "latest_version": latest,
            "platforms": sorted({subdir for _, subdir, _ in shown}),
            "files_count": len(files),
            "updated_at": timezone.now(),
        }
        values.update(_texts(channel, name, latest, newest))
        Package.objects.update_or_create(channel=channel, name=name, defaults=values)


def _texts(channel: Channel, name: str, latest: str, newest: PackageFile | None) -> dict[str, str]:
    """Summary and the like: from the file just published, else from one of the latest version."""
    source = newest if newest is not None and newest.name == name and newest.version == latest else None
    if source is None:
        # The newest is found here: asked for it, SQLite would walk the whole channel by date.
        candidates = PackageFile.objects.filter(channel=channel, name=name, version=latest, state=FileState.LIVE)
        source = max(candidates.only("about", "record", "indexed_at"), key=lambda file: (file.indexed_at, file.pk), default=None)
    if source is None:
        return {}
    about: dict[str, Any] = msgspec.json.decode(source.about)
    record: dict[str, Any] = msgspec.json.decode(source.record)
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
