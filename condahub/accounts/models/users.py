"""People and robots that sign in or own tokens."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class UserKind(models.TextChoices):
    PERSON = "person", "Person"
    ROBOT = "robot", "Robot"


class User(AbstractUser):
    """An account. `is_superuser` is an administrator, `is_staff` IT staff, `is_auditor` reads all and changes nothing.

    A deactivated one (`is_active` false) has no access anywhere. A robot belongs to an organization and has no password.
    """

    kind = models.CharField(max_length=8, choices=UserKind.choices, default=UserKind.PERSON)
    display_name = models.CharField(max_length=150, blank=True, default="")
    organization = models.ForeignKey(
        "accounts.Organization",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="robots",
        help_text="The organization that a robot belongs to; empty for people.",
    )
    is_auditor = models.BooleanField(default=False, help_text="May read everything and change nothing.")
    language = models.CharField(
        max_length=8,
        blank=True,
        default="",
        help_text="The language of pages and mails, such as de; empty follows the browser, and for mails is English.",
    )
    unlocked_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then the local password opens, even where local accounts are off."
    )

    class Meta:
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(
                name="user_robot_has_organization",
                condition=models.Q(kind=UserKind.PERSON, organization__isnull=True)
                | models.Q(kind=UserKind.ROBOT, organization__isnull=False),
            ),
            models.CheckConstraint(
                name="user_robot_is_never_staff",
                condition=models.Q(kind=UserKind.PERSON) | models.Q(is_staff=False, is_superuser=False, is_auditor=False),
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def is_robot(self) -> bool:
        return self.kind == UserKind.ROBOT

    @property
    def shown_name(self) -> str:
        return self.display_name or self.get_full_name() or self.username

    def check_password(self, raw_password: str) -> bool:
        """A robot signs in with tokens only, whatever lies in its password column."""
        return not self.is_robot and super().check_password(raw_password)
