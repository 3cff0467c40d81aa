"""Where a policy or a waiver lies, who keeps it, and which channels it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet

from channels_app.models import Channel, PackageFile, PolicyLevel, VirtualChannel
from condahub.accounts.models import Organization
from condahub.accounts.policy import HUB, AccessTarget, Actor, Permission, can
from condahub.errors import Forbidden, NotAuthenticated
from condahub.jobs.services import enqueue

APPLY_KIND = "channels.policy"
CHUNK_CHANNELS = 500
_KEEPERS = {PolicyLevel.INSTALLATION: "IT staff", PolicyLevel.ORGANIZATION: "an owner of the organization", PolicyLevel.CHANNEL: ""}


@dataclass(frozen=True)
class Scope:
    """One level: the installation, an organization, or a channel."""

    level: PolicyLevel
    organization: Organization | None = None
    channel: Channel | None = None

    @classmethod
    def of_installation(cls) -> Scope:
        return cls(PolicyLevel.INSTALLATION)

    @classmethod
    def of_organization(cls, organization: Organization) -> Scope:
        return cls(PolicyLevel.ORGANIZATION, organization=organization)

    @classmethod
    def of_channel(cls, channel: Channel) -> Scope:
        return cls(PolicyLevel.CHANNEL, channel=channel)

    @classmethod
    def reaching(cls, level: PolicyLevel, channel: Channel) -> Scope:
        """The scope of that level which a channel lies in."""
        if level == PolicyLevel.INSTALLATION:
            return cls.of_installation()
        return cls.of_organization(channel.organization) if level == PolicyLevel.ORGANIZATION else cls.of_channel(channel)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a Policy or Waiver that say where it lies."""
        return {"level": self.level, "organization": self.organization, "channel": self.channel}

    @property
    def target(self) -> str:
        """Its name in the audit."""
        if self.channel is not None:
            return f"channel:{self.channel.name}"
        return f"organization:{self.organization.name}" if self.organization is not None else "installation"

    @property
    def organization_id(self) -> int | None:
        if self.channel is not None:
            return self.channel.organization_id
        return self.organization.pk if self.organization is not None else None

    def channels(self) -> QuerySet[Channel]:
        """The channels that its rules act on, those in their grace period too."""
        if self.channel is not None:
            return Channel.objects.filter(pk=self.channel.pk)
        return Channel.objects.filter(organization=self.organization) if self.organization is not None else Channel.objects.all()

    def is_kept_by(self, actor: Actor, permission: Permission = Permission.POLICY_WAIVE) -> bool:
        """Whether the actor is this level's keeper; permission: what that takes on a channel."""
        return can(actor, *self._asked(permission))

    def require_keeper(self, actor: Actor, permission: Permission) -> None:
        """Raises NotAuthenticated, Forbidden."""
        if self.is_kept_by(actor, permission):
            return
        if actor.is_anonymous:
            raise NotAuthenticated
        if self.channel is not None:
            raise Forbidden
        raise Forbidden(f"Only {_KEEPERS[self.level]} keeps these rules.", hint="Ask them, or ask for the package: condahub request ask.")

    def _asked(self, permission: Permission) -> tuple[Permission, AccessTarget]:
        if self.channel is not None:
            return permission, self.channel.access_target
        if self.organization is not None:
            return Permission.ORGANIZATION_POLICY, self.organization.access_target
        return Permission.HUB_OPERATE, HUB


def take(channels: QuerySet[Channel]) -> list[int]:
    """Take the rows of these channels until the transaction ends, in the order that everybody takes several in; their ids.

    What is published before is judged anew by the job that `reapply` asks for; what comes after is judged by the new rules.
    """
    return list(channels.order_by("pk").select_for_update().values_list("pk", flat=True))


def reapply(channel_ids: list[int], *, actor: Actor) -> None:
    """What policy says of these channels changed, in this transaction: bytes obey within seconds, the index by a job."""
    for start in range(0, len(channel_ids), CHUNK_CHANNELS):
        chunk = channel_ids[start : start + CHUNK_CHANNELS]
        Channel.objects.filter(pk__in=chunk).update(generation=F("generation") + 1, policy_edit=F("policy_edit") + 1)
        filled = set(PackageFile.objects.filter(channel__in=chunk).order_by().values_list("channel_id", flat=True).distinct())
        virtual = VirtualChannel.objects.filter(channel__in=chunk)
        filled |= set(virtual.values_list("channel_id", flat=True))
        virtual.update(must_rebuild=True)
        Channel.objects.filter(pk__in=set(chunk) - filled).update(policy_applied=F("policy_edit"))
        for pk in sorted(filled):
            ask_to_apply(pk, actor_label=actor.label)


def ask_to_apply(channel_id: int, *, actor_label: str = "") -> None:
    """One job a channel waits at a time, however many edits there are."""
    organization_id = Channel.objects.values_list("organization_id", flat=True).get(pk=channel_id)
    enqueue(
        kind=APPLY_KIND,
        payload={"channel": channel_id},
        coalesce_key=str(channel_id),
        organization_id=organization_id,
        actor_label=actor_label,
    )
