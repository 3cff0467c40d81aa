"""What the portal's own pages ask for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from condahub.accounts.permissions import Role

# What a person chooses between; `condahub.accounts` knows more scopes, for who makes tokens by the API.
PURPOSES = [
    ("read", "Install packages (read)"),
    ("ci", "Install and upload packages (for CI)"),
    ("upload", "Upload packages only"),
    ("full", "Everything I may do"),
]
LIFETIMES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "until it is revoked")]


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


class TokenForm(HubForm):
    name = forms.CharField(max_length=200, label="Name", help_text="What it is for: it tells you later which one to revoke.")
    purpose = forms.ChoiceField(choices=PURPOSES, label="It may", initial="ci")
    channel = forms.CharField(max_length=64, required=False, label="Only in the channel", help_text="Empty: wherever you may.")
    lifetime = forms.ChoiceField(choices=LIFETIMES, required=False, label="It lives", initial="90")

    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class ProfileForm(HubForm):
    display_name = forms.CharField(max_length=150, required=False, label="Name", help_text="How others see you.")
    email = forms.EmailField(required=False, label="E-mail")


class PasswordForm(HubForm):
    current = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), label="Current password")
    new = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), label="New password")


class OrganizationForm(HubForm):
    name = forms.CharField(max_length=64, label="Name", help_text="Part of addresses: lower-case letters, digits, '-', '_' and '.'.")
    title = forms.CharField(max_length=200, required=False, label="Title")
    description = forms.CharField(required=False, label="What it is for", widget=forms.Textarea(attrs={"rows": 3}))


class OrganizationSettingsForm(HubForm):
    title = forms.CharField(max_length=200, required=False, label="Title")
    description = forms.CharField(required=False, label="What it is for", widget=forms.Textarea(attrs={"rows": 3}))


class MemberForm(HubForm):
    """Gives a role to a person by the exact name: a list of all people is nobody's to see."""

    username = forms.CharField(max_length=150, label="User name", widget=forms.TextInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(choices=Role.choices, label="Role")


class InvitationForm(HubForm):
    """gives: `role:reader`, or `team:<slug>`; which teams there are is the page's to say."""

    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    gives = forms.CharField(max_length=100, label="As")


class TeamForm(HubForm):
    slug = forms.CharField(max_length=64, label="Name", help_text="Lower-case letters, digits, '-', '_' and '.'.")
    title = forms.CharField(max_length=200, required=False, label="Title")


class RobotForm(HubForm):
    name = forms.CharField(max_length=64, label="Name", help_text="For instance: ci. It gets the organization's name before it.")
