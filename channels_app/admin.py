"""Channels in the Django admin: lists for looking and finding; what changes goes through the services' own doors."""

from __future__ import annotations

from django.contrib import admin

from channels_app.models import (
    Advisory,
    AllowedName,
    Channel,
    ChannelName,
    IndexFile,
    Package,
    PackageFile,
    PackageRequest,
    Policy,
    ReservedName,
    Revision,
    VirtualMember,
    Waiver,
)
from condahub.adminsite.base import LookOnly


@admin.register(Channel)
class ChannelAdmin(LookOnly):
    list_display = ("name", "organization", "kind", "visibility", "head", "used_bytes", "quota_bytes", "created_at", "deleted_at")
    list_filter = ("kind", "visibility")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name")
    date_hierarchy = "created_at"


@admin.register(ChannelName)
class ChannelNameAdmin(LookOnly):
    list_display = ("name", "state", "channel", "organization", "changed_at")
    list_filter = ("state",)
    list_select_related = ("channel", "organization")
    search_fields = ("name",)


@admin.register(Package)
class PackageAdmin(LookOnly):
    list_display = ("name", "channel", "latest_version", "license", "files_count", "updated_at")
    list_select_related = ("channel",)
    search_fields = ("name",)


@admin.register(PackageFile)
class PackageFileAdmin(LookOnly):
    list_display = ("filename", "subdir", "channel", "state", "verdict", "size", "indexed_at", "uploaded_by")
    list_filter = ("state", "verdict")
    list_select_related = ("channel",)
    search_fields = ("name", "sha256")
    exclude = ("record", "run_exports", "about", "patch")


@admin.register(Revision)
class RevisionAdmin(LookOnly):
    list_display = ("channel", "number", "created_at", "cause", "renderer", "pinned", "tag")
    list_filter = ("pinned",)
    list_select_related = ("channel",)
    search_fields = ("channel__name", "cause")
    exclude = ("delta", "checkpoint")


@admin.register(VirtualMember)
class VirtualMemberAdmin(LookOnly):
    list_display = ("virtual", "position", "member", "is_leaving", "shared_by", "shared_at")
    list_select_related = ("virtual", "member")
    search_fields = ("virtual__name", "member__name")


@admin.register(ReservedName)
class ReservedNameAdmin(LookOnly):
    list_display = ("pattern", "virtual", "member", "reason", "created_by", "created_at")
    list_select_related = ("virtual", "member")
    search_fields = ("pattern", "virtual__name")


@admin.register(AllowedName)
class AllowedNameAdmin(LookOnly):
    list_display = ("name", "virtual", "reason", "created_by", "created_at")
    list_select_related = ("virtual",)
    search_fields = ("name", "virtual__name")


@admin.register(IndexFile)
class IndexFileAdmin(LookOnly):
    list_display = ("channel", "subdir", "kind", "revision", "content_size", "size", "created_at")
    list_select_related = ("channel",)
    search_fields = ("channel__name",)


@admin.register(Policy)
class PolicyAdmin(LookOnly):
    list_display = ("level", "organization", "channel", "changed_at", "changed_by")
    list_filter = ("level",)
    list_select_related = ("organization", "channel")


@admin.register(Waiver)
class WaiverAdmin(LookOnly):
    list_display = ("what", "level", "rule", "organization", "channel", "expires_at", "granted_by", "reason")
    list_filter = ("level", "rule")
    list_select_related = ("organization", "channel")
    search_fields = ("what", "reason")


@admin.register(Advisory)
class AdvisoryAdmin(LookOnly):
    list_display = ("osv_id", "name", "ecosystem", "severity", "summary", "loaded_at")
    list_filter = ("severity", "ecosystem")
    search_fields = ("osv_id", "name")


@admin.register(PackageRequest)
class PackageRequestAdmin(LookOnly):
    list_display = ("spec", "channel", "missing", "state", "asked_by", "asked_at", "answered_by", "expires_at")
    list_filter = ("state", "missing")
    list_select_related = ("channel",)
    search_fields = ("spec", "asked_by")
