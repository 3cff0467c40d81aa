"""Roll back: make a channel show again what one of its kept revisions showed, as one new revision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from channels_app import history, selectors
from channels_app.index import maps
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.index.render import hotfix_between
from channels_app.models import Channel, ChannelKind, FileState, PackageFile, Revision
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import VERDICT_FIELDS, stamp, view_of
from channels_app.services import packages, quotas
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, NotFound, Unprocessable

MAX_FILES = 20_000
CHUNK_NAMES = 200
_FIELDS = ("state", "reason", "patch", "revoked", "changed_at", *VERDICT_FIELDS)


class Kept(NamedTuple):
    """A file that stays as it is, and why."""

    subdir: str
    filename: str
    why: str


@dataclass
class RolledBack:
    """revision: the channel's head now; each a list of `subdir/filename`; kept: what could not be put back."""

    revision: int = 0
    shown: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.shown or self.hidden or self.changed)


def roll_back(*, actor: Actor, channel: Channel, to: int, dry_run: bool = False) -> RolledBack:
    """Show what revision `to` showed: its files are back, what came since is deleted (and stays at its own revisions).

    What was purged or quarantined since stays as it is, and is named. Raises Forbidden, NotFound for a revision that is not
    kept, Conflict for a channel that is not hosted, Unprocessable `diff_too_large`.
    """
    for permission in (Permission.CHANNEL_UPDATE, Permission.PACKAGE_DELETE, Permission.PACKAGE_YANK, Permission.PACKAGE_PATCH):
        require(actor, permission, channel)
    if channel.kind != ChannelKind.HOSTED:
        raise Conflict(f"'{channel.name}' follows others.", code="not_hosted", hint="Only a hosted channel can be rolled back.")
    history.revision_of(channel, to)
    with transaction.atomic():
        channel = selectors.lock(channel)
        run = _Run(channel, RolledBack())
        names = _differing(channel, to)
        for start in range(0, len(names), CHUNK_NAMES):
            run.put_back(names[start : start + CHUNK_NAMES])
        run.finish(actor, to)
        if dry_run:
            transaction.set_rollback(True)
    if not dry_run:
        publish_dirty(channel.pk)
    run.done.revision = Channel.objects.values_list("head", flat=True).get(pk=channel.pk)
    return run.done


class _Name(NamedTuple):
    subdir: str
    name: str
    then: bytes | None
    now: bytes | None


def _differing(channel: Channel, to: int) -> list[_Name]:
    try:
        then, now = maps.load(channel.pk, to), maps.load(channel.pk, channel.head)
    except Revision.DoesNotExist:
        raise NotFound(f"Revision {to} is not kept any more.", code="no_such_revision") from None
    return [
        _Name(subdir, name, was.get(name), head.get(name))
        for subdir in sorted(then.keys() | now.keys())
        for was, head in ((then.get(subdir, {}), now.get(subdir, {})),)
        for name in sorted(was.keys() | head.keys())
        if was.get(name) != head.get(name)
    ]


@dataclass
class _Run:
    channel: Channel
    done: RolledBack
    now: datetime = field(default_factory=timezone.now)
    changed: list[PackageFile] = field(default_factory=list)

    def put_back(self, names: list[_Name]) -> None:
        """The files of some names, as they were."""
        then = self._records(names, "then")
        now = self._records(names, "now")
        keys = sorted({key for key in then.keys() | now.keys() if then.get(key) != now.get(key)})
        if len(self.changed) + len(keys) > MAX_FILES:
            raise Unprocessable(
                f"More than {MAX_FILES:,} files differ.", code="diff_too_large", hint="Roll back in steps, to nearer revisions."
            )
        rows = self._rows(names)
        for subdir, filename in keys:
            self._one(rows.get((subdir, filename), []), then.get((subdir, filename)), subdir, filename)

    def _records(self, names: Iterable[_Name], side: str) -> dict[tuple[str, str], dict[str, Any]]:
        by_subdir: dict[str, list[bytes]] = {}
        for one in names:
            digest = getattr(one, side)
            if digest is not None:
                by_subdir.setdefault(one.subdir, []).append(digest)
        return {
            (record.subdir, record.filename): record.fields
            for subdir, hashes in by_subdir.items()
            for record in history.records(self.channel.pk, subdir, hashes).values()
        }

    def _rows(self, names: Iterable[_Name]) -> dict[tuple[str, str], list[PackageFile]]:
        found: dict[tuple[str, str], list[PackageFile]] = {}
        wanted = {one.name for one in names}
        for row in PackageFile.objects.filter(channel=self.channel, name__in=wanted):
            found.setdefault((row.subdir, row.filename), []).append(row)
        return found

    def _one(self, rows: list[PackageFile], then: dict[str, Any] | None, subdir: str, filename: str) -> None:
        occupant = next((row for row in rows if row.state in OCCUPYING_STATES), None)
        path = f"{subdir}/{filename}"
        if then is None:
            if occupant is not None and occupant.state == FileState.LIVE:
                self._set(occupant, FileState.DELETED)
                self.done.hidden.append(path)
            return
        row = next((one for one in rows if one.sha256 == then.get("sha256")), None)
        why = self._why_not(row, occupant)
        if row is None or why:
            self.done.kept.append(Kept(subdir, filename, why or _("its bytes are not kept any more")))
            return
        if occupant is not None and occupant.pk != row.pk:
            self._set(occupant, FileState.DELETED)
        (self.done.changed if row.state == FileState.LIVE else self.done.shown).append(path)
        row.patch, row.revoked = hotfix_between(msgspec.json.decode(row.record), then)
        self._set(row, FileState.LIVE)

    def _why_not(self, row: PackageFile | None, occupant: PackageFile | None) -> str:
        if row is not None and row.state == FileState.PURGED:
            return _("it was purged")
        if row is not None and row.blob_id is None:
            return _("its bytes are not kept any more")
        if occupant is not None and occupant.state == FileState.HELD:
            return _("it is quarantined")
        if occupant is not None and row is not None and occupant.pk != row.pk and not self.channel.allow_overwrite:
            return _("the channel forbids overwriting")
        return ""

    def _set(self, row: PackageFile, state: FileState) -> None:
        row.state, row.reason, row.changed_at = state, "", self.now
        self.changed.append(row)

    def finish(self, actor: Actor, to: int) -> None:
        """Judge, store, count, mark and audit all of it together."""
        if not self.changed:
            return
        live = [row for row in self.changed if row.state == FileState.LIVE]
        stamp(view_of(self.channel, names={row.name for row in live}), live)
        # Deleted ones first: of a name only one may occupy it.
        for rows in ([row for row in self.changed if row.state != FileState.LIVE], live):
            PackageFile.objects.bulk_update(rows, _FIELDS, batch_size=CHUNK_NAMES)
        quotas.require_within(self.channel)
        packages.refresh(self.channel, {row.name for row in self.changed})
        cause = f"rolled back to revision {to} by {actor.label}"
        mark_dirty(self.channel.pk, sorted({(row.subdir, row.name) for row in self.changed}), cause=cause)
        selectors.bump(self.channel)
        counts = {"shown": len(self.done.shown), "hidden": len(self.done.hidden), "changed": len(self.done.changed)}
        audit(
            actor=actor,
            action="channel.roll_back",
            target=f"channel:{self.channel.name}",
            organization_id=self.channel.organization_id,
            details={"to": to, **counts, "kept": [f"{one.subdir}/{one.filename}" for one in self.done.kept[:100]]},
        )
