"""Make a channel's index anew from its files, and prove that its bytes are there: asked for by staff, done by jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from django.db import transaction

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, PackageFile, VirtualChannel
from channels_app.virtual.follow import follow
from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.jobs.models import Job
from condahub.jobs.services import enqueue
from condahub.storage.blobs import BlobMissing, blobs

REINDEX_KIND = "channels.reindex"
VERIFY_KIND = "channels.verify"
BATCH_ROWS = 500
MAX_NAMED = 20


def ask_reindex(*, actor: Actor, channel: Channel) -> Job:
    """Have the index made anew; a right one stays as it is. Raises Forbidden."""
    return _ask(actor, channel, REINDEX_KIND, "channel.reindex")


def ask_verify(*, actor: Actor, channel: Channel) -> Job:
    """Have every byte of the channel read and compared with what is recorded. Raises Forbidden."""
    return _ask(actor, channel, VERIFY_KIND, "channel.verify")


def _ask(actor: Actor, channel: Channel, kind: str, action: str) -> Job:
    require(actor, Permission.HUB_OPERATE, HUB)
    with transaction.atomic():
        audit(actor=actor, action=action, target=f"channel:{channel.name}", organization_id=channel.organization_id)
        return enqueue(
            kind=kind,
            payload={"channel": channel.pk},
            coalesce_key=str(channel.pk),
            organization_id=channel.organization_id,
            actor_label=actor.label,
        )


def reindex(channel: Channel) -> int:
    """Make it anew now; the number of the head afterwards, the same where nothing had to change."""
    with transaction.atomic():
        channel = selectors.lock(channel)
        names = PackageFile.objects.filter(channel=channel).order_by().values_list("subdir", "name").distinct()
        mark_dirty(channel.pk, list(names), cause="index made anew")
        VirtualChannel.objects.filter(channel=channel).update(must_rebuild=True)
    return follow(channel.pk) if channel.is_virtual else publish_dirty(channel.pk)


def verify(channel: Channel, *, check: Callable[[], None], progress: Callable[[int, int], None]) -> tuple[int, list[str]]:
    """Read every byte that the channel keeps: how many files were looked at, and a sentence for each of the first MAX_NAMED wrong ones."""
    rows = PackageFile.objects.filter(channel=channel, blob__isnull=False).order_by("pk")
    total = rows.count()
    store, wrong, looked = blobs("packages"), [], 0
    for subdir, filename, sha256 in rows.values_list("subdir", "filename", "sha256").iterator(chunk_size=BATCH_ROWS):
        check()
        looked += 1
        try:
            found = hashlib.sha256()
            for piece in store.stream(sha256):
                found.update(piece)
            if found.hexdigest() != sha256:
                wrong.append(f"{subdir}/{filename}: its bytes are not those that were published.")
        except BlobMissing:
            wrong.append(f"{subdir}/{filename}: its bytes are missing.")
        progress(looked, total)
        if len(wrong) >= MAX_NAMED:
            break
    return looked, wrong
