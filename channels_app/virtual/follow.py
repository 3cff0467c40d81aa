"""Brings a virtual channel's index to where its members are: one revision of its own, at a cost that follows the change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from channels_app.index import maps
from channels_app.index.beside import Key
from channels_app.index.publish import tallies_of, write_revision
from channels_app.models import (
    Channel,
    ChannelKind,
    DueName,
    Revision,
    Shard,
    UnsettledName,
    VirtualChannel,
    VirtualMember,
    VirtualRevision,
)
from channels_app.virtual.plan import GONE, Plan, read_plan, virtuals_of
from channels_app.virtual.rules import VirtualRules
from channels_app.virtual.wanted import Wanted, keep_shards, wanted
from condahub.jobs.services import enqueue

log = logging.getLogger(__name__)
FOLLOW_KIND = "channels.virtual"
# A change of more names is made ready before the transaction, so that other writers do not wait for it.
AHEAD_NAMES = 100
# Whoever publishes waits for so many virtual channels at most; the others follow by a job.
FOLLOWED_AT_ONCE = 16
# So many names are looked at while whoever edits waits.
SMALL_NAMES = 2000
CHUNK_ROWS = 500
# How often a large change is made ready while its members move on.
ATTEMPTS = 5

_guard = threading.Lock()
_locks: dict[int, threading.Lock] = {}


def follow_all_of(channel_id: int) -> None:
    """Called when something was published in a channel: what is made of it shows it before whoever published is told so.

    A virtual channel that can't follow is no reason for a publisher elsewhere to fail: it is tried again every few seconds.
    """
    found = virtuals_of(channel_id)
    for virtual_id in found[:FOLLOWED_AT_ONCE]:
        try:
            follow(virtual_id)
        except Exception:
            log.exception("virtual channel %s could not follow", virtual_id)
    for virtual_id in found[FOLLOWED_AT_ONCE:]:
        order(virtual_id)


def note_unseen(channel_id: int, names: set[str]) -> None:
    """In a member's publishing transaction: names whose owner may have changed, though no shard of the member did."""
    found = virtuals_of(channel_id)
    UnsettledName.objects.bulk_create(
        [UnsettledName(virtual_id=virtual_id, name=name) for virtual_id in found for name in sorted(names)], batch_size=CHUNK_ROWS
    )


def order(virtual_id: int, *, actor_label: str = "") -> None:
    """Have a job bring a virtual channel up to date; one waits at a time."""
    organization_id = Channel.objects.values_list("organization_id", flat=True).get(pk=virtual_id)
    enqueue(
        kind=FOLLOW_KIND,
        payload={"channel": virtual_id},
        coalesce_key=str(virtual_id),
        organization_id=organization_id,
        actor_label=actor_label,
    )


def behind() -> list[int]:
    """The virtual channels that are not where their members are, as a process that died leaves them."""
    late = set(UnsettledName.objects.order_by().values_list("virtual_id", flat=True).distinct())
    late |= set(VirtualChannel.objects.filter(must_rebuild=True).values_list("channel_id", flat=True))
    followed = dict(VirtualChannel.objects.values_list("channel_id", "followed"))
    rows = VirtualMember.objects.values_list(
        "virtual_id", "member_id", "member__head", "member__deleted_at", "member__organization__deleted_at"
    )
    for virtual_id, member_id, head, *ends in rows:
        if followed.get(virtual_id, {}).get(str(member_id)) != (head if ends == [None, None] else GONE):
            late.add(virtual_id)
    existing = Channel.objects.existing().filter(pk__in=late)
    return sorted(existing.values_list("pk", flat=True))


def unsettle_due() -> int:
    """Names of which rules may say something else by now are looked at again; how many."""
    due = list(DueName.objects.filter(changes_at__lte=timezone.now()).values_list("pk", "virtual_id", "name"))
    for start in range(0, len(due), CHUNK_ROWS):
        chunk = due[start : start + CHUNK_ROWS]
        with transaction.atomic():
            UnsettledName.objects.bulk_create([UnsettledName(virtual_id=virtual_id, name=name) for _, virtual_id, name in chunk])
            DueName.objects.filter(pk__in=[pk for pk, _, _ in chunk]).delete()
    return len(due)


def follow(virtual_id: int) -> int:
    """Publish what the members' heads say; the number of the revision that shows it."""
    with _guard:
        lock = _locks.setdefault(virtual_id, threading.Lock())
    with lock:
        for _ in range(ATTEMPTS):
            todo = _Todo.read(virtual_id)
            if todo is None:
                return 0
            if todo.is_empty:
                return todo.channel.head
            if todo.names is not None and len(todo.names) <= AHEAD_NAMES:
                break
            # What changes meanwhile is followed in the next round, which has less to do.
            found = todo.wanted()
            _keep_ahead(todo, found)
            _publish_unless_edited(todo, found)
        return _publish(virtual_id)


class _Todo:
    """What there is to do for a virtual channel, read at one moment. names: None for all."""

    def __init__(self, channel: Channel, state: VirtualChannel, plan: Plan, unsettled: dict[int, str]) -> None:
        self.channel, self.state, self.plan, self.unsettled = channel, state, plan, unsettled
        self.names: Collection[str] | None = None
        followed = {int(member): head for member, head in state.followed.items()}
        standing = plan.standing
        same = set(followed) == set(standing) and all((followed[one] == GONE) == (standing[one] == GONE) for one in standing)
        if same and not state.must_rebuild:
            self.names = {*unsettled.values(), *_changed(followed, standing)}
        self.has_moved = followed != standing

    @classmethod
    def read(cls, virtual_id: int, *, locked: bool = False) -> _Todo | None:
        channels = Channel.objects.select_for_update() if locked else Channel.objects.all()
        channel = channels.filter(pk=virtual_id, kind=ChannelKind.VIRTUAL).first()
        if channel is None:
            return None
        state = VirtualChannel.objects.get(channel=channel)
        unsettled = dict(UnsettledName.objects.filter(virtual_id=virtual_id).values_list("pk", "name"))
        return cls(channel, state, read_plan(virtual_id), unsettled)

    @property
    def is_empty(self) -> bool:
        return self.names is not None and not self.names and not self.has_moved and not self.unsettled

    def wanted(self) -> Wanted:
        current = maps.load(self.channel.pk, self.channel.head)
        return wanted(self.plan, VirtualRules(self.channel), current, self.names)


def _changed(followed: dict[int, int], heads: dict[int, int]) -> set[str]:
    """The names that members' revisions changed since they were followed."""
    names: set[str] = set()
    for member, head in heads.items():
        since = followed[member]
        if since == head:
            continue
        deltas = Revision.objects.filter(channel_id=member, number__gt=since, number__lte=head).values_list("delta", flat=True)
        for delta in deltas.iterator(chunk_size=20):
            names.update(name for changes in maps.decode_delta(delta).values() for name in changes)
    return names


def _keep_ahead(todo: _Todo, found: Wanted) -> None:
    """Keep the shards in small transactions of their own."""
    keys = [*found.copied, *(key for key, one in found.made.items() if one)]
    for start in range(0, len(keys), CHUNK_ROWS):
        with transaction.atomic():
            keep_shards(todo.channel.pk, found, set(keys[start : start + CHUNK_ROWS]))


@transaction.atomic
def _publish(virtual_id: int) -> int:
    todo = _Todo.read(virtual_id, locked=True)
    if todo is None:
        return 0
    return todo.channel.head if todo.is_empty else _write(todo, todo.wanted())


@transaction.atomic
def _publish_unless_edited(todo: _Todo, found: Wanted) -> None:
    """Publish what was made ready, unless an edit or another process came between; members that moved on are followed later."""
    taken = Channel.objects.select_for_update().filter(pk=todo.channel.pk).first()
    if taken is not None and (taken.head, taken.generation) == (todo.channel.head, todo.channel.generation):
        _write(todo, found)


def _write(todo: _Todo, found: Wanted) -> int:
    """The revision, and how far it goes; in the transaction that has taken the channel's row."""
    channel, plan = todo.channel, todo.plan
    number = channel.head
    if delta := found.delta:
        keep_shards(channel.pk, found, _missing(channel.pk, found))
        current = maps.load(channel.pk, channel.head)
        tallies = tallies_of(channel.pk, current, delta)
        number = write_revision(channel, maps.apply_delta(current, delta), delta, tallies, cause=_cause(todo))
        revision = Revision.objects.only("pk").get(channel=channel, number=number)
        vector = {str(member): head for member, head in plan.heads.items() if member not in plan.gone}
        VirtualRevision.objects.create(revision=revision, vector=vector)
    _keep_due(channel.pk, todo.names, found.due)
    VirtualChannel.objects.filter(channel=channel).update(
        followed={str(member): head for member, head in plan.standing.items()},
        sources=sorted({*todo.state.sources, *plan.members}),
        must_rebuild=False if todo.names is None else F("must_rebuild"),
    )
    settled = list(todo.unsettled)
    for start in range(0, len(settled), CHUNK_ROWS):
        UnsettledName.objects.filter(pk__in=settled[start : start + CHUNK_ROWS]).delete()
    if todo.names is None and VirtualMember.objects.filter(virtual=channel, is_leaving=True).delete()[0]:
        Channel.objects.filter(pk=channel.pk).update(generation=F("generation") + 1)
    return number


def _missing(virtual_id: int, found: Wanted) -> set[Key]:
    """The keys whose shards are not there yet: all of a small change, and what was swept since it was made ready."""
    hashes = {key: sha256 for key, (_, sha256) in found.copied.items()}
    hashes.update({key: one.sha256 for key, one in found.made.items() if one})
    ordered = sorted(set(hashes.values()))
    present: set[tuple[str, bytes]] = set()
    for start in range(0, len(ordered), CHUNK_ROWS):
        rows = Shard.objects.filter(channel_id=virtual_id, subdir__in={key.subdir for key in hashes})
        for subdir, sha256 in rows.filter(sha256__in=ordered[start : start + CHUNK_ROWS]).values_list("subdir", "sha256"):
            present.add((subdir, bytes(sha256)))
    return {key for key, sha256 in hashes.items() if (key.subdir, sha256) not in present}


def _keep_due(virtual_id: int, names: Collection[str] | None, due: dict[str, datetime]) -> None:
    rows = DueName.objects.filter(virtual_id=virtual_id)
    if names is None:
        rows.delete()
    else:
        ordered = sorted(names)
        for start in range(0, len(ordered), CHUNK_ROWS):
            rows.filter(name__in=ordered[start : start + CHUNK_ROWS]).delete()
    DueName.objects.bulk_create(
        [DueName(virtual_id=virtual_id, name=name, changes_at=moment) for name, moment in sorted(due.items())], batch_size=CHUNK_ROWS
    )


def _cause(todo: _Todo) -> str:
    """Of no member and no package by name: a later reader may not be one of those."""
    if todo.names is None:
        return "members or their names arranged"
    return f"changes of its members: {len(todo.names)} name{'' if len(todo.names) == 1 else 's'}"


def refresh(virtual_ids: Iterable[int], *, actor_label: str = "") -> None:
    """After an edit: small virtual channels are made anew at once, large ones by a job."""
    for virtual_id in virtual_ids:
        members = VirtualMember.objects.filter(virtual_id=virtual_id).values("member")
        revisions = Revision.objects.filter(channel__in=members, number=F("channel__head"))
        names = sum(state["names"] for subdirs in revisions.values_list("subdirs", flat=True) for state in subdirs.values())
        if names > SMALL_NAMES:
            order(virtual_id, actor_label=actor_label)
        else:
            follow(virtual_id)
