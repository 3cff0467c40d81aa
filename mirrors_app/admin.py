"""Mirrors in the Django admin: lists for looking and finding, and verbs on many rows through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from condahub.accounts.policy import Actor
from condahub.adminsite.base import LookInline, LookOnly
from condahub.adminsite.confirming import Verb
from mirrors_app import cards
from mirrors_app.models import (
    BundleExport,
    BundleImport,
    Mirror,
    MirrorRefusal,
    SigningKey,
    SyncRun,
    TrustedKey,
    Upstream,
    UpstreamRevision,
)
from mirrors_app.services.mirrors import pause_mirror, resume_mirror
from mirrors_app.services.runs import cancel_run, run_now

cards.register()


def _sync(actor: Actor, mirror: Mirror, values: dict[str, Any]) -> None:
    run_now(actor=actor, mirror=mirror)


def _pause(actor: Actor, mirror: Mirror, values: dict[str, Any]) -> None:
    pause_mirror(actor=actor, mirror=mirror)


def _resume(actor: Actor, mirror: Mirror, values: dict[str, Any]) -> None:
    resume_mirror(actor=actor, mirror=mirror)


def _cancel(actor: Actor, mirror: Mirror, values: dict[str, Any]) -> None:
    cancel_run(actor=actor, mirror=mirror)


class UpstreamInline(LookInline):
    model = Upstream
    fields = ("position", "url", "credential_kind", "username")


class RunInline(LookInline):
    model = SyncRun
    verbose_name_plural = "runs"
    ordering = ("-id",)
    fields = ("state", "trigger", "started_at", "ended_at", "added", "changed", "removed", "refused", "reason")


class OfAMirror(LookOnly):
    """What belongs to one mirror is found in the audit, in the portal and among the jobs by it."""

    def channel_of(self, obj: Any) -> str:
        return str(obj.mirror.channel.name)

    def audit_target(self, obj: Any) -> str:
        return f"channel:{self.channel_of(obj)}"

    def portal_path(self, obj: Any) -> str:
        return f"/ui/channels/{self.channel_of(obj)}/mirror"


@admin.register(Mirror)
class MirrorAdmin(OfAMirror):
    list_display = ("channel", "mode", "removed", "replaced", "schedule", "paused", "next_run_at", "last_synced_at", "links")
    list_filter = ("mode", "paused", "removed", "replaced")
    list_select_related = ("channel__organization",)
    search_fields = ("channel__name", "upstreams__url")
    date_hierarchy = "created_at"
    inlines = (UpstreamInline, RunInline)
    verbs = (
        Verb("sync", "Sync now", "Each is synced as soon as a worker is free.", _sync),
        Verb("pause", "Pause", "No runs by the clock until they are resumed; a run that goes on is not stopped.", _pause),
        Verb("resume", "Resume", "They run by the clock again.", _resume),
        Verb("cancel", "Cancel the run", "The run that goes on stops; what was fetched is kept for the next.", _cancel, dangerous=True),
    )

    def channel_of(self, obj: Mirror) -> str:
        return obj.channel.name

    def jobs_query(self, obj: Mirror) -> dict[str, Any]:
        return {"coalesce_key": f"mirror:{obj.pk}"}


@admin.register(Upstream)
class UpstreamAdmin(OfAMirror):
    list_display = ("url", "mirror", "position", "credential_kind", "username", "links")
    list_filter = ("credential_kind",)
    list_select_related = ("mirror__channel",)
    search_fields = ("url", "mirror__channel__name")


@admin.register(SyncRun)
class SyncRunAdmin(OfAMirror):
    list_display = ("mirror", "state", "trigger", "started_at", "ended_at", "added", "changed", "removed", "refused", "bytes", "links")
    list_filter = ("state", "trigger", ("mirror", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("mirror__channel",)
    search_fields = ("mirror__channel__name", "reason")
    date_hierarchy = "started_at"
    deferred = ("report", "held")

    def jobs_query(self, obj: SyncRun) -> dict[str, Any]:
        return {"id": obj.job_id} if obj.job_id is not None else {}


@admin.register(MirrorRefusal)
class MirrorRefusalAdmin(LookOnly):
    list_display = ("filename", "subdir", "mirror", "reason", "since")
    list_filter = (("mirror", AutocompleteSelectFilter),)
    list_filter_submit = True
    list_select_related = ("mirror__channel",)
    search_fields = ("filename", "mirror__channel__name")


@admin.register(UpstreamRevision)
class UpstreamRevisionAdmin(LookOnly):
    list_display = ("mirror", "subdir", "kind", "count", "digest", "size", "seen_at")
    list_filter = ("kind", ("mirror", AutocompleteSelectFilter))
    list_filter_submit = True
    date_hierarchy = "seen_at"
    list_select_related = ("mirror__channel",)
    search_fields = ("mirror__channel__name", "digest")


class _OfABundlesChannel(LookOnly):
    def audit_target(self, obj: BundleExport | BundleImport) -> str:
        return f"channel:{obj.channel.name}"

    def jobs_query(self, obj: BundleExport | BundleImport) -> dict[str, Any]:
        return {"id": obj.job_id} if obj.job_id is not None else {}


@admin.register(BundleExport)
class BundleExportAdmin(_OfABundlesChannel):
    list_display = ("channel", "sequence", "state", "revision", "size", "key", "created_by", "created_at", "ready_at", "links")
    list_filter = ("state", ("channel", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("channel", "key")
    search_fields = ("channel__name", "environment", "created_by", "error_code")
    date_hierarchy = "created_at"


@admin.register(BundleImport)
class BundleImportAdmin(_OfABundlesChannel):
    list_display = (
        "channel",
        "state",
        "source_name",
        "sequence",
        "size",
        "created_by",
        "created_at",
        "ended_at",
        "error_sentence",
        "links",
    )
    list_filter = ("state", ("channel", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("channel",)
    search_fields = ("channel__name", "source_name", "created_by", "error_code")
    date_hierarchy = "created_at"


@admin.register(SigningKey)
class SigningKeyAdmin(LookOnly):
    list_display = ("name", "public", "signs", "follows", "created_by", "created_at", "revoked_at")
    list_filter = ("signs",)
    list_select_related = ("follows",)
    search_fields = ("name", "public")
    exclude = ("sealed",)
    deferred = ("sealed",)


@admin.register(TrustedKey)
class TrustedKeyAdmin(LookOnly):
    list_display = ("name", "public", "follows", "added_by", "added_at", "revoked_at", "revoked_by")
    list_select_related = ("follows",)
    search_fields = ("name", "public")
