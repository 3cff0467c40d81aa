"""What becomes of files that nobody has asked for when their upstream is not asked any more."""

from __future__ import annotations

from django.db import transaction

from channels_app import selectors
from channels_app.index.publish import mark_dirty
from channels_app.models import Channel, FileState, PackageFile
from channels_app.services import packages
from mirrors_app.filling.rows import chunks

CAUSE = "files that were never fetched are shown no more"


def drop_unfetched(channel: Channel) -> int:
    """Take every file whose bytes never came out of the channel, a chunk at a time; how many. To be called where the channel has ceased
    to be a proxy, and followed by `publish_dirty(..., waiting=True)`.
    """
    lost = PackageFile.objects.filter(channel=channel, blob__isnull=True).exclude(state=FileState.PURGED)
    count = 0
    for pks in chunks(list(lost.order_by("name", "pk").values_list("pk", flat=True))):
        with transaction.atomic():
            taken = selectors.lock(channel)
            files = list(lost.filter(pk__in=pks).values_list("subdir", "name"))
            lost.filter(pk__in=pks).delete()
            packages.refresh(taken, {name for _, name in files})
            mark_dirty(channel.pk, files, cause=CAUSE, waits=True)
            selectors.bump(taken)
            count += len(files)
    return count
