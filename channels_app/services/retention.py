"""Retention: keeps the newest builds of each package and deletes the older ones from the channel's head."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from django.db.models import QuerySet

from channels_app.models import Channel, Effect, FileState, PackageFile
from channels_app.services import states
from condahub.accounts.policy import Actor
from condahub.engine import versions
from condahub.jobs.services import enqueue

RETENTION_KIND = "channels.retention"
CHUNK_NAMES = 500


def ask_to_apply(channel: Channel, *, names: Collection[str] = (), actor_label: str) -> None:
    """Have a job let go of what is surplus, of these packages or of all; nothing to do where all builds are kept."""
    if channel.keep_builds:
        for name in names or ("",):
            enqueue(
                kind=RETENTION_KIND,
                payload={"channel": channel.pk, "name": name},
                coalesce_key=f"{channel.pk}/{name}",
                organization_id=channel.organization_id,
                actor_label=actor_label,
            )


def surplus(channel: Channel, *, names: Collection[str] = ()) -> list[tuple[str, str]]:
    """(subdir, filename) of live files past the channel's `keep_builds`, newest kept by version, build number, first sight.

    A .conda and a .tar.bz2 of one build count once. What policy hides neither counts nor goes: it must not push out what is shown.
    names: of these packages alone.
    """
    if not channel.keep_builds:
        return []
    groups: dict[tuple[str, str], dict[str, list[PackageFile]]] = defaultdict(lambda: defaultdict(list))
    files = PackageFile.objects.filter(channel=channel, state=FileState.LIVE, verdict=Effect.ALLOW).only(
        "subdir", "filename", "name", "version", "build_number", "indexed_at"
    )
    for found in _of_names(files, names):
        for file in found.iterator(chunk_size=2000):
            stem = file.filename.removesuffix(".conda").removesuffix(".tar.bz2")
            groups[(file.subdir, file.name)][stem].append(file)
    result = []
    for stems in groups.values():
        if len(stems) > channel.keep_builds:
            for stem in _oldest_last(stems)[channel.keep_builds :]:
                result += [(file.subdir, file.filename) for file in stems[stem]]
    return sorted(result)


def _of_names(files: QuerySet[PackageFile], names: Collection[str]) -> Iterator[QuerySet[PackageFile]]:
    if not names:
        yield files
    ordered = sorted(names)
    for start in range(0, len(ordered), CHUNK_NAMES):
        yield files.filter(name__in=ordered[start : start + CHUNK_NAMES])


def _oldest_last(stems: dict[str, list[PackageFile]]) -> list[str]:
    by_version: dict[str, list[str]] = defaultdict(list)
    for stem, files in stems.items():
        by_version[files[0].version].append(stem)
    ordered: list[str] = []
    remaining = set(by_version)
    while remaining:
        newest = versions.latest(remaining)
        remaining.discard(newest)
        ordered += sorted(by_version[newest], key=lambda stem: (stems[stem][0].build_number, stems[stem][0].indexed_at, stem), reverse=True)
    return ordered


def apply_retention(*, actor: Actor, channel: Channel, name: str = "") -> int:
    """Delete what is surplus, as one change; how many files went. Past revisions still hold them."""
    files = surplus(channel, names=[name] if name else ())
    let_go(actor=actor, channel=channel, files=files)
    return len(files)


def let_go(*, actor: Actor, channel: Channel, files: Sequence[tuple[str, str]]) -> None:
    """Delete these as one change. Raises as `states.change_state`."""
    if files:
        states.change_state(
            actor=actor,
            channel=channel,
            verb=states.DELETE,
            files=files,
            reason=f"retention: the newest {channel.keep_builds} builds are kept",
        )
