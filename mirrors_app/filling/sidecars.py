"""Notes what an upstream's index says attests packages (CEP-50), to be brought once they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction

from channels_app.models import Attestation
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.filling.rows import chunks
from mirrors_app.models import Mirror, MirroredFile, WantedSidecar

MAX_URL_CHARS = 2000


def note(mirror: Mirror, records: Iterable[UpstreamRecord]) -> None:
    """Of files that are shown, or about to be, and whose records name a sidecar that is not here: a thousand at a time, and before
    the states are written down, so that a run which dies loses none.
    """
    by_subdir: dict[str, list[UpstreamRecord]] = {}
    for one in records:
        # Without a sha256 nothing says that it is about these bytes.
        if one.attested and one.sha256:
            by_subdir.setdefault(one.subdir, []).append(one)
    for subdir, several in by_subdir.items():
        for chunk in chunks(several):
            _note(mirror, subdir, chunk)


@transaction.atomic
def _note(mirror: Mirror, subdir: str, records: Sequence[UpstreamRecord]) -> None:
    named = {one.filename: one for one in records}
    found = MirroredFile.objects.filter(mirror=mirror, subdir=subdir, name__in={one.name for one in records}).exclude(file=None)
    files = {
        file_id: named[filename]
        for filename, file_id, sha256 in found.values_list("filename", "file_id", "sha256")
        if filename in named and sha256 == named[filename].sha256
    }
    here = set(Attestation.objects.filter(file__in=list(files)).values_list("file_id", "sha256"))
    here |= set(WantedSidecar.objects.filter(file__in=list(files)).values_list("file_id", "sha256"))
    fresh = {pk: one for pk, one in files.items() if (pk, one.attested) not in here}
    WantedSidecar.objects.filter(file__in=list(fresh)).delete()
    made = [
        WantedSidecar(mirror=mirror, file_id=pk, url=f"{one.url}.sigs.{one.attested}", sha256=one.attested) for pk, one in fresh.items()
    ]
    WantedSidecar.objects.bulk_create([one for one in made if len(one.url) <= MAX_URL_CHARS])
