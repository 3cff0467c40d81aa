"""A password from a program that speaks a foreign protocol: through the checks of the sign-in page, but for what takes a page."""

from __future__ import annotations

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth import authenticate
from django.http import HttpRequest

from condahub.accounts.models import User
from condahub.accounts.signin import patience
from condahub.accounts.signin.stages import waits_for_verification
from condahub.audit.context import address_of
from condahub.errors import Forbidden


def password_sign_in(request: HttpRequest, username: str, password: str) -> User:
    """Whose password that is, here or in the directory. Raises Throttled; Forbidden for a wrong one, and where a page must ask for more."""
    address = address_of(request.META)
    patience.require_patience(username, address)
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        patience.note_failure(username, address)
        raise Forbidden("The name or the password is not right.", code="sign_in_failed", hint="")
    patience.forget_failures(username, address)
    page = f"{settings.CONDAHUB_PUBLIC_URL}{settings.LOGIN_URL}"
    if is_mfa_enabled(user):
        raise Forbidden(
            f"This account has a second factor, which can't be asked for here. Sign in at {page}.",
            code="second_factor_needed",
            hint="For programs, make a token under Account, Tokens.",
        )
    if waits_for_verification(user):
        raise Forbidden(f"The address of this account is not verified yet. Sign in at {page}.", code="email_not_verified", hint="")
    return user
