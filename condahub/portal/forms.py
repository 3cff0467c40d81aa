"""What the portal's own pages ask for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy, pgettext_lazy

from condahub.accounts.permissions import Role
from condahub.portal import states

# What a person chooses between; `condahub.accounts` knows more scopes, for who makes tokens by the API.
PURPOSES = [
    ("read", gettext_lazy("Install packages (read)")),
    ("ci", gettext_lazy("Install and upload packages (for CI)")),
    ("upload", gettext_lazy("Upload packages only")),
    ("full", gettext_lazy("Everything I may do")),
]
LIFETIMES = [
    ("7", gettext_lazy("7 days")),
    ("30", gettext_lazy("30 days")),
    ("90", gettext_lazy("90 days")),
    ("365", gettext_lazy("1 year")),
    ("", gettext_lazy("until it is revoked")),
]


def role_choices() -> list[tuple[str, str]]:
    """Roles with the words that pages have for them."""
    return [(role, states.role_said(role)) for role in Role.values]


class HubForm(forms.Form):
    """Fields in the portal's look."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            look = "form-control"
            if isinstance(field.widget, forms.Select):
                look = "form-select"
            elif isinstance(field.widget, forms.CheckboxInput | forms.RadioSelect):
                look = "form-check-input"
            field.widget.attrs.setdefault("class", look)


def told_of(*shown: forms.Form) -> list[tuple[str, str]]:
    """What forms begin with, as (label, words), for who looks at what others change; secrets and empty fields are left out."""
    told = []
    for form in shown:
        for name, field in form.fields.items():
            value = form.get_initial_for_field(field, name)
            if value in (None, "", [], False) or isinstance(field.widget, forms.PasswordInput):
                continue
            words = dict(getattr(field, "choices", ()))
            values = value if isinstance(value, list) else [value]
            told.append((str(field.label or name), ", ".join(str(words.get(one, one)) for one in values)))
    return told


class TokenForm(HubForm):
    name = forms.CharField(
        max_length=200, label=gettext_lazy("Name"), help_text=gettext_lazy("What it is for: it tells you later which one to revoke.")
    )
    purpose = forms.ChoiceField(choices=PURPOSES, label=gettext_lazy("It may"), initial="ci")
    channel = forms.CharField(
        max_length=64, required=False, label=gettext_lazy("Only in the channel"), help_text=gettext_lazy("Empty: wherever you may.")
    )
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False, label=gettext_lazy("It lives"), initial="90")

    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class ProfileForm(HubForm):
    display_name = forms.CharField(
        max_length=150, required=False, label=gettext_lazy("Name"), help_text=gettext_lazy("How others see you.")
    )
    email = forms.EmailField(required=False, label=gettext_lazy("E-mail"))
    language = forms.ChoiceField(
        required=False,
        choices=[("", gettext_lazy("As the browser has it")), *settings.LANGUAGES],
        label=gettext_lazy("Language"),
        help_text=gettext_lazy("Of the portal's pages and of mails to you; commands and the API speak English."),
    )


class PasswordForm(HubForm):
    current = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), label=gettext_lazy("Current password")
    )
    new = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), label=gettext_lazy("New password"))


class OrganizationForm(HubForm):
    name = forms.CharField(
        max_length=64,
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Part of addresses: lower-case letters, digits, '-', '_' and '.'."),
    )
    title = forms.CharField(max_length=200, required=False, label=gettext_lazy("Title"))
    description = forms.CharField(
        required=False, label=pgettext_lazy("organization", "What it is for"), widget=forms.Textarea(attrs={"rows": 3})
    )


class OrganizationSettingsForm(HubForm):
    title = forms.CharField(max_length=200, required=False, label=gettext_lazy("Title"))
    description = forms.CharField(
        required=False, label=pgettext_lazy("organization", "What it is for"), widget=forms.Textarea(attrs={"rows": 3})
    )


class MemberForm(HubForm):
    """Gives a role to a person by the exact name: a list of all people is nobody's to see."""

    username = forms.CharField(max_length=150, label=gettext_lazy("User name"), widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=role_choices, label=gettext_lazy("Role"))


class InvitationForm(HubForm):
    """gives: `role:reader`, or `team:<slug>`; which teams there are is the page's to say."""

    email = forms.EmailField(label=gettext_lazy("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    gives = forms.CharField(max_length=100, label=gettext_lazy("As"))


class TeamForm(HubForm):
    slug = forms.CharField(
        max_length=64, label=gettext_lazy("Name"), help_text=gettext_lazy("Lower-case letters, digits, '-', '_' and '.'.")
    )
    title = forms.CharField(max_length=200, required=False, label=gettext_lazy("Title"))


class RobotForm(HubForm):
    name = forms.CharField(
        max_length=64, label=gettext_lazy("Name"), help_text=gettext_lazy("For instance: ci. It gets the organization's name before it.")
    )
