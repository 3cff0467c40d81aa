"""A channel, who may see it, and the names it has had."""

from __future__ import annotations

from typing import ClassVar

from django.apps import apps
from django.db import models

from condahub.accounts.models import Organization
from condahub.accounts.policy import AccessTarget, Actor, Permission, Visibility, readable


class ChannelKind(models.TextChoices):
    HOSTED = "hosted"
    MIRROR = "mirror"
    PROXY = "proxy"
    VIRTUAL = "virtual"


class ChannelQuerySet(models.QuerySet["Channel"]):
    def existing(self) -> ChannelQuerySet:
        """Without those that wait out a grace period after a delete, of their own or of their organization's."""
        return self.filter(deleted_at__isnull=True, organization__deleted_at__isnull=True)

    def visible_to(self, actor: Actor) -> ChannelQuerySet:
        """The channels whose index the actor may read; nothing else is ever counted or listed."""
        found = readable(actor, Permission.CHANNEL_READ)
        shown = self.existing().filter(found.channels())
        if found.all:
            return shown
        # A virtual channel is for those who may read each of its members, but for those that are shared with all its readers.
        members = apps.get_model("channels", "VirtualMember")._default_manager
        closed = members.filter(shared_by="").exclude(found.channels("member__"))
        return shown.exclude(kind=ChannelKind.VIRTUAL, pk__in=closed.order_by().values("virtual"))


class Channel(models.Model):
    """One conda channel. `head` is the number of its current Revision: the only thing that moves when it changes."""

    name = models.CharField(max_length=64, unique=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="channels")
    kind = models.CharField(max_length=8, choices=ChannelKind, default=ChannelKind.HOSTED)
    visibility = models.CharField(max_length=8, choices=Visibility, default=Visibility.PRIVATE)
    description = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    allow_overwrite = models.BooleanField(default=False)
    quota_bytes = models.BigIntegerField(null=True, blank=True)
    used_bytes = models.BigIntegerField(default=0, editable=False)
    ttl_seconds = models.PositiveIntegerField(default=36000)
    keep_builds = models.PositiveIntegerField(
        null=True, blank=True, help_text="Retention: the newest builds kept of each package and subdir."
    )
    keep_all_revisions = models.BooleanField(default=False, help_text="For ever, rather than those that the rules keep.")
    head = models.BigIntegerField(default=0, editable=False)
    # Moves with everything that decides who may read and which bytes are served.
    generation = models.BigIntegerField(default=0, editable=False)
    # The number of the last edit of what policy says here, and of the one that the index shows.
    policy_edit = models.BigIntegerField(default=0, editable=False)
    policy_applied = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200, blank=True, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    # What a virtual one is made of, as it was when somebody's right to it was asked: for the rest of that request.
    known_parts: tuple[AccessTarget, ...] | None = None

    objects: ClassVar[models.Manager[Channel]] = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        indexes = (models.Index(fields=["organization", "name"]),)

    def __str__(self) -> str:
        return self.name

    @property
    def is_virtual(self) -> bool:
        return self.kind == ChannelKind.VIRTUAL

    @property
    def policy_state(self) -> str:
        """ "applying" while the index does not yet show the last edit of a policy, else "current"."""
        return "current" if self.policy_applied >= self.policy_edit else "applying"

    @property
    def access_target(self) -> AccessTarget:
        return self.target()

    def target(self, package_name: str = "") -> AccessTarget:
        """What policy needs to know of this channel, or of one package name in it; one query for a virtual one's members."""
        return AccessTarget(
            organization_id=self.organization_id,
            channel_id=self.pk,
            package_name=package_name,
            visibility=self.visibility,
            personal=self.organization.personal_of_id is not None,
            made_of=self._parts() if self.known_parts is None else self.known_parts,
        )

    def _parts(self) -> tuple[AccessTarget, ...]:
        members = self.virtual_members.filter(shared_by="").select_related("member__organization") if self.is_virtual else ()
        return tuple(one.member.access_target for one in members if one.member.visibility != Visibility.PUBLIC)


class NameState(models.TextChoices):
    CURRENT = "current"
    ALIAS = "alias"
    RETIRED = "retired"


class ChannelName(models.Model):
    """Every name a channel has or had: unique in the installation for ever, so that no one takes over another's readers."""

    name = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=8, choices=NameState, default=NameState.CURRENT)
    channel = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.SET_NULL, related_name="names")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"
