"""The admin's lists of accounts, to look at; changes go through services, which check, and audit."""

from __future__ import annotations

from django.contrib import admin

from condahub.accounts import admin_signin  # noqa: F401 - registers what belongs to signing in
from condahub.accounts.models import ApiToken, Grant, Organization, Team, User
from condahub.adminsite.base import LookOnly


@admin.register(User)
class UserAdmin(LookOnly):
    list_display = ["username", "kind", "display_name", "email", "is_active", "is_staff", "is_superuser", "is_auditor", "last_login"]
    list_filter = ["kind", "is_active", "is_staff", "is_superuser", "is_auditor"]
    search_fields = ["username", "display_name", "email"]
    exclude = ["password"]


@admin.register(Organization)
class OrganizationAdmin(LookOnly):
    list_display = ["name", "title", "personal_of", "quota_bytes", "created_at", "deleted_at"]
    list_select_related = ["personal_of"]
    search_fields = ["name", "title"]


@admin.register(Team)
class TeamAdmin(LookOnly):
    list_display = ["slug", "organization", "title", "external_group"]
    list_select_related = ["organization"]
    search_fields = ["slug", "title", "external_group"]


@admin.register(Grant)
class GrantAdmin(LookOnly):
    list_display = ["organization", "role", "user", "team", "channel_id", "package_name", "environment_id", "source", "created_at"]
    list_filter = ["role", "source"]
    list_select_related = ["organization", "user", "team"]
    search_fields = ["organization__name", "user__username", "team__slug", "package_name"]


@admin.register(ApiToken)
class ApiTokenAdmin(LookOnly):
    list_display = ["prefix", "name", "owner", "kind", "created_at", "expires_at", "last_used_at", "last_used_from", "revoked_at"]
    list_filter = ["kind"]
    list_select_related = ["owner"]
    search_fields = ["prefix", "name", "owner__username"]
    exclude = ["hash"]
