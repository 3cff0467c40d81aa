"""What allauth asks the hub: who may sign up and sign in, how fast, how accounts are made, how secrets are kept."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse, ReauthenticationRequired
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext_lazy

from condahub import vault
from condahub.accounts.models import User
from condahub.accounts.policy import SYSTEM
from condahub.accounts.services.users import create_user
from condahub.accounts.services.users import set_password as set_password_of
from condahub.accounts.signin import fresh, local, patience
from condahub.audit.context import address_of
from condahub.audit.services import Someone, record
from condahub.errors import HubError, Throttled

SESSION_BACKEND = "django.contrib.auth.backends.ModelBackend"
VAULT_PURPOSE = "second-factor"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Passwords, sign-up, mail."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": gettext_lazy(
            "User name and password do not match, or the account is closed. Mind upper and lower case."
        ),
        "too_many_login_attempts": gettext_lazy("Too many sign-ins failed."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.CONDAHUB_SIGNUP and settings.CONDAHUB_LOCAL_ACCOUNTS)

    def get_client_ip(self, request: HttpRequest) -> str:
        return address_of(request.META) or "0.0.0.0"  # noqa: S104 - a name for "unknown", not bound to

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Instead of allauth's own count, by which whoever knows a name could shut its owner out."""
        try:
            patience.require_patience(_name(credentials), address_of(request.META))
        except Throttled as error:
            request.signin_throttled = error  # type: ignore[attr-defined]
            raise self.validation_error("too_many_login_attempts") from None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        if user is not None:
            patience.forget_failures(_name(credentials), address_of(request.META))
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        patience.note_failure(_name(credentials), address_of(request.META))

    def login(self, request: HttpRequest, user: Any) -> None:
        # A passkey or a provider brings no backend; allauth would take the first, which may be a directory's.
        if not hasattr(user, "backend"):
            user.backend = SESSION_BACKEND
        super().login(request, user)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """An account that a person makes himself."""
        asked = form.cleaned_data
        try:
            made = create_user(actor=SYSTEM, username=asked["username"], password=asked.get("password1"), email=asked.get("email") or "")
        except HubError as error:
            # The form has looked at all of it already: somebody was faster.
            messages.error(request, f"{error.detail} {error.hint}".strip())
            raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_signup"))) from None
        user.__dict__.update(made.__dict__)
        return user

    def set_password(self, user: Any, password: str) -> None:
        set_password_of(actor=SYSTEM, user=user, password=password)

    def send_password_reset_mail(self, user: Any, email: str, context: dict[str, Any]) -> None:
        """Only where a password of the hub's own would open."""
        if local.may_have_password(user):
            super().send_password_reset_mail(user, email, context)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In the language of the account that the mail is about; a browser's is its user's only as long as nothing was chosen."""
        user = context.get("user")
        with translation.override(getattr(user, "language", "") or translation.get_language()):
            super().send_mail(template_prefix, email, context)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        known: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        return fresh.ways(user, known) if user.is_authenticated else known

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        required: bool = super().is_reauthentication_required(app=app, **kwargs)
        if required and fresh.is_missed(self.request):
            raise ReauthenticationRequired
        return required

    def get_login_stages(self) -> list[str]:
        ours = {"allauth.account.stages.EmailVerificationStage": "condahub.accounts.signin.stages.VerifyEmailStage"}
        return [ours.get(stage, stage) for stage in super().get_login_stages()]


def _name(credentials: dict[str, Any]) -> str:
    return str(credentials.get("username") or credentials.get("email") or "")


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors: their secrets lie sealed."""

    def get_totp_label(self, user: Any) -> str:
        return str(user.get_username())

    def encrypt(self, text: str) -> str:
        return vault.seal(text, purpose=VAULT_PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return vault.unseal(encrypted_text, purpose=VAULT_PURPOSE)


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]
    """The list of sessions."""

    def end_sessions(self, sessions: Any) -> None:
        rows = list(sessions)
        super().end_sessions(rows)
        if rows:
            user: User = rows[0].user
            record(
                actor=Someone(label=user.username, user_id=user.pk),
                action="session.end",
                target=user.username,
                details={"sessions": len(rows)},
            )
