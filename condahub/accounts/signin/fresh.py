"""Who keeps neither password nor second factor here shows that it is him where he signs in: at the directory or at a provider."""

from __future__ import annotations

import time
from typing import Any

from allauth.account import app_settings
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy

from condahub.accounts.models import DirectoryAccount, User
from condahub.accounts.signin import local
from condahub.errors import Conflict

PASSWORD = "reauthenticate"  # noqa: S105 - allauth's name of a way
# A provider's clock may go a little differently.
SKEW_SECONDS = 60


def ways(user: User, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How this person may show that it is him: of allauth's ways those that open something, then the directory, then a provider.

    known: allauth's own, {"id", "description", "url"} each; so are the ones returned.
    """
    found = [way for way in known if way["id"] != PASSWORD or local.opens(user)]
    if not any(way["id"] == PASSWORD for way in found) and DirectoryAccount.objects.filter(user=user).exists():
        told = gettext_lazy("Use your password")
        found.append({"id": PASSWORD, "description": told, "url": reverse("account_reauthenticate")})
    if SocialAccount.objects.filter(user=user).exists():
        told = gettext_lazy("Sign in there once more")
        found.append({"id": "provider", "description": told, "url": reverse("account_reauthenticate_provider")})
    return found


def is_missed(request: HttpRequest) -> bool:
    """Whether somebody has to sign in once more whom allauth would not ask: it takes who has nothing here for having just done so."""
    user = request.user
    if not isinstance(user, User) or get_reauthentication_flows(user) or not ways(user, []):
        return False
    return not was_just_shown(request, app_settings.REAUTHENTICATION_TIMEOUT)


def was_just_shown(request: HttpRequest, seconds: float, method: str = "") -> bool:
    """Whether this session saw its person sign in within so many seconds; method: by that alone (`socialaccount`)."""
    user = request.user
    records = get_authentication_records(request, user if isinstance(user, User) else None)
    times = [record["at"] for record in records if method in ("", record["method"])]
    return bool(times) and time.time() - max(times) < seconds


def require_same_and_fresh(request: HttpRequest, sociallogin: SocialLogin) -> None:
    """Of a sign-in that shall show once more who somebody is. Raises Conflict for another account, and for an old session over there."""
    if sociallogin.user.pk != request.user.pk:
        raise Conflict(
            "That is another account than the one that you are signed in with.", hint="Sign in there as yourself, or sign out here first."
        )
    told = sociallogin.account.extra_data.get("id_token")
    since = told.get("auth_time") if isinstance(told, dict) else None
    if isinstance(since, int) and time.time() - since > app_settings.REAUTHENTICATION_TIMEOUT + SKEW_SECONDS:
        raise Conflict("The provider did not ask you to sign in once more.", hint="Sign out there, then try again.")
