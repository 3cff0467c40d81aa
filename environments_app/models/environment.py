"""An environment, who may see it, and which channels' owners let it be shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from channels_app.models import Channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import AccessTarget, Actor, Permission, Visibility, readable

if TYPE_CHECKING:
    from environments_app.models.build import Build


class EnvironmentQuerySet(models.QuerySet["Environment"]):
    def existing(self) -> EnvironmentQuerySet:
        """Without deleted ones, and those of a deleted organization."""
        return self.filter(deleted_at__isnull=True, organization__deleted_at__isnull=True)

    def visible_to(self, actor: Actor) -> EnvironmentQuerySet:
        """The environments that the actor may see; nothing else is ever counted or listed."""
        return self.existing().filter(readable(actor, Permission.ENVIRONMENT_READ).environments())


class Environment(models.Model):
    """A name for builds. `current_build` is what everybody gets: the only thing that moves when it changes."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="environments")
    name = models.CharField(max_length=64)
    description = models.TextField(blank=True, default="")
    visibility = models.CharField(max_length=8, choices=Visibility, default=Visibility.PRIVATE)
    current_build: models.ForeignKey[Build | None, Build | None] = models.ForeignKey(
        "environments.Build", null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    # Whether an older build than the newest completed one was chosen by hand.
    current_is_chosen = models.BooleanField(default=False, editable=False)
    last_number = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200, blank=True, default="", editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[Environment]] = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ("organization__name", "name")
        constraints = (
            models.UniqueConstraint(fields=["organization", "name"], condition=Q(deleted_at__isnull=True), name="environment_name_once"),
        )

    def __str__(self) -> str:
        return f"{self.organization.name}/{self.name}"

    @property
    def access_target(self) -> AccessTarget:
        """What policy needs to know of it."""
        return AccessTarget(
            organization_id=self.organization_id,
            environment_id=self.pk,
            visibility=self.visibility,
            personal=self.organization.personal_of_id is not None,
        )


class Redistribution(models.Model):
    """The word of an owner of a channel: builds of this environment may be read by those who may not read the channel."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="redistributions")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    given_by = models.CharField(max_length=200)
    given_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["environment", "channel"], name="redistribution_once"),)

    def __str__(self) -> str:
        return f"{self.channel_id} in {self.environment_id}"


class EnvironmentSettings(models.Model):
    """The settings of one level: of the installation (neither is set), an organization, or an environment."""

    organization = models.OneToOneField(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="environment_settings")
    environment = models.OneToOneField(Environment, null=True, blank=True, on_delete=models.CASCADE, related_name="settings")
    values = models.JSONField(default=dict)
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        verbose_name_plural = "environment settings"
        constraints = (
            models.CheckConstraint(
                condition=Q(organization__isnull=True) | Q(environment__isnull=True), name="environment_settings_one_level"
            ),
            # Coalesced, as SQLite and PostgreSQL both take NULLs for distinct in a plain unique index.
            models.UniqueConstraint(Coalesce("organization", 0), Coalesce("environment", 0), name="environment_settings_once_a_level"),
        )

    def __str__(self) -> str:
        return f"settings of {self.environment or self.organization or 'the installation'}"
