"""The one path by which every package comes in: permit, stream, check, store, record, index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Blob, Channel, ChannelKind, FileState, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import VERDICT_FIELDS, View, stamp, view_of
from channels_app.services import packages, quotas, retention
from channels_app.services.collect import claim_blobs
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, HubError, Invalid, TooLarge, Unprocessable
from condahub.events.services import emit
from condahub.packages.names import PackageFilename, check_subdir, split_filename
from condahub.packages.pool import inspect
from condahub.packages.reader import PackageInfo, check_identity
from condahub.packages.record import canonical_json, make_record
from condahub.storage.blobs import TemporaryBlob, blobs


@dataclass(frozen=True)
class UploadPermit:
    """Who may upload what, settled before a byte of the body is read. limit_bytes: how large the body may be."""

    actor: Actor
    channel: Channel
    force: bool
    limit_bytes: int


@dataclass(frozen=True)
class Upload:
    """One received file, hashed, waiting to be published. subdir: None takes the package's own word for it."""

    filename: str
    temporary: TemporaryBlob
    subdir: str | None = None
    expected_sha256: str = ""


@dataclass(frozen=True)
class Published:
    """created: False when the same bytes were there already. revision: the number that shows it."""

    file: PackageFile
    created: bool
    revision: int


@dataclass(frozen=True)
class _Checked:
    upload: Upload
    name: PackageFilename
    subdir: str
    info: PackageInfo


def permit_upload(
    *,
    actor: Actor,
    channel_name: str,
    filename: str = "",
    package_name: str = "",
    subdir: str | None = None,
    force: bool = False,
    declared_bytes: int | None = None,
) -> UploadPermit:
    """Settle from names and headers alone whether the body is wanted.

    filename or package_name narrow the right that is needed to one package name. Raises NotAuthenticated, Forbidden,
    Unprocessable for a name that can't be, Conflict, TooLarge, QuotaExceeded.
    """
    if filename:
        try:
            package_name = split_filename(filename).name
        except HubError:
            selectors.channel_for(actor, channel_name, Permission.PACKAGE_UPLOAD)
            raise
    # Not by the right to read: a token that may only upload is enough.
    channel = selectors.channel_for(actor, channel_name, Permission.PACKAGE_UPLOAD, package_name=package_name)
    target = channel.target(package_name)
    if force:
        require(actor, Permission.PACKAGE_OVERWRITE, target)
        if not channel.allow_overwrite:
            raise Conflict(
                f"The channel '{channel.name}' does not allow files to be overwritten.",
                code="overwrite_forbidden",
                hint="Publish under a new build number, or let an owner allow overwriting in the channel's settings.",
            )
    if channel.is_virtual:
        raise Conflict(
            f"'{channel.name}' is a virtual channel: it shows what its members hold.",
            code="not_hosted",
            status=405,
            hint=f"Publish into one of its members; `condahub channel virtual show {channel.name}` names them.",
        )
    if channel.kind != ChannelKind.HOSTED:
        raise Conflict(
            f"'{channel.name}' is a {channel.kind} channel: packages come to it by its mirror, not by upload.",
            code="not_hosted",
            status=405,
        )
    if subdir is not None:
        check_subdir(subdir)
    limit = min(settings.CONDAHUB_MAX_PACKAGE_BYTES, quotas.room_bytes(channel))
    if declared_bytes is not None and declared_bytes > settings.CONDAHUB_MAX_PACKAGE_BYTES:
        raise TooLarge(
            f"A package may have at most {settings.CONDAHUB_MAX_PACKAGE_BYTES} bytes.",
            hint="Split the package, or ask IT for a larger limit.",
        )
    if declared_bytes is not None:
        with quotas.telling(channel):
            quotas.require_room(channel, declared_bytes)
    return UploadPermit(actor, channel, force, limit)


def publish(*, actor: Actor, permit: UploadPermit, uploads: Sequence[Upload]) -> list[Published]:
    """Check, store, record and index these files as one change: all of them are published, or none.

    Raises HubError subclasses: BadPackage for what is not a package, Conflict for other bytes under a name that is taken.
    """
    checked = [_check(actor, permit, upload) for upload in uploads]
    _refuse_repeats(checked)
    for one in checked:
        blobs().keep(one.upload.temporary)
    with quotas.telling(permit.channel), transaction.atomic():
        channel = selectors.lock(permit.channel)
        kept = claim_blobs([one.upload.temporary for one in checked])
        # With the channel's row taken: an edit of policy comes before this or after.
        view = view_of(channel, names=[one.name.name for one in checked])
        results = [_record(actor, channel, permit.force, one, kept[one.upload.temporary.sha256], view) for one in checked]
        created = [file for file, is_new in results if is_new]
        if created:
            quotas.require_within(channel)
            packages.refresh(channel, {file.name for file in created}, newest=created[-1])
            mark_dirty(channel.pk, [(file.subdir, file.name) for file in created], cause=_cause(actor, created))
            _tell(actor, channel, created)
            retention.ask_to_apply(channel, names=sorted({file.name for file in created}), actor_label=actor.label)
    # Also for what is no news: who recorded it a moment ago may not have published it yet.
    revision = publish_dirty(channel.pk)
    return [Published(file, is_new, revision) for file, is_new in results]


def _tell(actor: Actor, channel: Channel, files: Sequence[PackageFile]) -> None:
    for file in files:
        emit(
            type="package.published",
            target=channel.target(file.name),
            object_name=file.filename,
            object_id=file.pk,
            payload={"channel": channel.name, "subdir": file.subdir, "sha256": file.sha256},
            actor=actor,
        )


def _check(actor: Actor, permit: UploadPermit, upload: Upload) -> _Checked:
    name = split_filename(upload.filename)
    require(actor, Permission.PACKAGE_UPLOAD, permit.channel.target(name.name))
    found = upload.temporary.sha256
    if upload.expected_sha256 and upload.expected_sha256.lower() != found:
        raise Invalid(
            f"The body of '{upload.filename}' has sha256 {found}, not {upload.expected_sha256[:64]}.",
            code="wrong_sha256",
            status=406,
            hint="Upload it again; if it happens again, the file changed while it was read.",
        )
    info = inspect(upload.temporary.path, filename=upload.filename)
    subdir = upload.subdir or str(info.index.get("subdir") or "")
    if not subdir:
        raise Unprocessable(
            f"'{upload.filename}' does not say which platform it is for.",
            code="subdir_missing",
            hint="Rebuild it with 'subdir' in info/index.json.",
        )
    check_subdir(subdir)
    check_identity(info, subdir=subdir, filename=upload.filename)
    return _Checked(upload, name, subdir, info)


def _refuse_repeats(checked: Sequence[_Checked]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for one in checked:
        key = (one.subdir, one.upload.filename)
        if seen.setdefault(key, one.upload.temporary.sha256) != one.upload.temporary.sha256:
            raise Conflict(f"'{one.upload.filename}' came twice in this batch with different bytes.", code="duplicate")


def _cause(actor: Actor, files: Sequence[PackageFile]) -> str:
    what = files[0].filename if len(files) == 1 else f"{len(files)} files"
    return f"{what} published by {actor.label}"


def _record(actor: Actor, channel: Channel, force: bool, one: _Checked, blob: Blob, view: View) -> tuple[PackageFile, bool]:
    """The row of this file, and whether it is news; the channel's row is taken."""
    temporary = one.upload.temporary
    # All at once and in no order: asked for the first by id, SQLite would walk the channel.
    rows = list(PackageFile.objects.filter(channel=channel, subdir=one.subdir, filename=one.upload.filename))
    same = next((row for row in rows if row.sha256 == temporary.sha256), None)
    if same is not None and same.state in OCCUPYING_STATES:
        return same, False
    if same is not None and same.state == FileState.PURGED:
        raise Conflict(f"'{one.upload.filename}' was purged: {same.reason}", code="purged", hint="Publish it under a new build number.")
    others = sorted((row for row in rows if row is not same), key=lambda row: row.pk)
    other = next((row for row in others if row.state in OCCUPYING_STATES), None)
    if other is not None:
        _supersede(actor, channel, other, force)
    elif others:
        _follow(channel, others[0], is_new=same is None)
    if same is not None:
        same.state, same.reason, same.blob = FileState.LIVE, "", blob
        stamp(view, [same])
        same.save(update_fields=["state", "reason", "blob", "changed_at", *VERDICT_FIELDS])
        file = same
    else:
        file = _new_row(actor, channel, one, blob, timezone.now())
        stamp(view, [file])
        file.save(force_insert=True)
        quotas.add(channel, temporary.size)
    audit(
        actor=actor,
        action="package.publish",
        target=f"channel:{channel.name}/{file.subdir}/{file.filename}",
        organization_id=channel.organization_id,
        details={"sha256": file.sha256, "size": file.size, "overwrote": other.sha256 if other else None},
    )
    return file, True


def _follow(channel: Channel, earlier: PackageFile, *, is_new: bool) -> None:
    """Other bytes under the name of a file that is gone. Raises Conflict where clients were told that an address never changes."""
    if is_new and not channel.allow_overwrite:
        raise Conflict(
            f"'{earlier.filename}' was in '{channel.name}' with other bytes (sha256 {earlier.sha256[:12]}…) and is {earlier.state} now.",
            code="duplicate",
            hint="Publish it under a new build number, or let an owner allow overwriting in the channel's settings.",
        )
    selectors.bump(channel)


def _supersede(actor: Actor, channel: Channel, other: PackageFile, force: bool) -> None:
    if other.state == FileState.HELD:
        raise Conflict(f"'{other.filename}' is held: {other.reason}", code="held", hint="It must be released or purged first.")
    if not force:
        raise Conflict(
            f"'{other.filename}' is already in '{channel.name}' with other bytes (sha256 {other.sha256[:12]}…).",
            code="duplicate",
            hint="Publish it under a new build number. An owner can allow overwriting, and then 'force' replaces it.",
        )
    require(actor, Permission.PACKAGE_OVERWRITE, channel.target(other.name))
    other.state, other.reason = FileState.DELETED, "overwritten"
    other.save(update_fields=["state", "reason", "changed_at"])
    selectors.bump(channel)


def _new_row(actor: Actor, channel: Channel, one: _Checked, blob: Blob, now: datetime) -> PackageFile:
    temporary, index = one.upload.temporary, one.info.index
    record = make_record(
        one.info,
        md5=temporary.md5,
        sha256=temporary.sha256,
        size=temporary.size,
        subdir=one.subdir,
        indexed_timestamp_ms=int(now.timestamp() * 1000),
    )
    return PackageFile(
        channel=channel,
        subdir=one.subdir,
        filename=one.upload.filename,
        name=one.name.name,
        version=one.name.version,
        build=one.name.build,
        build_number=index.get("build_number", 0),
        sha256=temporary.sha256,
        md5=temporary.md5,
        size=temporary.size,
        blob=blob,
        record=canonical_json(record).decode(),
        run_exports=canonical_json(one.info.run_exports).decode(),
        about=canonical_json(packages.described(one.info.about)).decode(),
        indexed_at=now,
        uploaded_by=actor.label,
    )
