"""Copy and promote packages between channels: rows are made, no bytes are moved."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, ChannelKind, Effect, FileState, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import View, stamp, view_of
from channels_app.services import attesting, packages, quotas
from condahub.accounts.policy import Actor, Permission, can, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden, NotFound


def copy(
    *, actor: Actor, source: Channel, target: Channel, files: Sequence[tuple[str, str]], remove_from_source: bool = False
) -> list[PackageFile]:
    """Put these (subdir, filename) of `source` into `target` as one change; with `remove_from_source` it is a promotion.

    The actor needs to read the source and to upload to the target; a private source's package enters a channel that others
    read only by somebody who may redistribute it. Raises Forbidden, NotFound, Conflict, QuotaExceeded.
    """
    require(actor, Permission.CHANNEL_READ, source)
    for _, filename in files:
        name = filename.rsplit("-", 2)[0]
        require(actor, Permission.PACKAGE_UPLOAD, target.target(name))
        if remove_from_source:
            require(actor, Permission.PACKAGE_DELETE, source.target(name))
    if target.is_virtual:
        raise Conflict(f"'{target.name}' is a virtual channel.", code="not_hosted", hint="Copy into one of its members.")
    if target.kind != ChannelKind.HOSTED:
        raise Conflict(f"'{target.name}' is a {target.kind} channel: packages come to it by its mirror.", code="not_hosted")
    if source.pk == target.pk:
        raise Conflict("Source and target are the same channel.", code="same_channel")
    files = list(dict.fromkeys(files))
    with transaction.atomic():
        # Both rows in one order, so that two promotions in opposite directions do not wait for each other.
        first, second = sorted((source, target), key=lambda one: one.pk)
        locked = {first.pk: selectors.lock(first), second.pk: selectors.lock(second)}
        source, target = locked[source.pk], locked[target.pk]
        # With both rows taken, so that neither is opened to others meanwhile.
        _require_redistribution(actor, source, target)
        originals = [_original(source, subdir, filename) for subdir, filename in files]
        _refuse_hidden(source, originals)
        view = view_of(target, names={original.name for original in originals})
        copies = [made for original in originals if (made := _copy(actor, source, target, original, view)) is not None]
        if copies:
            quotas.require_within(target)
            packages.refresh(target, {one.name for one in copies}, newest=copies[-1])
            mark_dirty(target.pk, [(one.subdir, one.name) for one in copies], cause=f"{len(copies)} files copied by {actor.label}")
        if remove_from_source:
            _remove(actor, source, target, originals)
    publish_dirty(target.pk)
    if remove_from_source:
        publish_dirty(source.pk)
    wanted = {(one.subdir, one.filename, one.sha256) for one in originals}
    present = PackageFile.objects.filter(channel=target, filename__in=[one.filename for one in originals], state__in=OCCUPYING_STATES)
    return [one for one in present if (one.subdir, one.filename, one.sha256) in wanted]


def _require_redistribution(actor: Actor, source: Channel, target: Channel) -> None:
    openness = {"private": 0, "internal": 1, "public": 2}
    wider = openness[target.visibility] > openness[source.visibility]
    elsewhere = target.organization_id != source.organization_id and source.visibility != "public"
    if (wider or elsewhere) and not can(actor, Permission.CHANNEL_REDISTRIBUTE, source):
        raise Conflict(
            f"'{target.name}' is read by others than '{source.name}'.",
            code="redistribution",
            status=403,
            hint=f"An owner of '{source.name}' can copy it, or grant the right to redistribute.",
        )


def _original(source: Channel, subdir: str, filename: str) -> PackageFile:
    found = (
        PackageFile.objects.filter(channel=source, subdir=subdir, filename=filename, state=FileState.LIVE).select_related("blob").first()
    )
    if found is None:
        raise NotFound(f"There is no '{subdir}/{filename}' in '{source.name}'.", code="no_such_file")
    if found.blob_id is None:
        raise Conflict(
            f"The bytes of '{filename}' have not come to '{source.name}' yet.",
            code="not_fetched",
            hint="Download it from there once; nothing was copied.",
        )
    return found


def _refuse_hidden(source: Channel, originals: Sequence[PackageFile]) -> None:
    """What the source's policy does not show leaves it by no other door. Raises Forbidden."""
    stamp(view_of(source, names={original.name for original in originals}), originals)
    for original in originals:
        if original.verdict != Effect.ALLOW:
            code = "policy_denied" if original.verdict == Effect.DENY else "held"
            said = "denied" if original.verdict == Effect.DENY else "held"
            raise Forbidden(f"'{original.filename}' is {said} by policy. {original.verdict_reason}", code=code, hint="Nothing was copied.")


def _copy(actor: Actor, source: Channel, target: Channel, original: PackageFile, view: View) -> PackageFile | None:
    """The new row; None when the target shows the same bytes already."""
    rows = PackageFile.objects.filter(channel=target, subdir=original.subdir, filename=original.filename)
    same = rows.filter(sha256=original.sha256).first()
    if same is not None and same.state == FileState.LIVE:
        return None
    if same is not None and same.state != FileState.DELETED:
        hint = "Nothing was copied. It comes back there by restoring or releasing it."
        raise Conflict(f"'{original.filename}' is {same.state} in '{target.name}'.", code=str(same.state), hint=hint)
    others = rows.exclude(sha256=original.sha256)
    if others.filter(state__in=OCCUPYING_STATES).exists():
        raise Conflict(f"'{original.filename}' is in '{target.name}' with other bytes.", code="duplicate", hint="Nothing was copied.")
    if others.exists():
        if same is None and not target.allow_overwrite:
            raise Conflict(f"'{original.filename}' was in '{target.name}' with other bytes.", code="duplicate", hint="Nothing was copied.")
        selectors.bump(target)
    if same is None:
        same = _new_row(actor, target, original)
        quotas.add(target, original.size)
    same.state, same.reason, same.patch, same.revoked, same.blob = FileState.LIVE, "", original.patch, original.revoked, original.blob
    sidecar = attesting.carry(original, same)
    stamp(view, [same])
    same.save()
    if sidecar is not None:
        sidecar.save()
    audit(
        actor=actor,
        action="package.copy",
        target=f"channel:{target.name}/{same.subdir}/{same.filename}",
        organization_id=target.organization_id,
        details={
            "from": source.name if source.organization_id == target.organization_id else "another organization",
            "sha256": same.sha256,
        },
    )
    return same


def _new_row(actor: Actor, target: Channel, original: PackageFile) -> PackageFile:
    copied = ("subdir", "filename", "name", "version", "build", "build_number", "sha256", "md5", "size", "record", "run_exports", "about")
    return PackageFile(
        channel=target,
        indexed_at=timezone.now(),
        first_seen_at=original.first_sight,
        uploaded_by=actor.label,
        **{field: getattr(original, field) for field in copied},
    )


def _remove(actor: Actor, source: Channel, target: Channel, originals: Sequence[PackageFile]) -> None:
    for file in originals:
        file.state, file.reason = FileState.DELETED, "promoted to another channel"
        file.save(update_fields=["state", "reason", "changed_at"])
        audit(
            actor=actor,
            action="package.promote",
            target=f"channel:{source.name}/{file.subdir}/{file.filename}",
            organization_id=source.organization_id,
            details={"to": target.name, "sha256": file.sha256},
        )
    packages.refresh(source, {file.name for file in originals})
    mark_dirty(source.pk, [(file.subdir, file.name) for file in originals], cause=f"{len(originals)} files promoted by {actor.label}")
    selectors.bump(source)
