"""Grants: a role of a person, robot or team on an organization or on something in it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from condahub.accounts.models.organizations import Organization, Team
from condahub.accounts.permissions import AccessTarget, Role


class GrantSource(models.TextChoices):
    """Who keeps a grant: what a directory gave, only that directory's sync takes away."""

    MANUAL = "manual", "By hand"
    LDAP = "ldap", "LDAP"
    OIDC = "oidc", "OpenID Connect"


class Grant(models.Model):
    """One role on one object. `organization` is always the one that owns the object.

    Channel and environment are plain ids, as their models live in rooms above this one.
    Object: organization (no ids), channel (`channel_id`), package name in a channel (both), environment (`environment_id`).
    """

    role = models.CharField(max_length=12, choices=Role.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="grants")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="grants")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="grants")
    channel_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    package_name = models.CharField(max_length=128, blank=True, default="")
    environment_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    source = models.CharField(max_length=8, choices=GrantSource.choices, default=GrantSource.MANUAL)
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["organization", "pk"]
        constraints = [
            models.CheckConstraint(
                name="grant_to_user_or_team",
                condition=Q(user__isnull=False, team__isnull=True) | Q(user__isnull=True, team__isnull=False),
            ),
            models.CheckConstraint(
                name="grant_on_one_object",
                condition=Q(environment_id__isnull=True, package_name="")
                | Q(environment_id__isnull=True, channel_id__isnull=False)
                | Q(environment_id__isnull=False, channel_id__isnull=True, package_name=""),
            ),
            # Coalesced, as SQLite and PostgreSQL both take NULLs for distinct in a plain unique index.
            models.UniqueConstraint(
                "organization",
                Coalesce("user", 0),
                Coalesce("team", 0),
                Coalesce("channel_id", 0),
                "package_name",
                Coalesce("environment_id", 0),
                "source",
                name="grant_once_per_subject_and_object",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} on {self.access_target}"

    @property
    def access_target(self) -> AccessTarget:
        return AccessTarget(
            organization_id=self.organization_id,
            channel_id=self.channel_id,
            package_name=self.package_name,
            environment_id=self.environment_id,
        )
