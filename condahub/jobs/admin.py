"""Jobs and workers in the admin: to look at, never to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from condahub.jobs.models import Job, WorkerBeat

if TYPE_CHECKING:
    JobAdminBase = admin.ModelAdmin[Job]
    WorkerBeatAdminBase = admin.ModelAdmin[WorkerBeat]
else:
    JobAdminBase = WorkerBeatAdminBase = admin.ModelAdmin


class ReadOnly:
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnly, JobAdminBase):
    list_display = (
        *("id", "kind", "lane", "state", "organization", "actor_label", "attempts"),
        *("phase", "done", "total", "error_code", "created_at", "finished_at"),
    )
    list_filter = ("state", "lane", "kind")
    list_select_related = ("organization",)
    search_fields = ("=id", "kind", "coalesce_key", "actor_label", "error_code")
    date_hierarchy = "created_at"
    show_full_result_count = False


@admin.register(WorkerBeat)
class WorkerBeatAdmin(ReadOnly, WorkerBeatAdminBase):
    list_display = ("worker", "lane", "hostname", "pid", "busy", "slots", "version", "started_at", "seen_at")
    list_filter = ("lane",)
