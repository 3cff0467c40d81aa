"""API tokens: what programs sign in with; only a hash of each is kept."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from condahub.accounts.models.organizations import Organization
from condahub.accounts.permissions import FULL_SCOPE, Permission, Role


class TokenKind(models.TextChoices):
    """Who holds it: a person, a robot account, or one job of the hub's own."""

    USER = "user", "User"
    ROBOT = "robot", "Robot"
    JOB = "job", "Job"


class ApiToken(models.Model):
    """A hashed secret. Its power is its owner's present power, narrowed by `scopes` and, when `is_limited`, by its limits.

    `is_limited` is kept on the token itself: a limit whose object is gone must leave less, never everything.
    """

    kind = models.CharField(max_length=8, choices=TokenKind.choices, default=TokenKind.USER)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=200)
    hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=20, db_index=True, editable=False)
    scopes = models.JSONField(default=list)
    is_limited = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    def is_live(self, now: datetime | None = None) -> bool:
        """Neither revoked nor past its expiry."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > (now or timezone.now()))

    @property
    def is_full(self) -> bool:
        """Whether it stands for its owner without any narrowing."""
        return not self.is_limited and FULL_SCOPE in self.scopes

    def allows(self, permission: Permission) -> bool:
        return FULL_SCOPE in self.scopes or permission.value in self.scopes


class TokenLimit(models.Model):
    """One place a limited token may act in: an organization, a channel of it, or a package name in that channel.

    `role`, when given, is the most the token may be there, whatever its owner is.
    """

    token = models.ForeignKey(ApiToken, on_delete=models.CASCADE, related_name="limits")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    channel_id = models.BigIntegerField(null=True, blank=True, db_index=True)
    package_name = models.CharField(max_length=128, blank=True, default="")
    role = models.CharField(max_length=12, choices=Role.choices, blank=True, default="")

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="token_limit_package_in_channel",
                condition=Q(package_name="") | Q(channel_id__isnull=False),
            ),
            models.UniqueConstraint("token", "organization", Coalesce("channel_id", 0), "package_name", name="token_limit_once"),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}/{self.channel_id or '*'}/{self.package_name or '*'}"
