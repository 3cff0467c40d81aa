"""Organizations, which own everything else, and the teams in them."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models

from condahub.accounts.permissions import AccessTarget


class Organization(models.Model):
    """The tenant. A personal one belongs to one person, whom alone (besides staff) it lets in."""

    name = models.CharField(max_length=64, unique=True)
    title = models.CharField(max_length=200, blank=True, default="")
    description = models.TextField(blank=True, default="")
    personal_of = models.OneToOneField(
        "accounts.User", on_delete=models.PROTECT, null=True, blank=True, related_name="personal_organization"
    )
    quota_bytes = models.PositiveBigIntegerField(null=True, blank=True, help_text="Logical bytes; empty means no limit.")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_personal(self) -> bool:
        return self.personal_of_id is not None

    @property
    def access_target(self) -> AccessTarget:
        return AccessTarget(organization_id=self.pk, personal=self.is_personal)


class Team(models.Model):
    """People of an organization. Membership is the Group's users, so that Django's own machinery sees it."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="teams")
    slug = models.CharField(max_length=64)
    title = models.CharField(max_length=200, blank=True, default="")
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team")
    external_group = models.CharField(max_length=500, blank=True, default="", help_text="LDAP or OIDC group that feeds this team.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["organization", "slug"]
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="team_slug_in_organization")]

    def __str__(self) -> str:
        return f"{self.organization_id}:{self.slug}"

    @property
    def access_target(self) -> AccessTarget:
        return AccessTarget(organization_id=self.organization_id)

    @staticmethod
    def group_name(organization_id: int, slug: str) -> str:
        return f"{organization_id}:{slug}"
