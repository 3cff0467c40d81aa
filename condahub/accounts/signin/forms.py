"""The forms of signing in and up, with our own names and sentences."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm, SignupForm
from django.utils.translation import gettext


class SignInForm(LoginForm):  # type: ignore[misc]
    """Its name field is called `username`, as programs and password managers expect."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = gettext("User name")
        self.fields["login"].widget.attrs.update(placeholder="", autocapitalize="none", autofocus=True, **{"class": "form-control"})
        self.fields["password"].widget.attrs.update(placeholder="", **{"class": "form-control"})

    def add_prefix(self, field_name: str) -> str:
        return str(super().add_prefix("username" if field_name == "login" else field_name))


class SignUpForm(SignupForm):  # type: ignore[misc]
    """A person's own account; it is made as every other is, with its personal organization and its line in the audit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = gettext("User name")
        for field in self.fields.values():
            field.widget.attrs.update(placeholder="", **{"class": "form-control"})
