"""Jobs and workers in the admin: to look at, never to edit."""

from __future__ import annotations

from django.contrib import admin

from condahub.adminsite.base import LookOnly
from condahub.jobs.models import Job, WorkerBeat


@admin.register(Job)
class JobAdmin(LookOnly):
    list_display = (
        *("id", "kind", "lane", "state", "organization", "actor_label", "attempts"),
        *("phase", "done", "total", "error_code", "created_at", "finished_at"),
    )
    list_filter = ("state", "lane", "kind")
    list_select_related = ("organization",)
    search_fields = ("=id", "kind", "coalesce_key", "actor_label", "error_code")
    date_hierarchy = "created_at"


@admin.register(WorkerBeat)
class WorkerBeatAdmin(LookOnly):
    list_display = ("worker", "lane", "hostname", "pid", "busy", "slots", "version", "started_at", "seen_at")
    list_filter = ("lane",)
