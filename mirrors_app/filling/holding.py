"""Whose bytes a mirror may use without asking its upstream: its own organization's, and those of public channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet

from channels_app.models import Channel, Effect, FileState, PackageFile
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.filling import rows
from mirrors_app.models import Mirror, MirroredFile

CHUNK_HASHES = 500


class Held(NamedTuple):
    """A file whose bytes are here, somewhere."""

    pk: int
    subdir: str
    filename: str
    sha256: str
    md5: str
    size: int


# The roles stand in it as they do in the index `mirrored_unshown`: SQLite would not use it for parameters, and read every row.
_UNSHOWN = f"""
    SELECT file.id, file.subdir, file.filename, file.sha256, file.md5, file.size
    FROM {MirroredFile._meta.db_table} AS one JOIN {PackageFile._meta.db_table} AS file ON file.id = one.file_id
    WHERE one.mirror_id = %s AND one.role IN ('staged', 'aside') AND file.blob_id IS NOT NULL
"""  # noqa: S608


def own_unshown(mirror: Mirror) -> dict[tuple[str, str], list[Held]]:
    """What earlier runs of this mirror kept and did not show; those whose bytes are here."""
    with connection.cursor() as cursor:
        cursor.execute(_UNSHOWN, [mirror.pk])
        held = [Held(*row) for row in cursor.fetchall()]
    return dict(rows.by_key((one.subdir, one.filename, one) for one in held))


def is_of(one: Held, record: UpstreamRecord) -> bool:
    """Whether these bytes are the record's: by sha256, else md5."""
    facts = record.facts
    return one.sha256 == facts.sha256 if facts.sha256 else bool(facts.md5) and one.md5 == facts.md5


def elsewhere(channel: Channel, records: Sequence[UpstreamRecord], *, whole: bool = False) -> Iterator[tuple[UpstreamRecord, PackageFile]]:
    """Of these records, those whose very bytes the organization or a public channel holds under the same name, each with such a file.
    whole: with all of its columns.

    By sha256 alone: an md5 can be forged.
    """
    for chunk in rows.chunks(records, CHUNK_HASHES):
        wanted = {one.sha256: one for one in chunk if one.sha256}
        best: dict[str, PackageFile] = {}
        files = _allowed(channel, wanted)
        for file in files if whole else files.only("subdir", "filename", "build_number", "sha256", "size", "channel_id"):
            record = wanted[file.sha256]
            if (file.subdir, file.filename) == record.key and file.build_number == record.facts.build_number:
                best.setdefault(file.sha256, file)
        for record in chunk:
            if (found := best.get(record.sha256)) is not None:
                yield record, found


def _allowed(channel: Channel, hashes: dict[str, UpstreamRecord]) -> QuerySet[PackageFile]:
    own = Q(channel__organization_id=channel.organization_id)
    public = (
        Q(channel__visibility="public", channel__deleted_at__isnull=True, channel__organization__deleted_at__isnull=True)
        & Q(state__in=(FileState.LIVE, FileState.YANKED))
        & ~Q(verdict=Effect.DENY)
    )
    return PackageFile.objects.filter(own | public, blob__sha256__in=list(hashes)).exclude(state=FileState.PURGED)
