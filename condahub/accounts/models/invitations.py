"""Invitations by e-mail to an organization or a team of it."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from condahub.accounts.models.organizations import Organization, Team
from condahub.accounts.permissions import Role


class Invitation(models.Model):
    """What an address is offered: a role on the organization, or a place in a team. Of its link only a hash is kept, once it is sent."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="invitations")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="invitations")
    role = models.CharField(max_length=12, choices=Role.choices, blank=True, default="")
    email = models.EmailField(db_index=True)
    hash = models.CharField(max_length=64, unique=True, null=True, blank=True, editable=False)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                name="invitation_gives_one_thing", condition=Q(team__isnull=False, role="") | Q(team__isnull=True) & ~Q(role="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.gives}"

    @property
    def gives(self) -> str:
        """In words: `reader`, `the team core`."""
        return f"the team {self.team.slug}" if self.team is not None else self.role

    def is_open(self, now: datetime | None = None) -> bool:
        """Neither used, nor taken back, nor past its end."""
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > (now or timezone.now())
