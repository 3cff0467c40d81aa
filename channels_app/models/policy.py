"""What of a channel's facts may be shown: policies, waivers, advisories, and what people ask for."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from channels_app.models.channel import Channel
from condahub.accounts.models import Organization, User


class PolicyLevel(models.TextChoices):
    """Whose rule it is; rules of all levels apply at once, and the strictest verdict wins."""

    INSTALLATION = "installation"
    ORGANIZATION = "organization"
    CHANNEL = "channel"


class Policy(models.Model):
    """The rules of one level: of the installation, an organization, or a channel (see channels_app.policies.rules)."""

    level = models.CharField(max_length=12, choices=PolicyLevel)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    channel = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.CASCADE, related_name="policies")
    rules = models.JSONField(default=dict)
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "policies"
        constraints = (
            models.UniqueConstraint(fields=["level"], condition=Q(level="installation"), name="policy_one_of_installation"),
            models.UniqueConstraint(fields=["organization"], condition=Q(level="organization"), name="policy_one_of_organization"),
            models.UniqueConstraint(fields=["channel"], condition=Q(level="channel"), name="policy_one_of_channel"),
            models.CheckConstraint(
                condition=Q(level="installation", organization=None, channel=None)
                | Q(level="organization", organization__isnull=False, channel=None)
                | Q(level="channel", organization=None, channel__isnull=False),
                name="policy_lies_at_its_level",
            ),
        )

    def __str__(self) -> str:
        return f"{self.level} policy"


class Waiver(models.Model):
    """An exception from one level's rules, for a while: granted by that level's keeper, with a reason.

    what: a sha256, or a MatchSpec of name, version and build. rule: one rule's name, or empty for all of that level. advisory:
    of the rule on advisories only this one. organization, channel: where it acts; a channel narrows the two wider levels.
    """

    level = models.CharField(max_length=12, choices=PolicyLevel)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    channel = models.ForeignKey(Channel, null=True, blank=True, on_delete=models.CASCADE, related_name="waivers")
    what = models.CharField(max_length=300)
    rule = models.CharField(max_length=20, blank=True)
    advisory = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=500)
    expires_at = models.DateTimeField()
    granted_by = models.CharField(max_length=200)
    granted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (models.Index(fields=["expires_at"]),)
        constraints = (
            models.CheckConstraint(
                condition=Q(level="installation", organization=None)
                | Q(level="organization", organization__isnull=False)
                | Q(level="channel", organization=None, channel__isnull=False),
                name="waiver_lies_at_its_level",
            ),
        )

    def __str__(self) -> str:
        return f"{self.what} ({self.level})"


class Severity(models.TextChoices):
    """How grave an advisory is. One that does not say counts as high."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class Advisory(models.Model):
    """What one OSV entry says of one package name (https://ossf.github.io/osv-schema/).

    key: the name in the one spelling that advisories and packages are compared in. versions: affected ones, as texts.
    ranges: [introduced, fixed or None, last affected or None].
    """

    osv_id = models.CharField(max_length=100)
    name = models.CharField(max_length=128)
    key = models.CharField(max_length=128)
    ecosystem = models.CharField(max_length=60, blank=True)
    severity = models.CharField(max_length=8, choices=Severity)
    aliases = models.JSONField(default=list)
    summary = models.CharField(max_length=500, blank=True)
    versions = models.JSONField(default=list)
    ranges = models.JSONField(default=list)
    modified_at = models.DateTimeField(null=True, blank=True)
    loaded_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "advisories"
        constraints = (models.UniqueConstraint(fields=["osv_id", "ecosystem", "key"], name="advisory_unique"),)
        indexes = (models.Index(fields=["key"]),)

    def __str__(self) -> str:
        return f"{self.osv_id} ({self.name})"


class Missing(models.TextChoices):
    """Why somebody does not get a package."""

    HELD = "held"
    DENIED = "denied"
    FILTERED = "filtered"  # the mirror's filters leave it out
    NOT_MIRRORED = "not_mirrored"


class RequestState(models.TextChoices):
    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"


class PackageRequest(models.Model):
    """Somebody asks for a package that a channel does not show. resume: what waits for the answer, in the words of whoever waits."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="requests")
    spec = models.CharField(max_length=300)
    missing = models.CharField(max_length=12, choices=Missing)
    asker = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    asked_by = models.CharField(max_length=200)
    reason = models.CharField(max_length=1000)
    state = models.CharField(max_length=8, choices=RequestState, default=RequestState.ASKED)
    answer = models.CharField(max_length=500, blank=True)
    answered_by = models.CharField(max_length=200, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    resume = models.CharField(max_length=200, blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-asked_at", "-pk")
        indexes = (models.Index(fields=["channel", "state", "-asked_at"]), models.Index(fields=["asker", "-asked_at"]))

    def __str__(self) -> str:
        return f"{self.spec} ({self.state})"
