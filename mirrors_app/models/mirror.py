"""A mirror: which channel is filled, from which upstreams, with what, when and how fast."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from channels_app.models import Channel
from condahub.accounts.policy import AccessTarget, Actor, Permission, readable

DEFAULT_SHRINK_SHARE = 0.5
DEFAULT_CONNECTIONS = 16


class MirrorMode(models.TextChoices):
    FULL = "full"
    FILTERED = "filtered"
    LAZY = "lazy"
    LOCK = "lock"


class RemovedRule(models.TextChoices):
    """What is done with packages that the upstream has no more."""

    KEEP = "keep"
    DROP = "drop"


class ReplacedRule(models.TextChoices):
    """Which bytes are shown when the upstream has others under the same name; both are kept."""

    HOLD = "hold"
    FOLLOW = "follow"


class DeniedRule(models.TextChoices):
    """Whether a run brings what policy denies for as long as its rules are as they are: it is shown to nobody in any case."""

    BRING = "bring"
    LEAVE = "leave"


class CredentialKind(models.TextChoices):
    """How the hub proves to an upstream who it is."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - a kind; in the path, as /t/<token>
    BASIC = "basic"
    BEARER = "bearer"
    API_KEY = "api_key"
    S3 = "s3"


class MirrorQuerySet(models.QuerySet["Mirror"]):
    def existing(self) -> MirrorQuerySet:
        """Without those of channels that wait out a grace period after a delete."""
        return self.filter(channel__deleted_at__isnull=True, channel__organization__deleted_at__isnull=True)

    def visible_to(self, actor: Actor) -> MirrorQuerySet:
        """The mirrors that the actor may read; nothing else is ever counted or listed."""
        found = readable(actor, Permission.MIRROR_READ)
        if found.all:
            return self.existing()
        # By a role alone: an open channel shows its packages to everybody, and not where they come from.
        by_role = Q(channel__organization_id__in=sorted(found.organization_ids)) | Q(channel_id__in=sorted(found.channel_ids))
        return self.existing().filter(by_role)


class Mirror(models.Model):
    """One channel that is filled from upstreams. Changed by `mirrors_app.services.mirrors` only.

    filters: the keyword arguments of `core.filters.Filters` as JSON; lock: the text of a pixi.lock, conda-lock.yml or explicit file;
    windows: hours as "22:00-06:00" in `time_zone`, downloads run in one of them only; sealed_proxy: `condahub.vault`, purpose mirror;
    ca_bundle: PEM; admitted: what enters for a while though the filters leave it out, [{spec, until, request}], until in ISO 8601;
    approved: what `MirrorConfig.approved` holds, until a run has used it.
    """

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, related_name="mirror")
    mode = models.CharField(max_length=8, choices=MirrorMode, default=MirrorMode.FULL)
    subdirs = models.JSONField(default=list)
    filters = models.JSONField(default=dict, blank=True)
    lock = models.TextField(blank=True, editable=False)
    removed = models.CharField(max_length=4, choices=RemovedRule, default=RemovedRule.KEEP)
    replaced = models.CharField(max_length=6, choices=ReplacedRule, default=ReplacedRule.HOLD)
    denied = models.CharField(max_length=5, choices=DeniedRule, default=DeniedRule.BRING)
    shrink_share = models.FloatField(default=DEFAULT_SHRINK_SHARE, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    max_packages = models.PositiveIntegerField(default=0, help_text="At most so many are fetched in one run; 0: all.")

    # "" is by hand only. Five cron fields, read in the time zone.
    schedule = models.CharField(max_length=100, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    next_run_at = models.DateTimeField(null=True, blank=True)
    paused = models.BooleanField(default=False)
    windows = models.JSONField(default=list, blank=True)
    bytes_per_second = models.PositiveBigIntegerField(default=0, help_text="0: no limit.")
    connections = models.PositiveIntegerField(default=DEFAULT_CONNECTIONS, validators=[MinValueValidator(1), MaxValueValidator(128)])
    sealed_proxy = models.TextField(blank=True, editable=False)
    ca_bundle = models.TextField(blank=True)

    # Of lazy mirrors: how old the index may be before it is asked for again, how long a 404 is remembered, and after what time
    # without an answer of the upstream the index is called stale.
    index_refresh_seconds = models.PositiveIntegerField(default=300)
    negative_cache_seconds = models.PositiveIntegerField(default=300)
    stale_after_seconds = models.PositiveIntegerField(default=3600)

    admitted = models.JSONField(default=list, blank=True, editable=False)
    approved = models.JSONField(default=list, blank=True, editable=False)
    # What the upstream had until then counts as seen long ago.
    first_synced_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_synced_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=200, blank=True, editable=False)

    objects: ClassVar[models.Manager[Mirror]] = MirrorQuerySet.as_manager()

    class Meta:
        ordering = ("channel__name",)
        indexes = (models.Index(fields=["next_run_at"], condition=models.Q(next_run_at__isnull=False), name="mirror_due"),)

    def __str__(self) -> str:
        return self.channel.name

    @property
    def access_target(self) -> AccessTarget:
        return self.channel.target()


class Upstream(models.Model):
    """One address of the channel that is mirrored; they are asked in the order of `position`.

    url: without credentials, ends in "/"; username: of basic, or the access key of S3; sealed_secret: `condahub.vault`, purpose mirror;
    region, endpoint: of S3.
    """

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="upstreams", db_index=False)
    position = models.PositiveIntegerField(default=0)
    url = models.CharField(max_length=2000)
    credential_kind = models.CharField(max_length=8, choices=CredentialKind, default=CredentialKind.NONE)
    username = models.CharField(max_length=200, blank=True)
    sealed_secret = models.TextField(blank=True, editable=False)
    region = models.CharField(max_length=64, blank=True)
    endpoint = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("mirror_id", "position")
        constraints = (models.UniqueConstraint(fields=["mirror", "position"], name="upstream_position_unique"),)

    def __str__(self) -> str:
        return self.url


class RegisteredMirror(models.Model):
    """Another server that says it mirrors one of our channels (Quetz's registry); told to those who read the channel, never asked."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="registered_mirrors")
    url = models.CharField(max_length=500)
    api_endpoint = models.CharField(max_length=500, blank=True)
    metrics_endpoint = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("pk",)
        constraints = (models.UniqueConstraint(fields=["channel", "url"], name="registered_mirror_unique"),)

    def __str__(self) -> str:
        return self.url
