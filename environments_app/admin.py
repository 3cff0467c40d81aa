"""Environments in the Django admin: lists for looking and finding; what changes goes through the services' own doors."""

from __future__ import annotations

from django.contrib import admin

from condahub.adminsite.base import LookOnly
from environments_app.models import (
    Build,
    BuildArtifact,
    BuildPackage,
    Environment,
    EnvironmentSettings,
    Lock,
    Redistribution,
    Specification,
    Wheel,
)


@admin.register(Environment)
class EnvironmentAdmin(LookOnly):
    list_display = ("name", "organization", "visibility", "current_build", "created_at", "archived_at", "deleted_at")
    list_filter = ("visibility",)
    list_select_related = ("organization", "current_build__environment__organization")
    search_fields = ("name", "organization__name")
    date_hierarchy = "created_at"


@admin.register(Specification)
class SpecificationAdmin(LookOnly):
    list_display = ("sha256", "organization", "kind", "author", "created_at")
    list_filter = ("kind",)
    list_select_related = ("organization",)
    search_fields = ("sha256", "author")


@admin.register(Build)
class BuildAdmin(LookOnly):
    list_display = ("environment", "number", "state", "phase", "package_count", "size", "author", "created_at", "ended_at", "pinned")
    list_filter = ("state", "pinned")
    list_select_related = ("environment__organization",)
    search_fields = ("environment__name", "key")
    date_hierarchy = "created_at"


@admin.register(BuildPackage)
class BuildPackageAdmin(LookOnly):
    list_display = ("name", "version", "build_string", "platform", "kind", "channel", "build")
    list_filter = ("kind",)
    list_select_related = ("build__environment__organization",)
    search_fields = ("name",)


@admin.register(BuildArtifact)
class BuildArtifactAdmin(LookOnly):
    list_display = ("build", "kind", "platform", "state", "filename", "size", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("build__environment__organization",)


@admin.register(Lock)
class LockAdmin(LookOnly):
    list_display = ("sha256", "size", "created_at")
    search_fields = ("sha256",)
    exclude = ("content",)


@admin.register(Redistribution)
class RedistributionAdmin(LookOnly):
    list_display = ("environment", "channel", "given_by", "given_at")
    list_select_related = ("environment__organization", "channel")


@admin.register(EnvironmentSettings)
class EnvironmentSettingsAdmin(LookOnly):
    list_display = ("organization", "environment", "changed_at", "changed_by")
    list_select_related = ("organization", "environment__organization")


@admin.register(Wheel)
class WheelAdmin(LookOnly):
    list_display = ("filename", "organization", "size", "created_at")
    list_select_related = ("organization",)
    search_fields = ("name", "sha256")
