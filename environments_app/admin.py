"""Environments in the Django admin: lists for looking and finding, and verbs on many builds through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from condahub.accounts.policy import Actor
from condahub.adminsite.base import LookInline, LookOnly
from condahub.adminsite.confirming import Verb
from condahub.adminsite.filters import OpenFilter
from environments_app.models import (
    Build,
    BuildArtifact,
    Builder,
    BuildPackage,
    Environment,
    EnvironmentSchedule,
    EnvironmentSettings,
    Lock,
    Redistribution,
    Specification,
    WatchedFile,
    Wheel,
)
from environments_app.services.builds import build_again, cancel_build


def _rebuild(actor: Actor, build: Build, values: dict[str, Any]) -> None:
    build_again(actor=actor, build=build)


def _cancel(actor: Actor, build: Build, values: dict[str, Any]) -> None:
    cancel_build(actor=actor, build=build)


class DeletedFilter(OpenFilter):
    title = "deleted"
    parameter_name = "deleted"
    column = "deleted_at"
    words = ("Not deleted", "Deleted")


class BuildInline(LookInline):
    model = Build
    ordering = ("-number",)
    fields = ("number", "state", "phase", "package_count", "size", "author", "started_at", "ended_at", "pinned")


class ArtifactInline(LookInline):
    model = BuildArtifact
    fields = ("kind", "platform", "state", "filename", "size", "error")


@admin.register(Environment)
class EnvironmentAdmin(LookOnly):
    list_display = ("name", "organization", "visibility", "current_build", "created_at", "archived_at", "deleted_at", "links")
    list_filter = ("visibility", DeletedFilter, ("organization", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("organization", "current_build__environment__organization")
    search_fields = ("name", "organization__name")
    date_hierarchy = "created_at"
    inlines = (BuildInline,)

    def audit_target(self, obj: Environment) -> str:
        return f"environment:{obj}"

    def jobs_query(self, obj: Environment) -> dict[str, Any]:
        return {"organization__id__exact": obj.organization_id, "kind": "environments.build"}


@admin.register(Specification)
class SpecificationAdmin(LookOnly):
    list_display = ("sha256", "organization", "kind", "author", "created_at")
    list_filter = ("kind", ("organization", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("organization",)
    search_fields = ("^sha256", "author")
    date_hierarchy = "created_at"
    deferred = ("text", "canonical")


@admin.register(Build)
class BuildAdmin(LookOnly):
    list_display = (
        "environment",
        "number",
        "state",
        "phase",
        "package_count",
        "size",
        "author",
        "created_at",
        "ended_at",
        "pinned",
        "links",
    )
    list_filter = ("state", "pinned", ("environment", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("environment__organization",)
    search_fields = ("environment__name", "=key", "author")
    date_hierarchy = "created_at"
    inlines = (ArtifactInline,)
    verbs = (
        Verb("rebuild", "Rebuild", "The same specifications are built anew, with today's packages, as the next builds.", _rebuild),
        Verb("cancel", "Cancel", "They stop in whatever phase; those that have ended stay as they are.", _cancel, dangerous=True),
    )

    def audit_target(self, obj: Build) -> str:
        return f"build:{obj}"

    def jobs_query(self, obj: Build) -> dict[str, Any]:
        return {"id": obj.job_id} if obj.job_id is not None else {}


@admin.register(BuildPackage)
class BuildPackageAdmin(LookOnly):
    list_display = ("name", "version", "build_string", "platform", "kind", "channel", "build")
    list_filter = ("kind",)
    list_select_related = ("build__environment__organization",)
    search_fields = ("name",)


@admin.register(BuildArtifact)
class BuildArtifactAdmin(LookOnly):
    list_display = ("build", "kind", "platform", "state", "filename", "size", "created_at")
    list_filter = ("kind", "state", "platform")
    list_select_related = ("build__environment__organization",)
    search_fields = ("filename", "build__environment__name")
    date_hierarchy = "created_at"


@admin.register(Lock)
class LockAdmin(LookOnly):
    list_display = ("sha256", "size", "created_at")
    search_fields = ("sha256",)
    exclude = ("content",)


@admin.register(Redistribution)
class RedistributionAdmin(LookOnly):
    list_display = ("environment", "channel", "given_by", "given_at")
    list_select_related = ("environment__organization", "channel")
    search_fields = ("environment__name", "channel__name", "given_by")


@admin.register(EnvironmentSettings)
class EnvironmentSettingsAdmin(LookOnly):
    list_display = ("organization", "environment", "changed_at", "changed_by")
    list_select_related = ("organization", "environment__organization")
    search_fields = ("organization__name", "environment__name")


@admin.register(Wheel)
class WheelAdmin(LookOnly):
    list_display = ("filename", "organization", "size", "created_at")
    list_select_related = ("organization",)
    list_filter = (("organization", AutocompleteSelectFilter),)
    list_filter_submit = True
    search_fields = ("name", "=sha256")
    date_hierarchy = "created_at"


@admin.register(EnvironmentSchedule)
class EnvironmentScheduleAdmin(LookOnly):
    list_display = ("environment", "mode", "cron", "time_zone", "next_run_at", "looked_at", "outcome")
    list_filter = ("mode", "outcome")
    list_select_related = ("environment__organization",)
    search_fields = ("environment__name", "environment__organization__name")


@admin.register(WatchedFile)
class WatchedFileAdmin(LookOnly):
    list_display = ("path", "environment", "problem", "tried_at", "removed_at")
    list_select_related = ("environment__organization",)
    search_fields = ("path",)


@admin.register(Builder)
class BuilderAdmin(LookOnly):
    list_display = ("hostname", "problem", "hint", "seen_at")
    search_fields = ("hostname",)
