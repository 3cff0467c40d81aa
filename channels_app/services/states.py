"""Delete, yank, restore, hold, release, purge: what moves a file between its states, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, FileState, PackageFile
from channels_app.models.files import OCCUPYING_STATES, STORED_STATES
from channels_app.policies.view import VERDICT_FIELDS, stamp, view_of
from channels_app.services import packages, quotas
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, NotFound, Unprocessable
from condahub.events.services import emit


@dataclass(frozen=True)
class Verb:
    """One way of changing state. before: the states it starts from; a file already in `after` is left as it is."""

    action: str
    permission: Permission
    before: tuple[FileState, ...]
    after: FileState
    needs_reason: bool = False


# A held file is released or purged, never deleted: who may restore would bring back what was held.
DELETE = Verb("package.delete", Permission.PACKAGE_DELETE, (FileState.LIVE, FileState.YANKED), FileState.DELETED)
YANK = Verb("package.yank", Permission.PACKAGE_YANK, (FileState.LIVE,), FileState.YANKED)
RESTORE = Verb("package.restore", Permission.PACKAGE_YANK, (FileState.YANKED, FileState.DELETED), FileState.LIVE)
QUARANTINE = Verb("package.quarantine", Permission.PACKAGE_HOLD, (FileState.LIVE, FileState.YANKED), FileState.HELD, needs_reason=True)
RELEASE = Verb("package.release", Permission.PACKAGE_HOLD, (FileState.HELD,), FileState.LIVE)
PURGE = Verb("package.purge", Permission.PACKAGE_PURGE, STORED_STATES, FileState.PURGED, needs_reason=True)
VERBS = {verb.action.partition(".")[2]: verb for verb in (DELETE, YANK, RESTORE, QUARANTINE, RELEASE, PURGE)}


def change_state(*, actor: Actor, channel: Channel, verb: Verb, files: Sequence[tuple[str, str]], reason: str = "") -> list[PackageFile]:
    """Apply one verb to these (subdir, filename) as one change; the files as they are now.

    Raises Forbidden, NotFound for a file that is not there, Conflict where the state does not allow it,
    Unprocessable where a reason is missing. A file that is already there is left alone, so that a retry succeeds.
    Purging a name takes all bytes that were ever published under it.
    """
    reason = reason.replace("\x00", "").strip()[:500]
    if verb.needs_reason and not reason:
        raise Unprocessable("Say why: this needs a reason.", code="reason_missing", hint="Send a 'reason'; it is kept in the audit trail.")
    files = list(dict.fromkeys(files))
    for _, filename in files:
        require(actor, verb.permission, channel.target(_package_name(filename)))
    with transaction.atomic():
        channel = selectors.lock(channel)
        found = [_one(channel, verb, subdir, filename) for subdir, filename in files]
        changed = [file for file in found if file.state != verb.after]
        if verb is PURGE:
            changed += [other for file in found for other in _others_of(file)]
        if changed and verb.after == FileState.LIVE:
            stamp(view_of(channel, names={file.name for file in changed}), changed)
        for file in changed:
            _move(actor, channel, verb, file, reason)
        if changed:
            if verb.after == FileState.LIVE:
                quotas.require_within(channel)
            packages.refresh(channel, {file.name for file in changed})
            mark_dirty(channel.pk, [(file.subdir, file.name) for file in changed], cause=_cause(verb, changed, actor))
            selectors.bump(channel)
    publish_dirty(channel.pk)
    return found


def _package_name(filename: str) -> str:
    return filename.rsplit("-", 2)[0]


def _cause(verb: Verb, files: Sequence[PackageFile], actor: Actor) -> str:
    what = files[0].filename if len(files) == 1 else f"{len(files)} files"
    return f"{verb.action.partition('.')[2]} of {what} by {actor.label}"


def _one(channel: Channel, verb: Verb, subdir: str, filename: str) -> PackageFile:
    """The row that the verb means: the one that occupies the name, else the newest that the verb may start from."""
    rows = list(PackageFile.objects.filter(channel=channel, subdir=subdir, filename=filename).order_by("-changed_at", "-pk"))
    occupying = next((row for row in rows if row.state in OCCUPYING_STATES), None)
    if occupying is not None and (occupying.state in verb.before or occupying.state == verb.after):
        return occupying
    if occupying is not None:
        raise Conflict(f"'{filename}' is {occupying.state}.", code="wrong_state", hint="Its state does not allow this.")
    candidate = next((row for row in rows if row.state in verb.before or row.state == verb.after), None)
    if candidate is None:
        raise NotFound(f"There is no '{subdir}/{filename}' to {verb.action.partition('.')[2]} in '{channel.name}'.", code="no_such_file")
    return candidate


def _others_of(file: PackageFile) -> list[PackageFile]:
    """What was overwritten under the same name and is still to be had in past revisions."""
    same_name = PackageFile.objects.filter(channel_id=file.channel_id, subdir=file.subdir, filename=file.filename)
    return list(same_name.filter(state__in=STORED_STATES).exclude(pk=file.pk))


def _move(actor: Actor, channel: Channel, verb: Verb, file: PackageFile, reason: str) -> None:
    before = file.state
    file.state, file.reason = verb.after, reason
    fields = ["state", "reason", "changed_at", *VERDICT_FIELDS]
    if verb.after == FileState.PURGED:
        # The blob's row stays for others that hold it; the sweep removes bytes that nobody holds.
        if file.blob_id is not None:
            quotas.add(channel, -file.size)
        file.blob = None
        fields.append("blob")
    file.save(update_fields=fields)
    audit(
        actor=actor,
        action=verb.action,
        target=f"channel:{channel.name}/{file.subdir}/{file.filename}",
        organization_id=channel.organization_id,
        details={"sha256": file.sha256, "from": before, "reason": reason},
    )
    emit(
        type="package.changed",
        target=channel.target(file.name),
        object_name=file.filename,
        object_id=file.pk,
        payload={"channel": channel.name, "state": str(file.state), "reason": reason},
        actor=actor,
    )
