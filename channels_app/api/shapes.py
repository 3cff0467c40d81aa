"""What the REST API of channels takes and answers with."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channels_app.index.render import FileRow, shown_record
from channels_app.models import Attestation, Channel, ChannelKind, FileState, Package, PackageFile, Revision
from channels_app.statistics import Period
from condahub.accounts.permissions import Visibility
from condahub.api.fields import MAX_INTEGER, Answer, HubSerializer, JsonObject, Text, TrueOrFalse, WholeNumber

MAX_FILES_AT_ONCE = 1000
# What the columns hold in every database.
MAX_SETTING = 2**31 - 1


class ChannelAnswer(Answer):
    name = serializers.CharField()
    organization = serializers.CharField(source="organization.name")
    kind = serializers.ChoiceField(ChannelKind.choices)
    visibility = serializers.ChoiceField(Visibility.choices)
    description = serializers.CharField(allow_blank=True)
    metadata = serializers.DictField()
    allow_overwrite = serializers.BooleanField()
    quota_bytes = serializers.IntegerField(allow_null=True)
    used_bytes = serializers.IntegerField()
    ttl_seconds = serializers.IntegerField()
    keep_builds = serializers.IntegerField(allow_null=True)
    keep_all_revisions = serializers.BooleanField()
    revision = serializers.IntegerField(source="head", help_text="The number of the revision that is served now.")
    packages_count = serializers.SerializerMethodField()
    policy_state = serializers.ChoiceField(
        [("applying", "applying"), ("current", "current")], help_text="Whether the index shows the last edit."
    )
    created_at = serializers.DateTimeField()
    url = serializers.SerializerMethodField()

    def get_packages_count(self, channel: Channel) -> int:
        counted: int | None = getattr(channel, "packages_count", None)
        return channel.packages.exclude(latest_version="").count() if counted is None else counted

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, channel: Channel) -> str:
        return f"{settings.CONDAHUB_PUBLIC_URL}/channels/{channel.name}"


class ChannelSettings(HubSerializer):
    """A channel's settings; those left out stay as they are."""

    visibility = serializers.ChoiceField(Visibility.choices, required=False)
    description = Text(required=False, allow_blank=True, max_length=20_000)
    metadata = JsonObject(required=False)
    allow_overwrite = TrueOrFalse(required=False)
    quota_bytes = WholeNumber(required=False, allow_null=True, max_value=MAX_INTEGER)
    ttl_seconds = WholeNumber(required=False, max_value=MAX_SETTING)
    keep_all_revisions = serializers.BooleanField(required=False)
    keep_builds = WholeNumber(required=False, allow_null=True, min_value=1, max_value=MAX_SETTING)


class NewChannel(HubSerializer):
    """Without an organization it goes to the personal one of who asks."""

    organization = Text(required=False, max_length=64)
    name = Text(max_length=64)
    visibility = serializers.ChoiceField(Visibility.choices, required=False)
    kind = serializers.ChoiceField(ChannelKind.choices, required=False)
    description = Text(required=False, allow_blank=True, max_length=20_000)
    metadata = JsonObject(required=False)
    allow_overwrite = TrueOrFalse(required=False)
    members = serializers.ListField(
        child=Text(max_length=64), required=False, max_length=16, help_text="Those that a virtual channel shows, the highest first."
    )


class NewName(HubSerializer):
    name = Text(max_length=64)


class PackageAnswer(Answer):
    name = serializers.CharField()
    summary = serializers.CharField(allow_blank=True)
    license = serializers.CharField(allow_blank=True)
    url = serializers.CharField(allow_blank=True, help_text="The project's own page, as the package says.")
    latest_version = serializers.CharField(allow_blank=True)
    platforms = serializers.ListField(child=serializers.CharField())
    files_count = serializers.IntegerField()
    updated_at = serializers.DateTimeField()


class PackageDetail(PackageAnswer):
    channel = serializers.CharField(source="channel.name")
    description = serializers.CharField(allow_blank=True)
    versions = serializers.SerializerMethodField(help_text="Versions that can be installed, the last published first.")

    def get_versions(self, package: Package) -> list[str]:
        files = PackageFile.objects.shown().filter(channel_id=package.channel_id, name=package.name)
        return list(dict.fromkeys(files.order_by("-indexed_at", "-pk").values_list("version", flat=True)))


class FileAnswer(Answer):
    """Its channel comes in the context."""

    subdir = serializers.CharField()
    filename = serializers.CharField()
    name = serializers.CharField()
    version = serializers.CharField()
    build = serializers.CharField()
    build_number = serializers.IntegerField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()
    md5 = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(FileState.choices)
    reason = serializers.CharField(allow_blank=True)
    revoked = serializers.BooleanField()
    indexed_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField()
    uploaded_by = serializers.SerializerMethodField(help_text="Told to those who are signed in.")
    url = serializers.SerializerMethodField()

    def get_uploaded_by(self, file: PackageFile) -> str:
        return "" if self.context["view"].actor.is_anonymous else file.uploaded_by

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, file: PackageFile) -> str:
        return f"{settings.CONDAHUB_PUBLIC_URL}/channels/{self.context['channel'].name}/{file.subdir}/{quote(file.filename)}"


class FileDetail(FileAnswer):
    record = serializers.SerializerMethodField(help_text="As the index shows it, hotfixes applied.")
    run_exports = serializers.SerializerMethodField()

    def get_record(self, file: PackageFile) -> dict[str, Any]:
        return shown_record(FileRow(file.filename, file.state, file.record, file.run_exports, file.about, file.patch, file.revoked))

    def get_run_exports(self, file: PackageFile) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(file.run_exports)
        return decoded


class SignerAnswer(Answer):
    identity = serializers.CharField(help_text="As the certificate has it. Nobody looked whether that certificate can be trusted.")
    issuer = serializers.CharField(allow_blank=True, help_text="Who vouches for the identity, as the certificate has it.")


class AttestationAnswer(Answer):
    """Its channel comes in the context."""

    sha256 = serializers.CharField(allow_blank=True, help_text="Of the sidecar; the record's attestations_sha256.")
    url = serializers.SerializerMethodField(help_text="Of the sidecar, beside the package.")
    signers = SignerAnswer(many=True)
    added_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(OpenApiTypes.STR)
    def get_url(self, made: Attestation) -> str:
        if not made.sha256:
            return ""
        place = f"{made.file.subdir}/{quote(made.file.filename)}.sigs.{made.sha256}"
        return f"{settings.CONDAHUB_PUBLIC_URL}/channels/{self.context['channel'].name}/{place}"


class FileReference(HubSerializer):
    subdir = Text(max_length=64)
    filename = Text(max_length=211)


class FilesChange(HubSerializer):
    """All of them are changed, or none."""

    files = serializers.ListField(child=FileReference(), min_length=1, max_length=MAX_FILES_AT_ONCE)
    reason = Text(required=False, allow_blank=True, default="", max_length=500)


class FilesCopy(HubSerializer):
    """All of them are copied, or none. With `promote` they leave the source."""

    source = Text(max_length=64)  # type: ignore[assignment]
    files = serializers.ListField(child=FileReference(), min_length=1, max_length=MAX_FILES_AT_ONCE)
    promote = TrueOrFalse(required=False, default=False)


class FilesAnswer(Answer):
    files = FileAnswer(many=True)
    revision = serializers.IntegerField(help_text="The first revision that shows the change.")


class PublishedAnswer(FileAnswer):
    created = serializers.BooleanField(help_text="False when the same bytes were there already.")
    revision = serializers.IntegerField(help_text="The first revision that shows it.")


class BatchAnswer(Answer):
    files = PublishedAnswer(many=True)
    revision = serializers.IntegerField()


class UploadQuery(serializers.Serializer[Any]):
    sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}$", required=False, default="", help_text="Refused when the body is another.")
    force = serializers.BooleanField(required=False, default=False, help_text="Replace other bytes, where channel and grant allow it.")
    subdir = serializers.CharField(required=False, default=None, max_length=64, help_text="Left out: the package's own word for it.")


class BatchQuery(serializers.Serializer[Any]):
    force = serializers.BooleanField(required=False, default=False, help_text="Replace other bytes, where channel and grant allow it.")


class SubdirAnswer(Answer):
    revision = serializers.IntegerField(help_text="The last one that changed this subdir.")
    changed_at = serializers.CharField(allow_blank=True)
    names = serializers.IntegerField()
    records = serializers.IntegerField()
    bytes = serializers.IntegerField(help_text="Of its records as JSON.")


class RevisionAnswer(Answer):
    number = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    cause = serializers.SerializerMethodField(help_text="Told to those who are signed in.")
    pinned = serializers.BooleanField()
    tag = serializers.CharField(allow_blank=True)
    subdirs = serializers.DictField(child=SubdirAnswer())
    url = serializers.SerializerMethodField(help_text="The channel as it was: a channel's URL for any client.")

    def get_cause(self, revision: Revision) -> str:
        return "" if self.context["view"].actor.is_anonymous else revision.cause

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, revision: Revision) -> str:
        return f"{settings.CONDAHUB_PUBLIC_URL}/channels/{self.context['channel'].name}@{revision.number}"


class DiffQuery(serializers.Serializer[Any]):
    since = serializers.IntegerField(required=False, min_value=0, max_value=MAX_INTEGER, help_text="Left out: the revision before.")


class DiffFile(Answer):
    subdir = serializers.CharField()
    filename = serializers.CharField()
    name = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    build = serializers.CharField(allow_null=True)
    build_number = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    size = serializers.IntegerField(allow_null=True)


class ChangedFile(DiffFile):
    keys = serializers.ListField(child=serializers.CharField(), help_text="The keys of the record that differ.")


class DiffAnswer(Answer):
    since = serializers.IntegerField()
    until = serializers.IntegerField()
    added = DiffFile(many=True)
    changed = ChangedFile(many=True)
    removed = DiffFile(many=True)


class RollbackBody(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(required=False, default=False)


class KeptFile(Answer):
    subdir = serializers.CharField()
    filename = serializers.CharField()
    why = serializers.CharField()


class RollbackAnswer(Answer):
    revision = serializers.IntegerField(help_text="The channel's newest one now.")
    shown = serializers.ListField(child=serializers.CharField(), help_text="`subdir/filename` of what came back.")
    hidden = serializers.ListField(child=serializers.CharField(), help_text="What came since, and is deleted.")
    changed = serializers.ListField(child=serializers.CharField(), help_text="What has its metadata of then.")
    kept = KeptFile(many=True, help_text="What could not be put back.")


class KeepBody(serializers.Serializer[Any]):
    pinned = serializers.BooleanField()
    tag = serializers.CharField(required=False, allow_blank=True, default="", max_length=100)


class DownloadsQuery(serializers.Serializer[Any]):
    period = serializers.ChoiceField([(one.value, one.name.lower()) for one in Period], required=False, default=Period.DAY.value)
    start = serializers.DateField(required=False, default=None, help_text="The first day, in UTC.")
    end = serializers.DateField(required=False, default=None, help_text="The last day; today unless said.")
    subdir = serializers.CharField(required=False, default="", max_length=64)
    filename = serializers.CharField(required=False, default="", max_length=211)


class DownloadsPoint(Answer):
    start = serializers.DateField()
    count = serializers.IntegerField()


class DownloadsAnswer(Answer):
    period = serializers.ChoiceField([(one.value, one.name.lower()) for one in Period])
    start = serializers.DateField()
    end = serializers.DateField()
    total = serializers.IntegerField()
    series = DownloadsPoint(many=True, help_text="Periods without a download are left out.")


class ReadersQuery(serializers.Serializer[Any]):
    on = serializers.DateField(required=False, default=None, help_text="As it was at the end of that day, in UTC; now unless said.")


class ReaderAnswer(Answer):
    username = serializers.CharField()
    ways = serializers.ListField(child=serializers.CharField(), help_text="Every role by which it may read, in words.")


class ReadersAnswer(Answer):
    """Of a public channel everybody is a reader beside these, of an internal one everybody who signs in."""

    on = serializers.DateField(allow_null=True)
    visibility = serializers.ChoiceField(Visibility.choices)
    people = ReaderAnswer(many=True)
    teams_elsewhere = serializers.ListField(
        child=serializers.CharField(), help_text="Teams of other organizations, whose people those tell."
    )
    also_of = serializers.ListField(
        child=serializers.CharField(), help_text="What the readers of a virtual channel must be readers of as well."
    )


class SearchQuery(serializers.Serializer[Any]):
    q = serializers.CharField(max_length=128, help_text="Part of a name or summary.")


class FoundAnswer(Answer):
    kind = serializers.ChoiceField([("channel", "channel"), ("package", "package")], source="found_kind")
    channel = serializers.CharField(source="found_channel")
    name = serializers.CharField(source="found_name")
    summary = serializers.CharField(source="found_summary", allow_blank=True)
    latest_version = serializers.CharField(source="found_version", allow_blank=True)
