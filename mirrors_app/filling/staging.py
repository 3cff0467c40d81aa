"""Bytes on their way into a mirrored channel: kept many at a time, noted as files that nobody sees yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from channels_app import selectors
from channels_app.models import SEEN_LONG_AGO, Blob, Channel, FileState, PackageFile
from channels_app.services import packages, quotas
from channels_app.services.collect import claim_many
from condahub.events.services.watching import tell_quota
from condahub.packages.reader import PackageInfo
from condahub.packages.record import canonical_json
from condahub.storage.blobs import TemporaryBlob, blobs
from mirrors_app.core.records import Refused, UpstreamRecord
from mirrors_app.core.target import Fetched
from mirrors_app.filling import rows
from mirrors_app.filling.rows import NewFile
from mirrors_app.models import Mirror, MirroredFile

MAX_INTEGER = 2**63 - 1


class _Kept(NamedTuple):
    record: UpstreamRecord
    info: PackageInfo
    bytes: TemporaryBlob
    aside: bool


class Staging:
    """What one run has kept: after `settle` it outlives the run, the process and the machine's power."""

    def __init__(self, mirror: Mirror, *, only_reads: bool = False) -> None:
        self.mirror = mirror
        self._waiting: list[_Kept] = []
        self._room = quotas.room_bytes(mirror.channel)
        # Owners are told once of a quota that is used up, and of what a plan finds not at all.
        self._told = only_reads

    @property
    def first_seen_at(self) -> datetime | None:
        """What comes in a mirror's first run is as old as the upstream; None: it is seen now."""
        return SEEN_LONG_AGO if self.mirror.first_synced_at is None else None

    def fits(self, size: int) -> bool:
        """Whether so many bytes more are within the quotas; they are counted, if so."""
        if size > self._room:
            if not self._told:
                self._told = True
                tell_quota(self.mirror.channel.organization)
            return False
        self._room -= size
        return True

    def keep(self, batch: Sequence[Fetched]) -> list[Refused]:
        """Take these over; those that may not be had are returned and not taken."""
        refused = []
        for one in batch:
            assert isinstance(one.bytes, TemporaryBlob)
            if (reason := self._refusal(one)) is not None:
                refused.append(Refused(*one.record.key, reason))
                continue
            self._waiting.append(_Kept(one.record, one.info, one.bytes.park(), one.aside))
        return refused

    def _refusal(self, one: Fetched) -> str | None:
        if one.record.section == "v3":
            return "This hub's index has no place for records of the section v3 (CEP-48)."
        if not -MAX_INTEGER <= one.record.facts.build_number <= MAX_INTEGER:
            return "Its build number is out of bounds."
        if not self.fits(one.bytes.size):
            return f"{one.bytes.size:,} bytes do not fit: the quota of the channel or of its organization is used up."
        return None

    def settle(self) -> None:
        """Everything kept is durable, in the store, and noted."""
        waiting, self._waiting = self._waiting, []
        try:
            for chunk in rows.chunks(waiting):
                blobs().keep_many([one.bytes for one in chunk])
                self._note(chunk)
        finally:
            for one in waiting:
                one.bytes.close()

    @transaction.atomic
    def _note(self, kept: Sequence[_Kept]) -> None:
        channel = selectors.lock(self.mirror.channel)
        claimed = claim_many([one.bytes for one in kept])
        files: dict[tuple[str, str, str], tuple[NewFile, str]] = {}
        for one in kept:
            new = self._new_file(one, claimed[one.bytes.sha256])
            files[new.key] = (new, MirroredFile.Role.ASIDE if one.aside else MirroredFile.Role.STAGED)
        note(self.mirror, channel, files)

    def _new_file(self, one: _Kept, blob: Blob) -> NewFile:
        return NewFile(
            record=one.record,
            facts=one.record.facts,
            sha256=one.bytes.sha256,
            md5=one.bytes.md5,
            size=one.bytes.size,
            blob_id=blob.pk,
            run_exports=canonical_json(one.info.run_exports).decode(),
            about=canonical_json(packages.described(one.info.about)).decode(),
            first_seen_at=self.first_seen_at,
        )

    def discard(self) -> None:
        """What was kept and not settled."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.bytes.close()


class Noted(NamedTuple):
    """mirrored: by id of the file, what the mirror knows of it; outdated: files that were there, unknown to the mirror, with another
    record than this one, and their ids.
    """

    mirrored: Mapping[int, int]
    outdated: Sequence[tuple[NewFile, int]]


def note(mirror: Mirror, channel: Channel, files: Mapping[tuple[str, str, str], tuple[NewFile, str]], *, is_empty: bool = False) -> Noted:
    """Rows for these files, which nobody sees yet; (subdir, filename, sha256) -> (file, role). Those that are there are used.

    is_empty: none of them is there. The channel's row and those of the blobs are taken. Raises QuotaExceeded.
    """
    there = {} if is_empty else _rows_there(channel, files)
    fresh = {key: new for key, (new, _) in files.items() if key not in there}
    ids = dict(zip(fresh, rows.insert_files(channel, list(fresh.values()), now=timezone.now()), strict=True)) if fresh else {}
    quotas.add(channel, sum(new.size for new in fresh.values() if new.blob_id is not None))
    for key, file in there.items():
        if file.blob_id is None and files[key][0].blob_id is not None and file.state != FileState.PURGED:
            PackageFile.objects.filter(pk=file.pk).update(blob_id=files[key][0].blob_id)
        ids[key] = file.pk
    noted = MirroredFile.objects.filter(file_id__in=[file.pk for file in there.values()]) if there else MirroredFile.objects.none()
    known = {file_id: (pk, role) for file_id, pk, role in noted.values_list("file_id", "pk", "role")}
    unknown = [(new, ids[key], role) for key, (new, role) in files.items() if ids[key] not in known]
    made = dict(zip((file_id for _, file_id, _ in unknown), rows.insert_mirrored(mirror, unknown), strict=True))
    turned = [
        known[ids[key]][0]
        for key, (_, role) in files.items()
        if role == MirroredFile.Role.ASIDE and known.get(ids[key], (0, ""))[1] == MirroredFile.Role.STAGED
    ]
    rows.set_roles(turned, MirroredFile.Role.ASIDE)
    quotas.require_within(channel)
    outdated = [(files[key][0], file.pk) for key, file in there.items() if file.pk in made and _is_outdated(file, files[key][0])]
    return Noted(made, outdated)


def _is_outdated(file: PackageFile, new: NewFile) -> bool:
    return file.record != rows.completed(new.record, new.facts, new.sha256, new.size)


def _rows_there(channel: Channel, files: Mapping[tuple[str, str, str], tuple[NewFile, str]]) -> dict[tuple[str, str, str], PackageFile]:
    """Rows of the very same files: of a run that was killed, or deleted since."""
    there: dict[tuple[str, str, str], PackageFile] = {}
    for chunk in rows.chunks(sorted({new.record.name for new, _ in files.values()})):
        found = PackageFile.objects.filter(channel=channel, name__in=chunk).only(
            "subdir", "filename", "sha256", "state", "blob_id", "record"
        )
        there.update({(one.subdir, one.filename, one.sha256): one for one in found})
    return {key: file for key, file in there.items() if key in files}
