"""A proxy channel as the sync core's target: every record is shown, and no bytes are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Concat, Substr

from channels_app.models import FileState, PackageFile
from mirrors_app.core.addresses import joined
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.core.target import Known, Publication
from mirrors_app.filling import rows
from mirrors_app.filling.rows import chunks
from mirrors_app.filling.target import ChannelTarget
from mirrors_app.models import Location, Mirror, MirroredFile, MirrorSubdir

MAX_URL_CHARS = 2000


class LazyTarget(ChannelTarget):
    """As `ChannelTarget`, `lazily`. What was never fetched gives way to other bytes of its name in any case: nobody could have it
    any more. The run tells of it all the same.
    """

    def __init__(self, mirror: Mirror, *, check: Callable[[], None]) -> None:
        super().__init__(mirror, lazily=True, check=check)
        self._upstreams = tuple(one.url for one in mirror.upstreams.all())
        self._shown: dict[str, Mapping[str, Known]] = {}
        self._follow: list[UpstreamRecord] = []

    def known(self, subdir: str, names: Collection[str] | None) -> Mapping[str, Known]:
        found = super().known(subdir, names)
        self._shown[subdir] = found
        return found

    def holds(self, records: Sequence[UpstreamRecord]) -> Collection[tuple[str, str]]:
        others = [one for one in records if one.filename in self._shown.get(one.subdir, {})]
        here = self._fetched(one.filename for one in others)
        self._follow = [one for one in others if one.key not in here]
        return [one.key for one in records]

    def _fetched(self, filenames: Iterable[str]) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        try:
            for chunk in chunks(sorted(set(filenames))):
                fetched = MirroredFile.objects.filter(mirror=self.mirror, filename__in=chunk, file__blob__isnull=False)
                found.update(fetched.values_list("subdir", "filename"))
            return found
        finally:
            # The core calls from a thread that Django does not know.
            connection.close()

    def publish(self, publication: Publication) -> None:
        known = {one.key for one in publication.put} if self._follow else set()
        put = [*publication.put, *(one for one in self._follow if one.key not in known)]
        self._follow = []
        try:
            # Before the state says that it was done: who asks meanwhile has the bytes looked for in the new place first.
            for subdir, state in publication.states.items():
                self._move_folder(subdir, state.base_url[:MAX_URL_CHARS])
            self._note_locations(publication.moved)
            with transaction.atomic():
                rows.set_spellings(self.mirror.pk, publication.moved)
        finally:
            connection.close()
        super().publish(replace(publication, put=put))
        try:
            self._note_locations(put)
        finally:
            connection.close()

    @transaction.atomic
    def _move_folder(self, subdir: str, new: str) -> None:
        """Another folder for what its records do not place themselves, and for what they place by words that are relative to it."""
        row = MirrorSubdir.objects.filter(mirror=self.mirror, subdir=subdir).first()
        if row is None or row.base_url == new:
            return
        if row.base_url and new:
            placed = Location.objects.filter(file__channel=self.mirror.channel_id, file__subdir=subdir, url__startswith=row.base_url)
            placed.update(url=Concat(Value(new), Substr("url", len(row.base_url) + 1)))
        MirrorSubdir.objects.filter(pk=row.pk).update(base_url=new)

    def _note_locations(self, records: Sequence[UpstreamRecord]) -> None:
        """Where those lie whose records place them themselves, elsewhere than beside the index."""
        elsewhere = {one.key: one.own_url for one in records if one.own_url and not self._is_beside(one)}
        if not elsewhere and not Location.objects.filter(file__channel=self.mirror.channel_id).exists():
            return
        for subdir in sorted({one.subdir for one in records}):
            for filenames in chunks([one.filename for one in records if one.subdir == subdir]):
                self._note_chunk(subdir, filenames, elsewhere)

    def _is_beside(self, record: UpstreamRecord) -> bool:
        beside = f"{record.subdir}/{quoted(record.filename)}"
        return any(record.own_url == joined(upstream, beside) for upstream in self._upstreams)

    @transaction.atomic
    def _note_chunk(self, subdir: str, filenames: Sequence[str], elsewhere: Mapping[tuple[str, str], str]) -> None:
        files = PackageFile.objects.filter(channel=self.mirror.channel_id, subdir=subdir, filename__in=filenames)
        had = Location.objects.filter(file__in=files.values("pk"))
        wanted = [filename for filename in filenames if (subdir, filename) in elsewhere]
        if not wanted and not had.exists():
            return
        had.delete()
        live = files.filter(state=FileState.LIVE, filename__in=wanted).values_list("pk", "filename")
        Location.objects.bulk_create([Location(file_id=pk, url=elsewhere[subdir, filename]) for pk, filename in live])


def quoted(filename: str) -> str:
    """As it stands in an address."""
    return filename.replace("+", "%2B")
