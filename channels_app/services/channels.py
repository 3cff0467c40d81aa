"""Create, describe, open and close, rename and delete channels."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from channels_app import selectors
from channels_app.index.publish import found_channel
from channels_app.models import Channel, ChannelKind, ChannelName, NameState, VirtualChannel
from channels_app.services import retention
from channels_app.virtual import lifecycle as virtual
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, Visibility, require
from condahub.accounts.services import drop_channel
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden, HubError, Unprocessable
from condahub.events.services import emit
from condahub.names import WELL_KNOWN_CHANNELS, check_name

CHANGEABLE = frozenset(
    {"description", "visibility", "allow_overwrite", "quota_bytes", "ttl_seconds", "keep_builds", "keep_all_revisions", "metadata"}
)
# What a quota or an overwrite setting lets a person do is the organization's or IT's affair.
STAFF_ONLY = frozenset({"quota_bytes"})


def name_unavailable(name: str) -> Conflict:
    """The one answer for a taken, reserved or retired name, so that asking reveals nothing."""
    return Conflict(f"The name '{name[:80]}' is not available.", code="name_unavailable", hint="Choose another name.")


def create_channel(
    *,
    actor: Actor,
    organization: Organization,
    name: str,
    visibility: str = Visibility.PRIVATE,
    kind: str = ChannelKind.HOSTED,
    description: str = "",
    allow_overwrite: bool = False,
    metadata: dict[str, Any] | None = None,
) -> Channel:
    """Make a channel with its first, empty revision. Raises Forbidden, Unprocessable, Conflict `name_unavailable`."""
    require(actor, Permission.CHANNEL_CREATE, organization)
    _check_new_name(actor, name)
    _check_visibility(visibility)
    if kind not in ChannelKind.values:
        raise Unprocessable(f"A channel can't be of the kind '{kind}'.", code="bad_kind", hint=f"One of {', '.join(ChannelKind.values)}.")
    with transaction.atomic():
        _take_name(name, organization)
        channel = Channel.objects.create(
            name=name,
            organization=organization,
            visibility=visibility,
            kind=kind,
            description=description,
            allow_overwrite=allow_overwrite,
            metadata=metadata or {},
            created_by=actor.label,
        )
        ChannelName.objects.filter(name=name).update(channel=channel, state=NameState.CURRENT, organization=organization)
        found_channel(channel)
        if channel.is_virtual:
            VirtualChannel.objects.create(channel=channel)
        _audit(actor, "channel.create", channel, {"visibility": visibility, "kind": kind})
    return channel


def update_channel(*, actor: Actor, channel: Channel, changes: dict[str, Any]) -> Channel:
    """Change settings. Raises Forbidden, Unprocessable for a setting that can't be changed or a value that can't be."""
    require(actor, Permission.CHANNEL_UPDATE, channel)
    unknown = sorted(set(changes) - CHANGEABLE)
    if unknown:
        raise Unprocessable(
            f"A channel has no setting {', '.join(unknown)} that can be changed.",
            code="unknown_setting",
            hint=f"Settings: {', '.join(sorted(CHANGEABLE))}.",
        )
    if STAFF_ONLY & set(changes) and not actor.is_staff:
        raise Forbidden("Only IT staff set quotas.")
    if "visibility" in changes:
        _check_visibility(changes["visibility"])
    with transaction.atomic():
        channel = selectors.lock(channel)
        before = {key: getattr(channel, key) for key in changes}
        if channel.is_virtual and "visibility" in changes:
            virtual.open_to(actor, channel, changes["visibility"])
        for key, value in changes.items():
            setattr(channel, key, value)
        channel.save(update_fields=[*changes])
        selectors.bump(channel)
        differing = {key: [before[key], changes[key]] for key in changes if before[key] != changes[key]}
        if differing:
            _audit(actor, "channel.update", channel, differing)
        if "keep_builds" in differing:
            retention.ask_to_apply(channel, actor_label=actor.label)
    return channel


def rename_channel(*, actor: Actor, channel: Channel, name: str) -> Channel:
    """Give a channel another name; the old one goes on answering, with a notice. Raises Forbidden, Conflict."""
    require(actor, Permission.CHANNEL_DELETE, channel)
    if name == channel.name:
        return channel
    _check_new_name(actor, name)
    with transaction.atomic():
        channel = selectors.lock(channel)
        own = ChannelName.objects.filter(name=name, channel=channel).first()
        if own is None:
            _take_name(name, channel.organization)
        old = channel.name
        ChannelName.objects.filter(name=old).update(state=NameState.ALIAS, changed_at=timezone.now())
        ChannelName.objects.filter(name=name).update(state=NameState.CURRENT, channel=channel, changed_at=timezone.now())
        channel.name = name
        channel.save(update_fields=["name"])
        selectors.bump(channel)
        _audit(actor, "channel.rename", channel, {"from": old, "to": name})
    return channel


def delete_channel(*, actor: Actor, channel: Channel) -> None:
    """Close a channel; its bytes wait out the grace period, in which `restore_channel` brings it back."""
    require(actor, Permission.CHANNEL_DELETE, channel)
    with transaction.atomic():
        channel = selectors.lock(channel)
        Channel.objects.filter(pk=channel.pk).update(deleted_at=timezone.now(), generation=F("generation") + 1)
        virtual.member_changed(channel, actor=actor)
        _audit(actor, "channel.delete", channel, {"grace_days": settings.CONDAHUB_CHANNEL_GRACE_DAYS})
        emit(type="channel.deleted", target=channel, object_name=channel.name, object_id=channel.pk, actor=actor)


def restore_channel(*, actor: Actor, name: str) -> Channel:
    """Bring back a deleted channel within its grace period. Raises Forbidden, also where there is none."""
    channel = Channel.objects.select_related("organization").filter(name=name, deleted_at__isnull=False).first()
    if channel is None:
        raise Forbidden()
    require(actor, Permission.CHANNEL_DELETE, channel)
    with transaction.atomic():
        Channel.objects.filter(pk=channel.pk).update(deleted_at=None, generation=F("generation") + 1)
        virtual.member_changed(channel, actor=actor)
        _audit(actor, "channel.restore", channel, {})
    channel.deleted_at = None
    return channel


def end_channels(*, actor: Actor) -> int:
    """Take out the channels whose grace period is over; their names stay retired. How many went."""
    due = timezone.now() - timedelta(days=settings.CONDAHUB_CHANNEL_GRACE_DAYS)
    ended = 0
    for pk in list(Channel.objects.filter(deleted_at__lt=due).order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            # Looked at again with its row taken: it may have been restored just now.
            channel = Channel.objects.select_for_update().filter(pk=pk, deleted_at__lt=due).first()
            if channel is None:
                continue
            ChannelName.objects.filter(channel=channel).update(state=NameState.RETIRED, channel=None)
            drop_channel(actor=actor, channel_id=channel.pk)
            virtual.member_ends(channel)
            _audit(actor, "channel.end", channel, {})
            channel.delete()
        ended += 1
    return ended


def _audit(actor: Actor, action: str, channel: Channel, details: dict[str, Any]) -> None:
    audit(actor=actor, action=action, target=f"channel:{channel.name}", organization_id=channel.organization_id, details=details)


def _check_new_name(actor: Actor, name: str) -> None:
    try:
        check_name(name, what="a channel")
    except HubError as error:
        if error.code == "reserved_name":
            raise name_unavailable(name) from None
        raise
    if name in WELL_KNOWN_CHANNELS and not actor.is_staff:
        raise name_unavailable(name)


def _check_visibility(visibility: str) -> None:
    if visibility not in Visibility.values:
        raise Unprocessable(f"'{visibility}' is no visibility.", code="bad_visibility", hint="One of public, internal, private.")
    allowed = {
        Visibility.PUBLIC.value: settings.CONDAHUB_ALLOW_PUBLIC_CHANNELS,
        Visibility.INTERNAL.value: settings.CONDAHUB_ALLOW_INTERNAL_CHANNELS,
        Visibility.PRIVATE.value: True,
    }
    if not allowed[visibility]:
        raise Forbidden(f"This hub does not allow {visibility} channels.", code="visibility_forbidden", hint="Make it private, or ask IT.")


def _take_name(name: str, organization: Organization) -> None:
    """Reserve a name; a retired one comes back only to the organization that had it."""
    try:
        with transaction.atomic():
            ChannelName.objects.create(name=name, organization=organization)
    except IntegrityError:
        again = ChannelName.objects.filter(name=name, organization=organization, state=NameState.RETIRED, channel=None)
        if again.update(state=NameState.CURRENT) != 1:
            raise name_unavailable(name) from None
