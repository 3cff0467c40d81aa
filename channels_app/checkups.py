"""What the doctor and `admin verify` ask of channels: is anything waiting to be indexed, do facts, bytes and index hold together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Min
from django.utils import timezone

from channels_app.index import maps
from channels_app.index.maps import ShardMap
from channels_app.index.publish import ROW_FIELDS, file_row
from channels_app.index.render import render_name
from channels_app.models import Blob, Channel, DirtyName, PackageFile, Revision, Shard
from channels_app.virtual.follow import behind
from channels_app.virtual.plan import read_plan
from channels_app.virtual.rules import VirtualRules
from channels_app.virtual.wanted import wanted
from condahub.ops.doctor import Finding, ok, warning
from condahub.ops.verify import Problem
from condahub.storage.blobs import BlobMissing, blobs

# The settle job looks every 10 s.
DIRTY_SECONDS = 60
BATCH = 500


def check_dirty_names() -> Finding:
    """Changes that are recorded and not yet shown in the index."""
    # Those that wait are part of a change that is not complete yet.
    dirty = DirtyName.objects.filter(waits=False)
    oldest = dirty.aggregate(oldest=Min("marked_at"))["oldest"]
    count = dirty.count()
    if oldest is not None and timezone.now() - oldest > timedelta(seconds=DIRTY_SECONDS):
        return warning(
            f"{count} changed package names have waited since {oldest:%Y-%m-%d %H:%M:%S} UTC to be indexed.",
            "The quick lane and beat bring them in; see their checks.",
        )
    return ok("Every change is in the index." if not count else f"{count} changed package names are being indexed.")


def verify_rows() -> Iterator[Problem | None]:
    """Every file whose bytes the hub keeps has them in the store, of the recorded size."""
    store = blobs("packages")
    rows = Blob.objects.filter(files__isnull=False).distinct().order_by("pk").values_list("sha256", "size")
    for sha256, size in rows.iterator(chunk_size=BATCH):
        yield None
        entry = store.find(sha256)
        if entry is None:
            yield Problem(f"{_holders(sha256)}: the bytes {sha256} are missing.", "Bring the file back from a backup of the store.")
        elif entry.size != size:
            what = f"{_holders(sha256)}: the bytes {sha256} are {entry.size} in place of {size}."
            yield Problem(what, "Bring the file back from a backup of the store.")


def verify_bytes() -> Iterator[Problem | None]:
    """Every blob's bytes have the sha256 that they are stored under."""
    store = blobs("packages")
    for entry in store.iterate():
        digest = hashlib.sha256()
        try:
            for piece in store.stream(entry.sha256):
                digest.update(piece)
        except BlobMissing:
            # Collected since the list was read.
            continue
        yield None
        if digest.hexdigest() != entry.sha256:
            what = f"{_holders(entry.sha256)}: the bytes stored as {entry.sha256} are others."
            yield Problem(what, "Bring the file back from a backup of the store; until then clients refuse it by its hash.")


def _holders(sha256: str) -> str:
    rows = PackageFile.objects.filter(blob__sha256=sha256).values_list("channel__name", "subdir", "filename")[:3]
    return ", ".join("/".join(row) for row in rows) or "no file"


def verify_index() -> Iterator[Problem | None]:
    """Every kept revision finds its shards, each with the bytes of its name; the head says what one made anew would say."""
    for channel in Channel.objects.order_by("pk"):
        yield from _verify_shards(channel)
        yield from _verify_revisions(channel)
        yield from _verify_head(channel)


def _verify_shards(channel: Channel) -> Iterator[Problem | None]:
    for subdir, sha256, payload in (
        Shard.objects.filter(channel=channel).order_by("pk").values_list("subdir", "sha256", "payload").iterator(chunk_size=BATCH)
    ):
        yield None
        if hashlib.sha256(bytes(payload)).digest() != bytes(sha256):
            yield Problem(
                f"{channel.name}/{subdir}: the shard {bytes(sha256).hex()} has other bytes.", "Bring the database back from a backup."
            )


def _verify_revisions(channel: Channel) -> Iterator[Problem | None]:
    present: dict[str, set[bytes]] = {}
    for subdir, sha256 in Shard.objects.filter(channel=channel).order_by("pk").values_list("subdir", "sha256").iterator(chunk_size=2000):
        present.setdefault(subdir, set()).add(bytes(sha256))
    shards: ShardMap = {}
    rows = Revision.objects.filter(channel=channel).order_by("number").values_list("number", "delta", "checkpoint")
    reached = 0
    for number, delta, checkpoint in rows.iterator(chunk_size=50):
        yield None
        reached = number
        changes = maps.decode_delta(bytes(delta))
        shards = maps.apply_delta(shards, changes)
        missing = [
            f"{subdir}/{name}"
            for subdir, names in changes.items()
            for name, sha256 in names.items()
            if sha256 is not None and sha256 not in present.get(subdir, ())
        ]
        if missing:
            yield Problem(
                f"{channel.name}@{number}: shards are missing: {', '.join(missing[:5])}.", "Bring the database back from a backup."
            )
        if checkpoint is not None and maps.decode_delta(bytes(checkpoint)) != shards:
            yield Problem(f"{channel.name}@{number}: its full map is not what the changes before it make.", "Please report this.")
    if reached != channel.head and Channel.objects.filter(pk=channel.pk, head=channel.head).exists():
        yield Problem(f"{channel.name}: its head is {channel.head}, its last revision {reached}.", "Bring the database back from a backup.")


def _verify_head(channel: Channel) -> Iterator[Problem | None]:
    """Each name rendered from its files, against what the head shows; names that are being published just now are let pass."""
    if channel.is_virtual:
        yield from _verify_virtual(channel)
        return
    shown = maps.load(channel.pk, channel.head)
    keys = set(PackageFile.objects.filter(channel=channel).order_by().values_list("subdir", "name").distinct())
    keys |= {(subdir, name) for subdir, names in shown.items() for name in names}
    for subdir, name in sorted(keys):
        yield None
        rows = PackageFile.objects.filter(channel=channel, subdir=subdir, name=name).order_by().values_list(*ROW_FIELDS)
        made = render_name(name, [file_row(row) for row in rows])
        if (made.sha256 if made else None) == shown.get(subdir, {}).get(name):
            continue
        now = Channel.objects.values_list("head", flat=True).filter(pk=channel.pk).first()
        if now == channel.head and not DirtyName.objects.filter(channel=channel, subdir=subdir, name=name).exists():
            what = f"{channel.name}/{subdir}: the index of {name} is not what its files make."
            yield Problem(what, f"Run: condahub admin reindex {channel.name}")


def _verify_virtual(channel: Channel) -> Iterator[Problem | None]:
    """Each name against what the members show; a channel that follows them just now is let pass."""
    yield None
    found = wanted(read_plan(channel.pk), VirtualRules(channel), maps.load(channel.pk, channel.head), None)
    now = Channel.objects.values_list("head", flat=True).filter(pk=channel.pk).first()
    if now != channel.head or channel.pk in behind():
        return
    for key in sorted([*found.copied, *found.made]):
        what = f"{channel.name}/{key.subdir}: the index of {key.name} is not what its members make."
        yield Problem(what, f"Run: condahub admin reindex {channel.name}")
