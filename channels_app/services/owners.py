"""Move a channel to another organization."""

from __future__ import annotations

from django.db import transaction

from channels_app import selectors
from channels_app.models import Channel, ChannelName, VirtualMember
from channels_app.services import quotas, scopes
from channels_app.virtual import lifecycle as virtual
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, require
from condahub.accounts.services import drop_channel
from condahub.audit.services import record as audit
from condahub.errors import Conflict


def change_owner(*, actor: Actor, channel: Channel, organization: Organization) -> Channel:
    """Give a channel with its names and packages to another organization; its address and index stay.

    Who had a role on it by the old one has none by the move: grants on the channel are dropped, and what owners of the old one
    let readers of virtual channels have is taken back. Policies of the new one hold, within seconds. Raises Forbidden, Conflict
    for a deleted organization, QuotaExceeded where the new one has no room.
    """
    require(actor, Permission.CHANNEL_DELETE, channel)
    require(actor, Permission.CHANNEL_CREATE, organization)
    if organization.deleted_at is not None:
        raise Conflict(f"'{organization.name}' is deleted.", code="organization_deleted", hint="Restore it first, or choose another.")
    if channel.organization_id == organization.pk:
        return channel
    with transaction.atomic():
        channel = selectors.lock(channel)
        before = channel.organization
        channel.organization = organization
        channel.save(update_fields=["organization"])
        ChannelName.objects.filter(channel=channel).update(organization=organization)
        drop_channel(actor=actor, channel_id=channel.pk)
        VirtualMember.objects.filter(member=channel).exclude(shared_by="").update(shared_by="", shared_at=None)
        quotas.require_within(channel)
        scopes.reapply([channel.pk], actor=actor)
        virtual.member_changed(channel, actor=actor)
        selectors.bump(channel)
        details = {"from": before.name, "to": organization.name}
        # Both organizations' owners read of it in their own trail.
        for owner in (before, organization):
            audit(actor=actor, action="channel.change_owner", target=f"channel:{channel.name}", organization_id=owner.pk, details=details)
    return channel
