"""What the REST API takes and answers of mirrors, their runs and dry runs; secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from condahub.accounts.permissions import Visibility
from condahub.api.fields import Answer, HubSerializer, JsonObject, Text, WholeNumber
from condahub.jobs.api import JobError
from condahub.jobs.models import Job
from condahub.jobs.states import JobState
from mirrors_app.models import (
    CredentialKind,
    DeniedRule,
    Mirror,
    MirrorMode,
    RemovedRule,
    ReplacedRule,
    RunState,
    RunTrigger,
    SyncRun,
    Upstream,
)
from mirrors_app.selectors import STANDING_CHOICES
from mirrors_app.services.mirrors import CHANGEABLE, MAX_CA_BUNDLE_CHARS, MAX_LOCK_CHARS, MAX_SUBDIRS, MAX_UPSTREAMS, UpstreamSpec

MAX_SECRET_CHARS = 8192
MAX_WINDOWS = 24


class UpstreamBody(HubSerializer):
    url = Text(max_length=2000, help_text="The channel's address: https, another hub's, s3://bucket/prefix, or a folder that IT allows.")
    credential_kind = serializers.ChoiceField(choices=CredentialKind.choices, required=False)
    username = Text(required=False, allow_blank=True, max_length=200, help_text="Of `basic`; of `s3` the access key.")
    secret = Text(
        required=False,
        max_length=MAX_SECRET_CHARS,
        trim_whitespace=False,
        write_only=True,
        help_text="Kept encrypted and never shown. Left out in a change: the one that is kept for the same origin.",
    )
    region = Text(required=False, allow_blank=True, max_length=64)
    endpoint = Text(required=False, allow_blank=True, max_length=500, help_text="Of S3.")


class MirrorSettings(HubSerializer):
    """What of a mirror can be changed; `upstreams` replaces all."""

    mode = serializers.ChoiceField(choices=MirrorMode.choices, required=False)
    subdirs = serializers.ListField(child=Text(max_length=64), required=False, max_length=MAX_SUBDIRS)
    filters = JsonObject(required=False, help_text="include, exclude, newest_versions, ... as docs/mirrors.md lists them; replaces all.")
    lock = Text(required=False, allow_blank=True, max_length=MAX_LOCK_CHARS, trim_whitespace=False, write_only=True)
    removed = serializers.ChoiceField(choices=RemovedRule.choices, required=False)
    replaced = serializers.ChoiceField(choices=ReplacedRule.choices, required=False)
    denied = serializers.ChoiceField(choices=DeniedRule.choices, required=False, help_text="What policy denies: bring it, or leave it out.")
    shrink_share = serializers.FloatField(required=False, min_value=0, max_value=1)
    max_packages = WholeNumber(required=False, max_value=2**31 - 1, help_text="At most so many downloads in a run; 0: all.")
    schedule = Text(required=False, allow_blank=True, max_length=100, help_text='Five cron fields; "" is by hand only.')
    time_zone = Text(required=False, max_length=64)
    windows = serializers.ListField(child=Text(max_length=11), required=False, max_length=MAX_WINDOWS, help_text="22:00-06:00")
    bytes_per_second = WholeNumber(required=False, max_value=2**53)
    connections = WholeNumber(required=False, min_value=1, max_value=128)
    proxy = Text(required=False, allow_blank=True, max_length=2000, write_only=True, help_text="For IT staff to give.")
    ca_bundle = Text(required=False, allow_blank=True, max_length=MAX_CA_BUNDLE_CHARS, trim_whitespace=False, help_text="PEM.")
    index_refresh_seconds = WholeNumber(required=False, min_value=1, max_value=7 * 86400)
    negative_cache_seconds = WholeNumber(required=False, max_value=7 * 86400)
    stale_after_seconds = WholeNumber(required=False, min_value=1, max_value=30 * 86400)
    upstreams = serializers.ListField(child=UpstreamBody(), required=False, max_length=MAX_UPSTREAMS)


class NewMirror(MirrorSettings):
    organization = Text(required=False, max_length=64, help_text="Whose the channel is; your own unless said.")
    name = Text(max_length=64)
    visibility = serializers.ChoiceField(choices=Visibility.choices, required=False)
    description = Text(required=False, allow_blank=True, max_length=5000)


class PlanBody(HubSerializer):
    filters = JsonObject(required=False, help_text="Filters to try in place of the mirror's own.")


class DeleteQuery(serializers.Serializer[Any]):
    keep_packages = serializers.BooleanField(
        default=True, help_text="The channel stays, as a hosted one with what it has; false deletes it, with its grace period."
    )


class RunQuery(serializers.Serializer[Any]):
    full = serializers.BooleanField(default=False, help_text="Every item of the report; else the first 200 of each list.")


def settings_of(given: dict[str, Any]) -> tuple[dict[str, Any], list[UpstreamSpec] | None]:
    """What services.mirrors takes of a body: its settings, and the upstreams if it names any."""
    rows = given.get("upstreams")
    specs = None if rows is None else [UpstreamSpec(**row) for row in rows]
    return {key: given[key] for key in given if key in CHANGEABLE}, specs


class UpstreamAnswer(Answer):
    url = serializers.CharField()
    credential_kind = serializers.ChoiceField(choices=CredentialKind.choices)
    username = serializers.CharField(allow_blank=True)
    has_secret = serializers.SerializerMethodField()
    region = serializers.CharField(allow_blank=True)
    endpoint = serializers.CharField(allow_blank=True)

    def get_has_secret(self, row: Upstream) -> bool:
        return bool(row.sealed_secret)


class HeldIndexAnswer(Answer):
    subdir = serializers.CharField()
    verdict = serializers.CharField()
    reason = serializers.CharField()
    approval = serializers.CharField()


class RunAnswer(Answer):
    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=RunState.choices)
    trigger = serializers.ChoiceField(choices=RunTrigger.choices)
    requested_by = serializers.CharField(allow_blank=True)
    job = serializers.IntegerField(source="job_id", allow_null=True)
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    removed = serializers.IntegerField()
    kept_though_gone = serializers.IntegerField()
    replaced = serializers.IntegerField()
    refused = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    files = serializers.IntegerField()
    bytes = serializers.IntegerField(help_text="Of packages.")
    received_bytes = serializers.IntegerField(help_text="Of everything.")
    revision = serializers.IntegerField(allow_null=True, help_text="The channel's head when it ended.")
    reason = serializers.CharField(allow_blank=True)
    hint = serializers.CharField(allow_blank=True)
    held = HeldIndexAnswer(many=True)
    approved_by = serializers.CharField(allow_blank=True)
    approved_at = serializers.DateTimeField(allow_null=True)


class WholeRunAnswer(RunAnswer):
    report = serializers.SerializerMethodField()

    def get_report(self, run: SyncRun) -> dict[str, Any]:
        """added, changed, removed, kept_though_gone, replaced, refused, left_out, ... as lists and counts."""
        found: dict[str, Any] = self.context["report"](run)
        return found


class AdmittedAnswer(Answer):
    spec = serializers.CharField()
    until = serializers.DateTimeField()
    request = serializers.IntegerField()


class MirrorAnswer(Answer):
    name = serializers.CharField(source="channel.name")
    organization = serializers.CharField(source="channel.organization.name")
    visibility = serializers.ChoiceField(choices=Visibility.choices, source="channel.visibility")
    description = serializers.CharField(source="channel.description", allow_blank=True)
    state = serializers.ChoiceField(choices=STANDING_CHOICES, source="standing")
    mode = serializers.ChoiceField(choices=MirrorMode.choices)
    upstreams = UpstreamAnswer(many=True)
    subdirs = serializers.ListField(child=serializers.CharField())
    filters = serializers.DictField()
    admitted = AdmittedAnswer(many=True, help_text="What enters for a while whatever the filters say: approved requests.")
    removed = serializers.ChoiceField(choices=RemovedRule.choices)
    replaced = serializers.ChoiceField(choices=ReplacedRule.choices)
    denied = serializers.ChoiceField(choices=DeniedRule.choices)
    shrink_share = serializers.FloatField()
    max_packages = serializers.IntegerField()
    schedule = serializers.CharField(allow_blank=True)
    time_zone = serializers.CharField()
    windows = serializers.ListField(child=serializers.CharField())
    bytes_per_second = serializers.IntegerField()
    connections = serializers.IntegerField()
    has_proxy = serializers.SerializerMethodField()
    ca_bundle = serializers.CharField(allow_blank=True)
    index_refresh_seconds = serializers.IntegerField()
    negative_cache_seconds = serializers.IntegerField()
    stale_after_seconds = serializers.IntegerField()
    paused = serializers.BooleanField()
    next_run_at = serializers.DateTimeField(allow_null=True)
    last_synced_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(allow_blank=True)

    def get_has_proxy(self, mirror: Mirror) -> bool:
        return bool(mirror.sealed_proxy)


class WorkAnswer(Answer):
    """A job of a mirror: what it is at, and how it ended."""

    job = serializers.IntegerField(source="pk")
    state = serializers.ChoiceField(JobState.choices)
    phase = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)
    error = serializers.SerializerMethodField()

    @extend_schema_field(JobError(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if not job.error_code:
            return None
        return {"code": job.error_code, "detail": job.error_sentence, "hint": job.error_hint}


class PlanAnswer(WorkAnswer):
    result = serializers.JSONField(allow_null=True, help_text="Counts, bytes, and what is left out and why; null until it is done.")


class StatusAnswer(Answer):
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=STANDING_CHOICES)
    mode = serializers.ChoiceField(choices=MirrorMode.choices)
    paused = serializers.BooleanField()
    last_run = RunAnswer(allow_null=True, help_text="The run that goes on, else the last one.")
    progress = WorkAnswer(allow_null=True, help_text="Of the run that goes on, else of the one that waits.")
    next_run_at = serializers.DateTimeField(allow_null=True)
    last_synced_at = serializers.DateTimeField(allow_null=True)
    refusals = serializers.IntegerField(help_text="Packages that the last run could not bring.")
    unshown_keys = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="By subdir: keys of the upstream's index that are kept with its raw text and not shown to clients.",
    )


class RefusalAnswer(Answer):
    subdir = serializers.CharField()
    filename = serializers.CharField()
    reason = serializers.CharField()
    since = serializers.DateTimeField()


class CancelledAnswer(Answer):
    jobs = serializers.ListField(child=serializers.IntegerField())
