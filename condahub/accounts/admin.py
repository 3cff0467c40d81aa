"""The admin's lists of accounts; what changes goes through services, which check, and audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth import admin as _auth_admin  # noqa: F401 - Django registers its groups first, to edit; a team's is its own
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from condahub.accounts import admin_signin  # noqa: F401 - registers what belongs to signing in
from condahub.accounts.models import ApiToken, Grant, Invitation, Organization, Team, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import deactivate_user, reactivate_user, remove_second_factors, revoke_invitation, revoke_token, set_quota
from condahub.accounts.services.ownership import left_without_owner
from condahub.accounts.services.users import belongings_of
from condahub.adminsite.base import LookInline, LookOnly
from condahub.adminsite.confirming import QuotaForm, Verb
from condahub.adminsite.filters import OpenFilter
from condahub.portal import registry

MAX_NAMED = 10

if admin.site.is_registered(Group):
    admin.site.unregister(Group)


def _disable(actor: Actor, user: User, values: dict[str, Any]) -> None:
    deactivate_user(actor=actor, user=user)


def _told_of_disabling(users: Sequence[User]) -> list[str]:
    """What ends with these accounts, and what would be nobody's."""
    told = [f"What ends: {', '.join(f'{number:,} {what}' for what, number in belongings_of(users).items())}."]
    orphaned = [one.name for one in left_without_owner(users)]
    if orphaned:
        shown = ", ".join([*orphaned[:MAX_NAMED], *([f"and {len(orphaned) - MAX_NAMED} more"] if len(orphaned) > MAX_NAMED else [])])
        told.append(f"No owner is left in: {shown}. Make somebody else an owner there.")
    return told


def _enable(actor: Actor, user: User, values: dict[str, Any]) -> None:
    reactivate_user(actor=actor, user=user)


def _remove_factors(actor: Actor, user: User, values: dict[str, Any]) -> None:
    remove_second_factors(actor=actor, user=user)


def _quota(actor: Actor, organization: Organization, values: dict[str, Any]) -> None:
    set_quota(actor=actor, organization=organization, quota_bytes=values["quota_bytes"])


def _revoke(actor: Actor, token: ApiToken, values: dict[str, Any]) -> None:
    revoke_token(actor=actor, token=token)


def _take_back(actor: Actor, invitation: Invitation, values: dict[str, Any]) -> None:
    revoke_invitation(actor=actor, invitation=invitation)


class TokenInline(LookInline):
    model = ApiToken
    fk_name = "owner"
    fields = ("name", "kind", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = ("prefix", "created_at")


class GrantInline(LookInline):
    model = Grant
    fk_name = "user"
    fields = ("organization", "role", "channel_id", "package_name", "environment_id", "source")


class TeamInline(LookInline):
    model = Team
    fields = ("slug", "title", "external_group")


class RevokedFilter(OpenFilter):
    title = "state"
    parameter_name = "state"
    column = "revoked_at"
    words = ("Not revoked", "Revoked")


class ClosedFilter(OpenFilter):
    title = "deleted"
    parameter_name = "deleted"
    column = "deleted_at"
    words = ("Not deleted", "Deleted")


@admin.register(User)
class UserAdmin(LookOnly):
    list_display = [
        *("username", "kind", "display_name", "email", "is_active", "is_staff", "is_superuser", "is_auditor"),
        *("last_login", "links"),
    ]
    list_filter = ["kind", "is_active", "is_staff", "is_superuser", "is_auditor"]
    list_select_related = ["organization"]
    search_fields = ["username", "display_name", "email"]
    date_hierarchy = "date_joined"
    exclude = ["password", "groups", "user_permissions"]
    inlines = [TokenInline, GrantInline]
    verbs = (
        Verb(
            "disable",
            "Disable",
            "Nobody signs in with these accounts any more. Their sessions end, their tokens are revoked, their open invitations are taken "
            "back and the long work that they asked for is cancelled, for good. Robot accounts and webhooks are their "
            "organizations' and go on.",
            _disable,
            tells=_told_of_disabling,
            dangerous=True,
        ),
        Verb(
            "second_factors",
            "Remove second factors",
            "For people who lost theirs: authenticator app, passkeys and recovery codes go, and their sessions end. The password alone "
            "signs them in until they set up new ones: be sure who asks.",
            _remove_factors,
            dangerous=True,
        ),
        Verb("enable", "Enable", "These accounts may sign in again. Their old tokens stay revoked.", _enable),
    )

    def audit_target(self, obj: User) -> str:
        return obj.username

    def audit_query(self, obj: User) -> dict[str, Any]:
        return {"actor_id": obj.pk}

    def jobs_query(self, obj: User) -> dict[str, Any]:
        return {"actor_label": obj.username}


@admin.register(Organization)
class OrganizationAdmin(LookOnly):
    list_display = ["name", "title", "personal_of", "held", "quota_bytes", "created_at", "deleted_at", "links"]
    list_filter = [ClosedFilter]
    list_select_related = ["personal_of"]
    search_fields = ["name", "title"]
    date_hierarchy = "created_at"
    inlines = [TeamInline]
    verbs = (Verb("quota", "Set quota", "They may hold so many bytes in all; what they hold already stays.", _quota, form=QuotaForm),)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changes = super().get_changelist_instance(request)
        used = registry.used_bytes([row.pk for row in changes.result_list])
        for row in changes.result_list:
            row.held_bytes = used.get(row.pk, 0)
        return changes

    @admin.display(description="Holds (bytes)")
    def held(self, obj: Any) -> int:
        found: int | None = getattr(obj, "held_bytes", None)
        return registry.used_bytes([obj.pk])[obj.pk] if found is None else found

    def audit_target(self, obj: Organization) -> str:
        return obj.name

    def audit_query(self, obj: Organization) -> dict[str, Any]:
        return {"organization_id": obj.pk}

    def portal_path(self, obj: Organization) -> str:
        return f"/ui/{obj.name}" if obj.deleted_at is None else ""

    def jobs_query(self, obj: Organization) -> dict[str, Any]:
        return {"organization__id__exact": obj.pk}


@admin.register(Team)
class TeamAdmin(LookOnly):
    list_display = ["slug", "organization", "title", "external_group", "links"]
    list_select_related = ["organization"]
    list_filter = [("organization", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["slug", "title", "external_group"]

    def audit_target(self, obj: Team) -> str:
        return f"{obj.organization.name}:{obj.slug}"

    def portal_path(self, obj: Team) -> str:
        return f"/ui/{obj.organization.name}/teams"


@admin.register(Grant)
class GrantAdmin(LookOnly):
    list_display = ["organization", "role", "user", "team", "channel_id", "package_name", "environment_id", "source", "created_at"]
    list_filter = ["role", ("organization", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["organization", "user", "team__organization"]
    search_fields = ["organization__name", "user__username", "team__slug", "package_name"]
    date_hierarchy = "created_at"


@admin.register(Invitation)
class InvitationAdmin(LookOnly):
    list_display = ["email", "organization", "gives", "invited_by", "created_at", "sent_at", "expires_at", "accepted_by", "revoked_at"]
    list_filter = [RevokedFilter, ("organization", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["organization", "team", "invited_by", "accepted_by"]
    search_fields = ["email", "organization__name", "invited_by__username"]
    date_hierarchy = "created_at"
    exclude = ["hash"]
    verbs = (Verb("revoke", "Take back", "Their links open nothing any more.", _take_back),)

    def audit_target(self, obj: Invitation) -> str:
        return obj.organization.name

    def portal_path(self, obj: Invitation) -> str:
        return f"/ui/{obj.organization.name}/members"


@admin.register(ApiToken)
class ApiTokenAdmin(LookOnly):
    list_display = ["name", "owner", "kind", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at", "links"]
    list_filter = ["kind", RevokedFilter]
    list_select_related = ["owner"]
    search_fields = ["name", "prefix", "owner__username"]
    date_hierarchy = "created_at"
    exclude = ["hash"]
    verbs = (Verb("revoke", "Revoke", "Whoever uses these tokens is refused within ten seconds, everywhere.", _revoke, dangerous=True),)

    def audit_target(self, obj: ApiToken) -> str:
        return obj.prefix

    def audit_query(self, obj: ApiToken) -> dict[str, Any]:
        return {"token_prefix": obj.prefix}

    def portal_path(self, obj: ApiToken) -> str:
        return ""
