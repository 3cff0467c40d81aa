"""What comes from outside: accounts of a directory, rules for its groups, and who keeps a person's place in a team."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from condahub.accounts.models.organizations import Team

MANUAL = "manual"
LDAP = "ldap"
OIDC_PREFIX = "oidc:"


# A team, or a flag.
ONE_THING = Q(team__isnull=False, flag="") | Q(team=None) & ~Q(flag="")


class Flag(models.TextChoices):
    """What a group can make of its people beside members of a team. Never an administrator."""

    STAFF = "staff", "IT staff"
    AUDITOR = "auditor", "Auditor"


class DirectoryAccount(models.Model):
    """The link between an account here and a person's entry in LDAP or Active Directory."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="directory_account")
    unique_id = models.CharField(max_length=255, unique=True, help_text="entryUUID or objectGUID: stays when the entry is renamed.")
    dn = models.CharField(max_length=1000)
    groups = models.JSONField(default=list, help_text="As last seen.")
    seen_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When it was deactivated because the directory has it no more.")

    class Meta:
        ordering = ["dn"]

    def __str__(self) -> str:
        return self.dn


class GroupRule(models.Model):
    """Who is in a matching group of the source is in the team, or is staff or an auditor, for as long as the source says so."""

    source = models.CharField(
        max_length=100, blank=True, default="", help_text="'ldap', 'oidc:<provider>', or empty for every source that tells groups."
    )
    pattern = models.CharField(max_length=500, help_text="The group's name, '*' for any text; of LDAP the DN or the plain name.")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    flag = models.CharField(max_length=8, choices=Flag.choices, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["source", "pattern", "pk"]
        constraints = [
            models.CheckConstraint(name="group_rule_gives_one_thing", condition=ONE_THING),
        ]

    def __str__(self) -> str:
        return f"{self.source or 'any'}: {self.pattern}"


class RoleSource(models.Model):
    """One source that keeps a person in a team, or staff or auditor; it lasts as long as one does. Without any row it was given by hand."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="role_sources")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="role_sources")
    flag = models.CharField(max_length=8, choices=Flag.choices, blank=True, default="")
    source = models.CharField(max_length=100)
    group = models.CharField(max_length=500, blank=True, default="", help_text="The outside group that gave it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(name="role_source_keeps_one_thing", condition=ONE_THING),
            models.UniqueConstraint("user", "source", Coalesce("team", 0), "flag", name="role_source_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.team_id or self.flag} from {self.source}"
