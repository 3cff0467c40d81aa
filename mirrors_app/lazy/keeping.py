"""Looks whether the bytes that came are the package that the index promised, and makes them the channel's."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Blob, Channel, DownloadCount, FileState, PackageFile
from channels_app.services import packages, quotas
from channels_app.services.collect import claim_blobs
from condahub.errors import Gone, HubError, QuotaExceeded
from condahub.packages.identity import Identity, read_identity
from condahub.packages.pool import inspect
from condahub.storage.blobs import TemporaryBlob, blobs
from mirrors_app.lazy import leases
from mirrors_app.models import MirroredFile


class NotWhatWasPromised(HubError):
    """The upstream gave other bytes than its index says (502)."""

    code = "upstream_broken"
    status = 502
    hint = "Nothing of it was kept; the next request asks the upstream again."


class Purged(Gone):
    """Its bytes are those of a row that was purged (410). reason: of that."""

    code = "purged"

    def __init__(self, filename: str, reason: str) -> None:
        super().__init__(f"'{filename}' was purged: {reason}")
        self.reason = reason


def verify(file: PackageFile, temporary: TemporaryBlob) -> None:
    """Raise NotWhatWasPromised unless size, sha256 (else md5) and the package's own info/index.json are the row's."""
    if file.size and temporary.size != file.size:
        raise NotWhatWasPromised(f"'{file.filename}' came with {temporary.size} bytes in place of {file.size}.")
    if file.sha256 and temporary.sha256 != file.sha256:
        raise NotWhatWasPromised(f"'{file.filename}' came with another sha256 than its record has.")
    if not file.sha256 and temporary.md5 != file.md5:
        raise NotWhatWasPromised(f"'{file.filename}' came with another md5 than its record has.")
    _verify_identity(file, _identity(temporary.path, file.filename))


def _identity(path: Path, filename: str) -> Identity:
    try:
        with path.open("rb") as file:
            said = read_identity(file, filename=filename)
        return said or Identity.of(inspect(path, filename=filename))
    except HubError as error:
        raise NotWhatWasPromised(error.detail) from error


def _verify_identity(file: PackageFile, said: Identity) -> None:
    wanted = (file.name, file.version, file.build, file.build_number)
    if (said.name, said.version, said.build, said.build_number) != wanted or said.subdir not in (None, file.subdir):
        raise NotWhatWasPromised(f"'{file.filename}' holds another package than its record says.")


def require_room(channel: Channel, size: int) -> None:
    """Before anything is fetched. Raises QuotaExceeded."""
    with quotas.telling(channel):
        try:
            quotas.require_room(channel, size)
        except QuotaExceeded as error:
            # Whoever asks is a reader, who sent nothing that could be too large.
            raise QuotaExceeded(error.detail, status=507) from error


def keep(file_id: int, temporary: TemporaryBlob, *, holder: str) -> None:
    """Make verified bytes durable, then the file's, and end the lease. Raises QuotaExceeded, StorageFull, Unavailable, Purged."""
    blobs().keep(temporary)
    channel = PackageFile.objects.select_related("channel__organization").get(pk=file_id).channel
    try:
        with quotas.telling(channel), transaction.atomic():
            channel = selectors.lock(channel)
            blob = claim_blobs([temporary])[temporary.sha256]
            _give(channel, file_id, blob)
            leases.release(file_id, holder=holder)
    except Purged as error:
        _purge(channel, file_id, error.reason)
        raise


def _purge(channel: Channel, file_id: int, reason: str) -> None:
    """What was purged by its hash is purged by any: nobody fetches it again to find that out."""
    with transaction.atomic():
        channel = selectors.lock(channel)
        file = PackageFile.objects.get(pk=file_id)
        file.state, file.reason = FileState.PURGED, reason
        file.save(update_fields=["state", "reason", "changed_at"])
        packages.refresh(channel, {file.name})
        mark_dirty(channel.pk, [(file.subdir, file.name)], cause=f"{file.filename} was purged before")
        selectors.bump(channel)
    publish_dirty(channel.pk)


def reuse(file: PackageFile, *, holder: str) -> bool:
    """Take bytes that the same organization or a public channel holds already: a hash that somebody knows is no key.

    False when there are none.
    """
    if not file.sha256 or not _held_openly(file):
        return False
    with transaction.atomic():
        channel = selectors.lock(file.channel)
        blob = Blob.objects.select_for_update().filter(sha256=file.sha256).first()
        if blob is None or not _held_openly(file) or not blobs().exists(file.sha256):
            return False
        _give(channel, file.pk, blob)
        leases.release(file.pk, holder=holder)
    return True


def _held_openly(file: PackageFile) -> bool:
    holders = PackageFile.objects.filter(blob__sha256=file.sha256, channel__deleted_at__isnull=True)
    own = holders.filter(channel__organization_id=file.channel.organization_id)
    return own.exists() or holders.filter(channel__visibility="public", state=FileState.LIVE).exists()


def _give(channel: Channel, file_id: int, blob: Blob) -> None:
    """The channel's row is taken."""
    file = PackageFile.objects.select_for_update().filter(pk=file_id, blob__isnull=True).exclude(state=FileState.PURGED).first()
    if file is None:
        return
    _still_wanted(file, blob)
    _take_twin(channel, file, blob)
    file.blob = blob
    file.sha256, file.md5, file.size = blob.sha256, file.md5 or blob.md5, blob.size
    file.save(update_fields=["blob", "sha256", "md5", "size", "changed_at"])
    MirroredFile.objects.filter(file=file).update(sha256=file.sha256, md5=file.md5, size=file.size)
    quotas.add(channel, file.size)
    quotas.require_within(channel)


def _still_wanted(file: PackageFile, blob: Blob) -> None:
    """The index may promise other bytes by now than those that were asked for."""
    is_other = file.sha256 != blob.sha256 if file.sha256 else bool(file.md5) and file.md5 != blob.md5
    if is_other:
        raise NotWhatWasPromised(f"The index promises other bytes of '{file.filename}' by now.")


def _take_twin(channel: Channel, file: PackageFile, blob: Blob) -> None:
    """Where the index once named these very bytes otherwise, they have a row already, which nobody is shown: this one takes its place.

    Raises Purged where its bytes were purged.
    """
    same = PackageFile.objects.filter(channel=channel, subdir=file.subdir, filename=file.filename, sha256=blob.sha256)
    twin = same.exclude(pk=file.pk).first()
    if twin is None:
        return
    if twin.state == FileState.PURGED:
        raise Purged(file.filename, twin.reason)
    if twin.blob_id is not None:
        quotas.add(channel, -twin.size)
    file.first_seen_at = min(file.first_sight, twin.first_sight)
    file.save(update_fields=["first_seen_at"])
    MirroredFile.objects.filter(file=twin).delete()
    DownloadCount.objects.filter(file=twin).delete()
    twin.delete()
