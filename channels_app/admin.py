"""Channels in the Django admin: lists for looking and finding; what changes goes through the services' own doors."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from channels_app.models import Channel, ChannelName, IndexFile, Package, PackageFile, Revision


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Facts are looked at here and never edited: an edit would go past policy, audit and the index."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Channel)
class ChannelAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "kind", "visibility", "head", "used_bytes", "quota_bytes", "created_at", "deleted_at")
    list_filter = ("kind", "visibility")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name")
    date_hierarchy = "created_at"


@admin.register(ChannelName)
class ChannelNameAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "channel", "organization", "changed_at")
    list_filter = ("state",)
    list_select_related = ("channel", "organization")
    search_fields = ("name",)


@admin.register(Package)
class PackageAdmin(ReadOnlyAdmin):
    list_display = ("name", "channel", "latest_version", "license", "files_count", "updated_at")
    list_select_related = ("channel",)
    search_fields = ("name",)


@admin.register(PackageFile)
class PackageFileAdmin(ReadOnlyAdmin):
    list_display = ("filename", "subdir", "channel", "state", "size", "indexed_at", "uploaded_by")
    list_filter = ("state",)
    list_select_related = ("channel",)
    search_fields = ("name", "sha256")
    exclude = ("record", "run_exports", "about", "patch")


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    list_display = ("channel", "number", "created_at", "cause", "renderer", "pinned", "tag")
    list_filter = ("pinned",)
    list_select_related = ("channel",)
    search_fields = ("channel__name", "cause")
    exclude = ("delta", "checkpoint")


@admin.register(IndexFile)
class IndexFileAdmin(ReadOnlyAdmin):
    list_display = ("channel", "subdir", "kind", "revision", "content_size", "size", "created_at")
    list_select_related = ("channel",)
    search_fields = ("channel__name",)
