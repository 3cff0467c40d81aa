"""Which revisions of a channel's past stay, whatever the rules say: pinned and tagged ones."""

from __future__ import annotations

import re

from django.db import transaction

from channels_app import history
from channels_app.models import Channel, Revision
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Unprocessable

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def keep_revision(*, actor: Actor, channel: Channel, number: int, pinned: bool, tag: str = "") -> Revision:
    """Pin a revision, so that it is kept for ever with all its packages, or let it go. A tag keeps it as well.

    Raises Forbidden, NotFound for one that is not kept any more, Unprocessable for what is no tag.
    """
    require(actor, Permission.CHANNEL_UPDATE, channel)
    if tag and not TAG.fullmatch(tag):
        raise Unprocessable(f"'{tag[:60]}' is no tag.", code="bad_tag", hint="Letters, digits, '.', '_' and '-', at most 100.")
    revision = history.revision_of(channel, number)
    if (revision.pinned, revision.tag) != (pinned, tag):
        with transaction.atomic():
            Revision.objects.filter(pk=revision.pk).update(pinned=pinned, tag=tag)
            revision.pinned, revision.tag = pinned, tag
            audit(
                actor=actor,
                action="channel.keep_revision" if pinned or tag else "channel.release_revision",
                target=f"channel:{channel.name}",
                organization_id=channel.organization_id,
                details={"revision": number, "tag": tag},
            )
    return revision
