"""Channels in the Django admin: lists for looking and finding, and verbs on many rows through the services."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from channels_app import cards
from channels_app.admin_verbs import CHANNEL_VERBS, FILE_VERBS
from channels_app.models import (
    Advisory,
    AllowedName,
    Attestation,
    Blob,
    Channel,
    ChannelName,
    FileState,
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
from condahub.adminsite.base import LookInline, LookOnly
from condahub.adminsite.filters import OpenFilter

cards.register()

_SHA256 = re.compile(r"[0-9a-f]{64}")


class DeletedFilter(OpenFilter):
    title = "deleted"
    parameter_name = "deleted"
    column = "deleted_at"
    words = ("Not deleted", "Deleted")


class NameInline(LookInline):
    model = ChannelName
    fields = ("name", "state", "organization", "changed_at")
    readonly_fields = ("changed_at",)


class PolicyInline(LookInline):
    model = Policy
    fields = ("level", "rules", "changed_at", "changed_by")
    readonly_fields = ("changed_at",)


class WaiverInline(LookInline):
    model = Waiver
    fields = ("what", "rule", "reason", "expires_at", "granted_by")


class MemberInline(LookInline):
    model = VirtualMember
    fk_name = "virtual"
    verbose_name_plural = "members"
    fields = ("position", "member", "is_leaving", "shared_by")


class OfAChannel(LookOnly):
    """What belongs to one channel is found in the audit and in the portal by it."""

    def audit_target(self, obj: Any) -> str:
        return f"channel:{obj.channel.name}" if obj.channel_id is not None else ""


@admin.register(Channel)
class ChannelAdmin(LookOnly):
    list_display = ("name", "organization", "kind", "visibility", "head", "used_bytes", "quota_bytes", "created_at", "deleted_at", "links")
    list_filter = ("kind", "visibility", DeletedFilter, ("organization", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name")
    date_hierarchy = "created_at"
    inlines = (NameInline, PolicyInline, WaiverInline, MemberInline)
    verbs = CHANNEL_VERBS

    def audit_target(self, obj: Channel) -> str:
        return f"channel:{obj.name}"

    def jobs_query(self, obj: Channel) -> dict[str, Any]:
        return {"organization__id__exact": obj.organization_id}


@admin.register(ChannelName)
class ChannelNameAdmin(LookOnly):
    list_display = ("name", "state", "channel", "organization", "changed_at")
    list_filter = ("state", ("organization", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("channel", "organization")
    search_fields = ("name",)


@admin.register(Package)
class PackageAdmin(OfAChannel):
    list_display = ("name", "channel", "latest_version", "license", "files_count", "updated_at", "links")
    list_filter = (("channel", AutocompleteSelectFilter),)
    list_filter_submit = True
    list_select_related = ("channel",)
    search_fields = ("^name",)
    deferred = ("description",)

    def audit_query(self, obj: Package) -> dict[str, Any]:
        return {}

    def portal_path(self, obj: Package) -> str:
        return reverse("channels:package", args=[obj.channel.name, obj.name])


@admin.register(PackageFile)
class PackageFileAdmin(OfAChannel):
    """Hundreds of thousands of rows: every way into the list has an index, and the large columns stay where they are."""

    list_display = ("filename", "subdir", "channel", "state", "verdict", "size", "indexed_at", "uploaded_by", "links")
    list_filter = ("state", "verdict", ("channel", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("channel__organization",)
    search_fields = ("name",)
    search_help_text = "The name of a package as it is, a file name, or a sha256"
    exclude = ("record", "run_exports", "about", "patch", "blob")
    deferred = ("record", "run_exports", "about", "patch")
    sortable_by = ()
    verbs = FILE_VERBS

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """The newest first, as the index in question has them: files of a channel by their date, those that are not live by number."""
        of_channel = bool(request.GET.get("channel__id__exact"))
        not_live = request.GET.get("state__exact", FileState.LIVE) != FileState.LIVE
        return ("-indexed_at", "-pk") if of_channel and not not_live else ("-pk",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By the index on names of packages or on blobs: looking into every row takes seconds."""
        term = search_term.strip().replace("\x00", "")
        if not term:
            return queryset, False
        if _SHA256.fullmatch(term):
            # The blob first: joined, PostgreSQL may walk all files in the order of the list to find its one.
            return queryset.filter(blob__in=list(Blob.objects.filter(sha256=term).values_list("pk", flat=True))), False
        if term.endswith((".conda", ".tar.bz2")):
            name = term.rsplit("-", 2)[0]
            return self._named(queryset, name).filter(filename=term), False
        return self._named(queryset, term), False

    def _named(self, queryset: QuerySet[Any], name: str) -> QuerySet[Any]:
        holding = list(Package.objects.filter(name=name).order_by().values_list("channel_id", flat=True))
        return queryset.filter(channel__in=holding, name=name)

    def audit_target(self, obj: PackageFile) -> str:
        return f"channel:{obj.channel.name}/{obj.subdir}/{obj.filename}"

    def audit_query(self, obj: PackageFile) -> dict[str, Any]:
        return {"target_type__exact": "package", "target": self.audit_target(obj)}

    def portal_path(self, obj: PackageFile) -> str:
        return reverse("channels:package", args=[obj.channel.name, obj.name])


@admin.register(Revision)
class RevisionAdmin(OfAChannel):
    list_display = ("channel", "number", "created_at", "cause", "renderer", "pinned", "tag", "links")
    list_filter = ("pinned", ("channel", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("channel",)
    search_fields = ("channel__name", "cause")
    exclude = ("delta", "checkpoint")
    deferred = ("delta", "checkpoint")

    def portal_path(self, obj: Revision) -> str:
        return reverse("channels:revisions", args=[obj.channel.name])


@admin.register(VirtualMember)
class VirtualMemberAdmin(LookOnly):
    list_filter = ("is_leaving",)
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
    list_filter = ("kind", ("channel", AutocompleteSelectFilter))
    list_filter_submit = True
    list_display = ("channel", "subdir", "kind", "revision", "content_size", "size", "created_at")
    list_select_related = ("channel",)
    search_fields = ("channel__name",)


@admin.register(Policy)
class PolicyAdmin(OfAChannel):
    list_display = ("level", "organization", "channel", "changed_at", "changed_by", "links")
    list_filter = ("level", ("organization", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("organization", "channel")
    search_fields = ("channel__name", "organization__name")


@admin.register(Waiver)
class WaiverAdmin(OfAChannel):
    date_hierarchy = "expires_at"
    list_display = ("what", "level", "rule", "organization", "channel", "expires_at", "granted_by", "reason", "links")
    list_filter = ("level", "rule")
    list_select_related = ("organization", "channel")
    search_fields = ("what", "reason")


@admin.register(Advisory)
class AdvisoryAdmin(LookOnly):
    list_display = ("osv_id", "name", "ecosystem", "severity", "summary", "loaded_at")
    list_filter = ("severity", "ecosystem")
    search_fields = ("osv_id", "name")


@admin.register(PackageRequest)
class PackageRequestAdmin(OfAChannel):
    date_hierarchy = "asked_at"
    list_display = ("spec", "channel", "missing", "state", "asked_by", "asked_at", "answered_by", "expires_at", "links")
    list_filter = ("state", "missing", ("channel", AutocompleteSelectFilter))
    list_filter_submit = True
    list_select_related = ("channel",)
    search_fields = ("spec", "asked_by")


@admin.register(Attestation)
class AttestationAdmin(OfAChannel):
    list_display = ("file", "signed_by", "sha256", "added_at", "added_by", "links")
    list_select_related = ("file__channel",)
    search_fields = ("=file__name", "=sha256", "=added_by")
    exclude = ("sidecar",)
    deferred = ("sidecar",)
    date_hierarchy = "added_at"

    def audit_target(self, obj: Attestation) -> str:
        return f"channel:{obj.file.channel.name}/{obj.file.subdir}/{obj.file.filename}"

    @admin.display(description="Signed by")
    def signed_by(self, obj: Attestation) -> str:
        return ", ".join(str(one.get("identity", "")) for one in obj.signers)
