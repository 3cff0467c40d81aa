"""Mirrors in the Django admin: lists for looking and finding; what changes goes through the services' own doors."""

from __future__ import annotations

from django.contrib import admin

from condahub.adminsite.base import LookOnly
from mirrors_app.models import Mirror, MirrorRefusal, SyncRun, Upstream, UpstreamRevision


@admin.register(Mirror)
class MirrorAdmin(LookOnly):
    list_display = ("channel", "mode", "removed", "replaced", "schedule", "time_zone", "paused", "next_run_at", "last_synced_at")
    list_filter = ("mode", "paused")
    list_select_related = ("channel",)
    search_fields = ("channel__name", "upstreams__url")


@admin.register(Upstream)
class UpstreamAdmin(LookOnly):
    list_display = ("url", "mirror", "position", "credential_kind", "username")
    list_select_related = ("mirror__channel",)
    search_fields = ("url", "mirror__channel__name")


@admin.register(SyncRun)
class SyncRunAdmin(LookOnly):
    list_display = ("mirror", "state", "trigger", "started_at", "ended_at", "added", "changed", "removed", "replaced", "refused", "bytes")
    list_filter = ("state", "trigger")
    list_select_related = ("mirror__channel",)
    search_fields = ("mirror__channel__name", "reason")
    date_hierarchy = "started_at"


@admin.register(MirrorRefusal)
class MirrorRefusalAdmin(LookOnly):
    list_display = ("filename", "subdir", "mirror", "reason", "since")
    list_select_related = ("mirror__channel",)
    search_fields = ("filename", "mirror__channel__name")


@admin.register(UpstreamRevision)
class UpstreamRevisionAdmin(LookOnly):
    list_display = ("mirror", "subdir", "kind", "count", "digest", "size", "seen_at")
    list_select_related = ("mirror__channel",)
    search_fields = ("mirror__channel__name", "digest")
