"""The admin of signing in: providers and group rules to change, links, sessions and second factors to look at; no secret is ever shown."""

from __future__ import annotations

from typing import Any

import allauth.account.admin
import allauth.mfa.admin
import allauth.socialaccount.admin
import allauth.usersessions.admin  # noqa: F401 - allauth registers its own first; they show keys and secrets, and are taken back
from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from condahub.accounts.models import DirectoryAccount, GroupRule, RoleSource
from condahub.accounts.policy import HUB, Actor, Permission, can
from condahub.accounts.services import outside
from condahub.accounts.signin.providers import SEALED
from condahub.adminsite.base import LookOnly
from condahub.audit.services import record
from condahub.errors import HubError
from condahub.portal.page import actor_of

PROVIDERS = [("openid_connect", "OpenID Connect"), ("github", "GitHub"), ("gitlab", "GitLab"), ("google", "Google")]

for _model in (EmailAddress, EmailConfirmation, Authenticator, SocialAccount, SocialApp, SocialToken, UserSession):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class ForAdministrators(LookOnly):
    """Looked at by staff, changed by administrators: it decides who gets in."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return can(actor_of(request), Permission.USER_PROMOTE, HUB)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    """The secret goes in and never comes out; the sealed one stays where none is typed."""

    provider = forms.ChoiceField(choices=PROVIDERS, initial="openid_connect")
    secret = forms.CharField(required=False, widget=forms.PasswordInput(attrs={"autocomplete": "off"}), help_text="Empty: as it is.")

    class Meta:
        model = SocialApp
        fields = ["provider", "provider_id", "name", "client_id", "secret", "settings"]
        help_texts = {
            "provider_id": "Part of the callback's address, of OpenID Connect: /accounts/oidc/<this>/login/callback/",
            "settings": '{"server_url": "https://sso.example.org", "groups_claim": "groups", "sign_up": true, "domains": []}',
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sealed = (self.instance.settings or {}).get(SEALED)
        self.initial["settings"] = {name: value for name, value in (self.instance.settings or {}).items() if name != SEALED}

    def clean_settings(self) -> dict[str, Any]:
        told = self.cleaned_data.get("settings") or {}
        if not isinstance(told, dict):
            raise ValidationError("Settings are an object: {…}.")
        return {**told, SEALED: self._sealed} if self._sealed else told

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        if told.get("provider") == "openid_connect" and not (told.get("provider_id") and (told.get("settings") or {}).get("server_url")):
            raise ValidationError("OpenID Connect needs a provider id, and the server's address as 'server_url' in the settings.")
        return told


@admin.register(SocialApp)
class ProviderAdmin(ForAdministrators):
    form = ProviderForm
    list_display = ["name", "provider", "provider_id", "client_id"]
    search_fields = ["name", "provider_id"]

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Who may only look is shown the model's own fields, and sealed secrets are nobody's.
        return [] if self.has_change_permission(request) else ["secret", "key", "settings"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self._note(request, "provider.update" if change else "provider.create", obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._note(request, "provider.delete", obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def _note(self, request: HttpRequest, action: str, app: SocialApp) -> None:
        details = {"provider": app.provider, "client_id": app.client_id, "settings": sorted(app.settings or {})}
        record(actor=Actor.of(request.user), action=action, target=app.provider_id or app.provider, details=details)


class GroupRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = GroupRule
        fields = ["source", "pattern", "team", "flag"]

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        rule = GroupRule(**{name: told.get(name) or ("" if name != "team" else None) for name in self.Meta.fields})
        try:
            outside.check_rule(rule)
        except HubError as error:
            raise ValidationError(f"{error.detail} {error.hint}") from None
        return told


class TeamPicker(AutocompleteSelect):
    """The box that stands in for the list is made without a name, and is given the list's."""

    @property
    def media(self) -> forms.Media:
        # Named with what it comes after: media are put in order by the lists they stand in.
        made: forms.Media = super().media + forms.Media(js=["admin/js/jquery.init.js", "admin/js/autocomplete.js", "adminsite/picker.js"])
        return made


@admin.register(GroupRule)
class GroupRuleAdmin(ForAdministrators):
    form = GroupRuleForm
    list_display = ["pattern", "source", "team", "flag", "created_at"]
    list_filter = ["source", "flag"]
    list_select_related = ["team", "team__organization"]
    search_fields = ["pattern", "team__slug"]
    autocomplete_fields = ["team"]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "team":
            kwargs["widget"] = TeamPicker(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A rule is deleted and made anew: the audit then says what was."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        made = outside.create_rule(
            actor=Actor.of(request.user),
            pattern=obj.pattern,
            source=obj.source,
            team=obj.team,
            flag=obj.flag,
        )
        obj.pk, obj.created_at = made.pk, made.created_at

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        outside.delete_rule(actor=Actor.of(request.user), rule=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)


@admin.register(DirectoryAccount)
class DirectoryAccountAdmin(LookOnly):
    list_display = ["dn", "user", "seen_at", "closed_at"]
    list_select_related = ["user"]
    search_fields = ["dn", "user__username"]


@admin.register(RoleSource)
class RoleSourceAdmin(LookOnly):
    list_display = ["user", "team", "flag", "source", "group", "created_at"]
    list_filter = ["source", "flag"]
    list_select_related = ["user", "team"]
    search_fields = ["user__username", "group", "team__slug"]


@admin.register(SocialAccount)
class LinkAdmin(LookOnly):
    list_display = ["user", "provider", "uid", "last_login", "date_joined"]
    list_filter = ["provider"]
    list_select_related = ["user"]
    search_fields = ["user__username", "uid"]
    fields = ["user", "provider", "uid", "last_login", "date_joined"]


@admin.register(Authenticator)
class AuthenticatorAdmin(LookOnly):
    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    fields = ["user", "type", "created_at", "last_used_at"]


@admin.register(UserSession)
class SessionAdmin(LookOnly):
    list_display = ["user", "ip", "user_agent", "created_at"]
    list_select_related = ["user"]
    search_fields = ["user__username", "ip"]
    # The key is not among them: whoever has it is signed in.
    fields = ["user", "ip", "user_agent", "created_at"]


@admin.register(EmailAddress)
class AddressAdmin(LookOnly):
    list_display = ["email", "user", "verified", "primary"]
    list_filter = ["verified"]
    list_select_related = ["user"]
    search_fields = ["email", "user__username"]
