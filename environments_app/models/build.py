"""A build of an environment, what it is made of, and what was made from it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Exists, OuterRef, Q

from channels_app.models import Channel, VirtualMember
from condahub.accounts.models import Organization
from condahub.accounts.policy import AccessTarget, Actor, Permission, Readable, readable
from condahub.jobs.models import Job
from environments_app.models.environment import Environment, Redistribution
from environments_app.models.facts import Fact
from environments_app.models.specification import Specification
from environments_app.models.states import BuildState, Phase

MAX_SENTENCE_CHARS = 2000


class Lock(Fact):
    """The exact packages of a build for every platform: canonical bytes that name no host."""

    sha256 = models.CharField(max_length=64, unique=True)
    # Equal for two locks of the same packages, whatever revisions they were found at.
    packages_sha256 = models.CharField(max_length=64, default="", db_index=True)
    content = models.BinaryField()
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256[:12]


class BuildQuerySet(models.QuerySet["Build"]):
    def visible_to(self, actor: Actor) -> BuildQuerySet:
        """Builds of environments that the actor may see, made of channels that it may read (or whose owners let them be shared)."""
        found = self.filter(environment__deleted_at__isnull=True, environment__organization__deleted_at__isnull=True)
        found = found.filter(readable(actor, Permission.BUILD_READ).environments("environment__"))
        if readable(actor, Permission.CHANNEL_READ).all:
            return found
        # A page asks for builds in several ways, and saying this anew takes as long as a query.
        return found.filter(actor.made_once("readable builds", lambda: _made_of(readable(actor, Permission.CHANNEL_READ))))


def _made_of(channels: Readable) -> Q:
    """Builds that are made of nothing else than these."""
    # Of a channel that is gone for good only its organization is known.
    gone = Q(organization_id__in=sorted(channels.organization_ids))
    hidden = BuildChannel.objects.filter(build=OuterRef("pk")).exclude(
        channels.channels("channel__") | gone & Q(channel__isnull=True) | Q(Exists(_let("channel", OuterRef("build__environment"))))
    )
    # Of a virtual channel each member must be readable too, but for those that are shared with its readers.
    closed = VirtualMember.objects.filter(virtual=OuterRef("channel"), shared_by="").exclude(
        channels.channels("member__") | Q(Exists(_let("member", OuterRef(OuterRef("build__environment")))))
    )
    through = BuildChannel.objects.filter(Exists(closed), build=OuterRef("pk"))
    # Nor is one forgotten that has left it since.
    given = VirtualMember.objects.filter(virtual=OuterRef("virtual"), member=OuterRef("member")).exclude(shared_by="")
    left = BuildMember.objects.filter(build=OuterRef("pk")).exclude(
        channels.channels("member__")
        | gone & Q(member__isnull=True)
        | Q(Exists(given))
        | Q(Exists(_let("member", OuterRef("build__environment"))))
    )
    return ~Q(Exists(hidden)) & ~Q(Exists(through)) & ~Q(Exists(left))


def _let(channel: str, environment: OuterRef) -> models.QuerySet[Redistribution]:
    """The word of the owner of a channel that what this environment is made of may be read."""
    return Redistribution.objects.filter(environment=environment, channel=OuterRef(channel))


class Build(models.Model):
    """One attempt at a specification, numbered inside its environment. Its state is moved by `environments_app.services.builds` only.

    request: what is solved, when settings are applied. timings: seconds by phase. error_detail: the solver's tree and the
    lines of the specification that it speaks of. link_scripts: those that packages bring, by file name; they did not run.
    ran_scripts: those that did, in order: {"package", "path", "message"}.
    """

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="builds")
    number = models.PositiveIntegerField()
    # Names the folder on disk: short, because it is baked into binaries.
    key = models.CharField(max_length=16, unique=True, editable=False)
    # The folder that it is in: its own key, or that of an earlier build with the same packages; empty where there is none.
    prefix = models.CharField(max_length=16, blank=True, default="", db_index=True, editable=False)
    specification = models.ForeignKey(Specification, on_delete=models.PROTECT, related_name="builds")
    request = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=BuildState, default=BuildState.QUEUED)
    phase = models.CharField(max_length=10, choices=Phase, blank=True, default="")
    lock = models.ForeignKey(Lock, null=True, blank=True, on_delete=models.PROTECT, related_name="builds")
    size = models.BigIntegerField(default=0)
    package_count = models.PositiveIntegerField(default=0)
    timings = models.JSONField(default=dict)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_sentence = models.CharField(max_length=MAX_SENTENCE_CHARS, blank=True, default="")
    error_detail = models.JSONField(default=dict)
    link_scripts = models.JSONField(default=list)
    ran_scripts = models.JSONField(default=list)
    # What the ones that ran wrote, in the blob namespace `artifacts`: it is part of the environment as the lock's packages are.
    scripts_sha256 = models.CharField(max_length=64, blank=True, default="", db_index=True)
    scripts_size = models.BigIntegerField(default=0)
    pinned = models.BooleanField(default=False)
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    author = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Its prefix and artifacts are gone; the lock makes them again.
    archived_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Build]] = BuildQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["environment", "number"], name="build_number_once"),
            models.CheckConstraint(condition=Q(state__in=BuildState.values), name="build_state_known"),
            models.CheckConstraint(condition=Q(phase="") | Q(state=BuildState.RUNNING.value), name="build_phase_of_running"),
        )
        indexes = (
            models.Index(fields=["environment", "-number"], name="builds_of_environment"),
            models.Index(fields=["state"], name="builds_by_state"),
        )

    def __str__(self) -> str:
        return f"{self.environment}@{self.number}"

    @property
    def access_target(self) -> AccessTarget:
        """A build is asked about by its environment; whether its channels let it be read, `visible_to` says."""
        return self.environment.access_target


class BuildChannel(models.Model):
    """A build is made of this channel: who may not read the one may not read the other."""

    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="made_of")
    channel = models.ForeignKey(Channel, null=True, on_delete=models.SET_NULL, related_name="+")
    # What remains known of a channel that is gone for good.
    name = models.CharField(max_length=64)
    organization = models.ForeignKey(Organization, null=True, on_delete=models.SET_NULL, related_name="+")
    position = models.PositiveIntegerField()
    # At which its lock found the packages: kept as long as the build is.
    revision = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(fields=["build", "position"], name="build_channel_position"),)

    def __str__(self) -> str:
        return f"{self.name} in {self.build_id}"


class BuildMember(models.Model):
    """A channel that a virtual one of a build showed when the build was made: its packages may be in it, also after it has left."""

    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="members")
    virtual = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="+")
    member = models.ForeignKey(Channel, null=True, on_delete=models.SET_NULL, related_name="+")
    # What remains known of a channel that is gone for good.
    organization = models.ForeignKey(Organization, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["build", "virtual", "member"], name="build_member_once"),)

    def __str__(self) -> str:
        return f"{self.member_id} through {self.virtual_id} in {self.build_id}"


class BuildPackage(models.Model):
    """One package of a build on one platform."""

    class Kind(models.TextChoices):
        CONDA = "conda"
        PYPI = "pypi"

    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="packages")
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.CONDA)
    platform = models.CharField(max_length=32)
    name = models.CharField(max_length=128)
    version = models.CharField(max_length=128)
    build_string = models.CharField(max_length=128, blank=True, default="")
    build_number = models.PositiveIntegerField(default=0)
    subdir = models.CharField(max_length=32, blank=True, default="")
    channel = models.CharField(max_length=255, blank=True, default="")
    filename = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(default=0)
    license = models.CharField(max_length=200, blank=True, default="")
    # The line of the specification that asked for it, as written there; empty for what came along.
    requested = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ("name", "platform")
        constraints = (models.UniqueConstraint(fields=["build", "platform", "kind", "name"], name="build_package_once"),)
        indexes = (models.Index(fields=["name", "version"], name="build_packages_by_name"),)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class ArtifactKind(models.TextChoices):
    SPECIFICATION = "yaml", "environment.yml"
    PINNED = "pinned", "environment.yml, pinned"
    PIXI_LOCK = "pixi.lock", "pixi.lock"
    CONDA_LOCK = "conda-lock", "conda-lock.yml"
    EXPLICIT = "explicit", "@EXPLICIT"
    ARCHIVE = "archive", "relocatable archive (.tar.gz)"
    ARCHIVE_ZSTD = "archive-zstd", "relocatable archive (.tar.zst)"
    INSTALLER = "installer", "self-extracting installer"
    SBOM = "sbom", "bill of materials (CycloneDX)"
    SBOM_SPDX = "sbom-spdx", "bill of materials (SPDX)"
    LOG = "log", "log"


class ArtifactState(models.TextChoices):
    WANTED = "wanted"
    READY = "ready"
    FAILED = "failed"
    GONE = "gone"


class BuildArtifact(models.Model):
    """A file made from a build, each on its own: one that fails never fails the build."""

    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="artifacts")
    kind = models.CharField(max_length=12, choices=ArtifactKind)
    platform = models.CharField(max_length=32, blank=True, default="")
    state = models.CharField(max_length=8, choices=ArtifactState, default=ArtifactState.WANTED)
    filename = models.CharField(max_length=255, blank=True, default="")
    content_type = models.CharField(max_length=100, blank=True, default="application/octet-stream")
    sha256 = models.CharField(max_length=64, blank=True, default="")
    size = models.BigIntegerField(default=0)
    error = models.CharField(max_length=MAX_SENTENCE_CHARS, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("kind", "platform")
        constraints = (models.UniqueConstraint(fields=["build", "kind", "platform"], name="build_artifact_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of {self.build_id}"
