"""Keeps a channel's past by rule, and lets go of what only the dropped part of it needed: shards, and rows of deleted files.

Kept are all revisions of 30 days, then the last of each day (UTC), those pinned, tagged or named by a keeper, and the head. A kept
revision's delta takes in the deltas of those dropped before it, so that the chain of deltas stays whole from the first on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec
from django.db import transaction

from channels_app.index import maps
from channels_app.index.maps import ShardDelta
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.index.render import zstd_decompress
from channels_app.models import Channel, DirtyName, FileState, FormerName, PackageFile, Revision, Shard
from channels_app.services import quotas
from condahub.accounts.policy import SYSTEM
from condahub.audit.services import record as audit
from condahub.ops.gc import Collected, Sweep

KEEP_ALL_DAYS = 30
BATCH = 200

Key = tuple[str, str]
_keepers: dict[str, Callable[[int], Collection[int]]] = {}


@dataclass(frozen=True)
class Step:
    """A kept revision and those right before it that go."""

    kept: int
    dropped: tuple[int, ...]
    has_checkpoint: bool


def register_keeper(name: str, revisions_of: Callable[[int], Collection[int]]) -> None:
    """Have the revisions of a channel (by its id) that `revisions_of` names kept, for apps whose facts stand on them."""
    _keepers[name] = revisions_of


def collect_past(sweep: Sweep) -> Iterator[Collected]:
    """Thin the revisions of every channel, deleted ones in their grace period too, then let go of what nothing names any more."""
    revisions = shards = files = 0
    for channel in Channel.objects.order_by("pk"):
        sweep.check()
        steps = plan(channel.pk, sweep, keep_all=channel.keep_all_revisions)
        dropped = _thin(channel.pk, steps, sweep)
        # A dry run has folded nothing yet.
        going = {number for step in steps for number in step.dropped} if sweep.dry_run else set()
        gone_shards = _drop_shards(channel, going, steps[-1].kept if steps else 0, sweep)
        gone_files = _drop_files(channel, going, sweep)
        revisions, shards, files = revisions + dropped, shards + gone_shards, files + gone_files
        if (dropped or gone_files) and not sweep.dry_run:
            _audit(channel, {"revisions": dropped, "shards": gone_shards, "deleted_files": gone_files})
    yield Collected("revisions", revisions)
    yield Collected("shards", shards)
    # Their bytes are counted where they leave the store.
    yield Collected("deleted files", files)


def plan(channel_id: int, sweep: Sweep, *, keep_all: bool = False) -> list[Step]:
    """Which revisions stay, in order, each with those that go into it."""
    rows = list(Revision.objects.filter(channel_id=channel_id).order_by("number").values_list("number", "created_at", "pinned", "tag"))
    if not rows:
        return []
    checkpoints = set(Revision.objects.filter(channel_id=channel_id, checkpoint__isnull=False).values_list("number", flat=True))
    last_of_day: dict[date, int] = {created_at.date(): number for number, created_at, _, _ in rows}
    recent = sweep.now - timedelta(days=KEEP_ALL_DAYS)
    head = rows[-1][0]
    kept = {number for keeper in _keepers.values() for number in keeper(channel_id)}
    steps: list[Step] = []
    waiting: list[int] = []
    for number, created_at, pinned, tag in rows:
        named = keep_all or number == head or number in kept or pinned or tag
        if named or created_at >= recent or last_of_day[created_at.date()] == number:
            steps.append(Step(number, tuple(waiting), number in checkpoints))
            waiting = []
        else:
            waiting.append(number)
    return steps


def compose(deltas: Iterable[ShardDelta]) -> ShardDelta:
    """One delta that does what these do one after the other; subdirs that were named stay named."""
    result: ShardDelta = {}
    for delta in deltas:
        for subdir, changes in delta.items():
            result.setdefault(subdir, {}).update(changes)
    return result


def _thin(channel_id: int, steps: list[Step], sweep: Sweep) -> int:
    """A transaction for each kept revision that takes others in; how many went."""
    dropped = since = 0
    for step in steps:
        since = 0 if step.has_checkpoint else since + 1
        if not step.dropped:
            continue
        if sweep.dry_run:
            dropped += len(step.dropped)
            continue
        sweep.check()
        wants_checkpoint = since >= maps.CHECKPOINT_EVERY
        done = _fold(channel_id, step, with_checkpoint=wants_checkpoint)
        dropped += done
        if done and wants_checkpoint:
            since = 0
    return dropped


@transaction.atomic
def _fold(channel_id: int, step: Step, *, with_checkpoint: bool) -> int:
    """Put the dropped revisions' deltas into the kept one's; 0 when one of them was pinned meanwhile."""
    Channel.objects.select_for_update().get(pk=channel_id)
    wanted = Revision.objects.select_for_update().filter(channel_id=channel_id, number__in=[*step.dropped, step.kept]).order_by("number")
    revisions = list(wanted)
    going, kept = revisions[:-1], revisions[-1]
    if tuple(one.number for one in going) != step.dropped or any(one.pinned or one.tag for one in going):
        return 0
    kept.delta = maps.encode_delta(compose(maps.decode_delta(bytes(one.delta)) for one in revisions))
    if with_checkpoint:
        kept.checkpoint = maps.encode_delta(maps.load(channel_id, kept.number))
    kept.save(update_fields=["delta", "checkpoint"])
    Revision.objects.filter(pk__in=[one.pk for one in going]).delete()
    return len(going)


def _kept_deltas(channel_id: int, dropped: Collection[int] = (), *, after: int = 0) -> Iterator[ShardDelta]:
    """What each revision changed against the one before it, as if those in `dropped` were folded already."""
    group: list[ShardDelta] = []
    rows = Revision.objects.filter(channel_id=channel_id, number__gt=after).order_by("number").values_list("number", "delta")
    for number, delta in rows.iterator(chunk_size=BATCH):
        group.append(maps.decode_delta(bytes(delta)))
        if number not in dropped:
            yield compose(group)
            group = []


def _drop_shards(channel: Channel, going: Collection[int], head: int, sweep: Sweep) -> int:
    """Shards that no kept revision names. How many went."""
    named: dict[str, set[bytes]] = defaultdict(set)
    _gather(named, _kept_deltas(channel.pk, going))
    rows = Shard.objects.filter(channel=channel).order_by("pk").values_list("pk", "subdir", "sha256")
    loose = [(pk, subdir, bytes(sha256)) for pk, subdir, sha256 in rows.iterator(chunk_size=2000) if bytes(sha256) not in named[subdir]]
    if sweep.dry_run:
        return len(loose)
    count = 0
    for start in range(0, len(loose), BATCH):
        sweep.check()
        with transaction.atomic():
            # With the row taken no revision is being made: what the newest ones name, and what is dirty, is all there is.
            Channel.objects.select_for_update().get(pk=channel.pk)
            _gather(named, _kept_deltas(channel.pk, after=head))
            batch = [pk for pk, subdir, sha256 in loose[start : start + BATCH] if sha256 not in named[subdir]]
            count += _delete_clean(channel.pk, batch)
    return count


def _gather(named: dict[str, set[bytes]], deltas: Iterable[ShardDelta]) -> None:
    for delta in deltas:
        for subdir, changes in delta.items():
            named[subdir].update(sha256 for sha256 in changes.values() if sha256 is not None)


def _delete_clean(channel_id: int, pks: list[int]) -> int:
    """Delete these shards but for those of dirty names, which may be rendered already for a revision that is not yet made."""
    dirty = set(DirtyName.objects.filter(channel_id=channel_id).values_list("subdir", "name"))
    shards = Shard.objects.filter(pk__in=pks)
    if dirty:
        pks = [pk for pk, subdir, name in shards.values_list("pk", "subdir", "name") if (subdir, name) not in dirty]
        shards = Shard.objects.filter(pk__in=pks)
    return shards.delete()[0]


def _drop_files(channel: Channel, going: Collection[int], sweep: Sweep) -> int:
    """Rows of files deleted before the grace period that no kept revision shows. How many went."""
    rows = PackageFile.objects.filter(channel=channel, state=FileState.DELETED, changed_at__lt=sweep.cutoff).order_by("pk")
    waiting: dict[Key, dict[tuple[str, str], int]] = defaultdict(dict)
    for pk, subdir, name, filename, sha256 in rows.values_list("pk", "subdir", "name", "filename", "sha256"):
        waiting[subdir, name][filename, sha256] = pk
    if not waiting:
        return 0
    hashes = _hashes_of(channel.pk, going, waiting.keys())
    gone: list[int] = []
    for key, files in waiting.items():
        sweep.check()
        shown = _shown(channel.pk, key[0], hashes[key], files.keys())
        gone += [pk for identity, pk in files.items() if identity not in shown]
    if not sweep.dry_run:
        gone = [pk for start in range(0, len(gone), BATCH) for pk in _forget(channel, gone[start : start + BATCH])]
        if gone:
            # Clients are told of removed files; the index must say what one made anew would say.
            publish_dirty(channel.pk)
    return len(gone)


def _hashes_of(channel_id: int, going: Collection[int], keys: Collection[Key]) -> dict[Key, set[bytes]]:
    """Every shard that these names have in kept revisions."""
    found: dict[Key, set[bytes]] = {key: set() for key in keys}
    for delta in _kept_deltas(channel_id, going):
        for subdir, name in keys:
            if (sha256 := delta.get(subdir, {}).get(name)) is not None:
                found[subdir, name].add(sha256)
    return found


def _shown(channel_id: int, subdir: str, hashes: set[bytes], wanted: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of these (filename, sha256), those that one of the shards shows."""
    missing = set(wanted)
    ordered = sorted(hashes)
    for start in range(0, len(ordered), BATCH):
        payloads = Shard.objects.filter(channel_id=channel_id, subdir=subdir, sha256__in=ordered[start : start + BATCH])
        for payload in payloads.values_list("payload", flat=True).iterator(chunk_size=10):
            if not missing:
                break
            shard = msgspec.msgpack.decode(zstd_decompress(bytes(payload)))
            for section in ("packages", "packages.conda"):
                missing -= {(filename, bytes(record["sha256"]).hex()) for filename, record in shard[section].items()}
    return set(wanted) - missing


@transaction.atomic
def _forget(channel: Channel, pks: list[int]) -> list[int]:
    """Take the rows out, if they are deleted still; those that went."""
    channel = Channel.objects.select_for_update().get(pk=channel.pk)
    files = list(PackageFile.objects.filter(pk__in=pks, state=FileState.DELETED).only("pk", "subdir", "name", "size"))
    PackageFile.objects.filter(pk__in=[file.pk for file in files]).delete()
    names = {file.name for file in files}
    left = set(PackageFile.objects.filter(channel=channel, name__in=names).order_by().values_list("name", flat=True).distinct())
    # In a virtual channel a name stays whose it was.
    FormerName.objects.bulk_create([FormerName(channel=channel, name=name) for name in sorted(names - left)], ignore_conflicts=True)
    quotas.add(channel, -sum(file.size for file in files))
    mark_dirty(channel.pk, [(file.subdir, file.name) for file in files], cause="deleted files forgotten")
    return [file.pk for file in files]


def _audit(channel: Channel, details: dict[str, int]) -> None:
    with transaction.atomic():
        audit(
            actor=SYSTEM,
            action="channel.collect",
            target=f"channel:{channel.name}",
            organization_id=channel.organization_id,
            details=details,
        )
