"""GitHub, GitLab, Google and OpenID Connect: which there are, whom they may bring, and what they say of people's groups."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from typing import Any

from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import render
from django.urls import reverse

from condahub import vault
from condahub.accounts.models import OIDC_PREFIX, User
from condahub.accounts.policy import SYSTEM
from condahub.accounts.services.outside import MAX_GROUPS, apply_groups
from condahub.accounts.services.users import create_user
from condahub.accounts.signin import fresh
from condahub.audit.services import Someone, record
from condahub.errors import Conflict, HubError

VAULT_PURPOSE = "identity-provider"
SEALED = "sealed_secret"
MAX_USERNAME_CHARS = 120
MAX_TRIES = 50
_NOT_A_NAME = re.compile(r"[^\w.@+-]+")


@dataclass(frozen=True)
class Offer:
    """A provider as the sign-in page shows it. path: where its button posts to."""

    provider_id: str
    name: str
    icon: str
    path: str


def seal_secret(*, instance: SocialApp, **kwargs: Any) -> None:
    """Before a provider is saved: its secret goes into the vault, and nothing that shows the row shows it."""
    if instance.secret:
        instance.settings = {**(instance.settings or {}), SEALED: vault.seal(instance.secret, purpose=VAULT_PURPOSE)}
        instance.secret = ""


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Sign-ins by a provider."""

    error_messages = {
        **DefaultSocialAccountAdapter.error_messages,
        "no_password": "This is your only way to sign in. Link another one first.",
    }

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[SocialApp]:
        apps: list[SocialApp] = super().list_apps(request, provider=provider, client_id=client_id)
        for app in apps:
            if sealed := (app.settings or {}).get(SEALED):
                app.secret = vault.unseal(sealed, purpose=VAULT_PURPOSE)
        return apps

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse before anything is made or linked: a robot's account, a foreign domain."""
        if sociallogin.is_existing and sociallogin.user.is_robot:
            raise self._refused(request, Conflict("A robot account signs in with tokens only."))
        if request.user.is_authenticated and str(sociallogin.state.get("next", "")).startswith(reverse("account_reauthenticate_done")):
            try:
                fresh.require_same_and_fresh(request, sociallogin)
            except Conflict as error:
                raise self._refused(request, error) from None
        domains = _settings(sociallogin).get("domains") or []
        if domains and not any(address.rpartition("@")[2].lower() in domains for address in _verified(sociallogin)):
            raise self._refused(
                request,
                Conflict(
                    "This hub takes people of other domains only.",
                    hint=f"Sign in there with a verified address of: {', '.join(domains)}.",
                ),
            )

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return bool(_settings(sociallogin).get("sign_up", sociallogin.account.provider not in ("github", "gitlab", "google")))

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Always: what the provider says is all that is asked for. An address of somebody else's account is refused here."""
        taken = _taken(_verified(sociallogin))
        if taken:
            raise self._refused(
                request,
                Conflict(
                    f"There is an account here with the address {taken}.",
                    hint="Sign in to it as you always do, then link this sign-in under Account, Linked sign-ins.",
                ),
            )
        # Allauth empties the name next where somebody has it; we look for one like it.
        sociallogin.told_name = sociallogin.user.username
        sociallogin.email_addresses = [one for one in sociallogin.email_addresses if one.verified]
        return True

    def authenticate_by_email(self, sociallogin: SocialLogin) -> tuple[Any, str] | None:
        """Only where both sides have verified the address: whoever merely typed it here has shown nothing."""
        found: tuple[Any, str] | None = super().authenticate_by_email(sociallogin)
        if found is None or not EmailAddress.objects.filter(user=found[0], email__iexact=found[1], verified=True).exists():
            return None
        return found

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """The account of a first sign-in: the personal organization by setting, what its groups give, and no rights beyond."""
        told = sociallogin.user
        email = next(iter(_verified(sociallogin)), "")
        with transaction.atomic():
            made = _create(sociallogin.told_name, email, f"{told.first_name} {told.last_name}".strip())
            sociallogin.user = made
            sociallogin.save(request)
            _record("user.link", made, sociallogin.account)
        return made

    def on_authentication_error(self, request: HttpRequest, provider: Any, error: Any = None, **kwargs: Any) -> None:
        record(
            actor=Someone(label="anonymous"),
            action="session.sign_in_failed",
            details={"provider": str(provider.sub_id)[:100], "error": str(error or "")[:100]},
        )

    def validate_disconnect(self, account: SocialAccount, accounts: Any) -> None:
        """Allauth has asked for a password of the hub's own, which is enough."""

    def _refused(self, request: HttpRequest, error: HubError) -> ImmediateHttpResponse:
        return ImmediateHttpResponse(render(request, "socialaccount/refused.html", {"error": error}, status=403))


def offers(request: HttpRequest) -> list[Offer]:
    """The providers that people may choose from."""
    return [
        Offer(provider.sub_id, provider.name, provider.id if provider.id.startswith("git") else "login", provider.get_login_url(request))
        for provider in ProviderAdapter(request).list_providers(request)
    ]


def source_of(account: SocialAccount) -> str:
    """How rules and roles name the provider of this link."""
    return f"{OIDC_PREFIX}{account.provider}"


def follow_groups(*, sociallogin: SocialLogin | None = None, user: Any = None, **kwargs: Any) -> None:
    """After a sign-in by a provider that tells groups: what they give is given, what they give no more is taken."""
    if sociallogin is None or sociallogin.account.pk is None:
        return
    claim = _settings(sociallogin).get("groups_claim")
    if claim:
        apply_groups(user=user, source=source_of(sociallogin.account), groups=groups_in(sociallogin.account.extra_data, claim))


def groups_in(told: dict[str, Any], claim: str) -> list[str]:
    """The groups in what a provider told, of its userinfo and ID token alike. claim: a name, or a path with dots."""
    found: list[str] = []
    for part in (told.get("userinfo"), told.get("id_token"), told if "userinfo" not in told and "id_token" not in told else None):
        value: Any = part.get(claim) if isinstance(part, dict) else None
        if value is None and isinstance(part, dict):
            value = part
            for word in claim.split("."):
                value = value.get(word) if isinstance(value, dict) else None
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list):
            found += [one for one in value[:MAX_GROUPS] if isinstance(one, str)]
    return sorted(set(found))


def unlinked(*, socialaccount: SocialAccount, **kwargs: Any) -> None:
    """A link that is taken away takes what came by it."""
    apply_groups(user=socialaccount.user, source=source_of(socialaccount), groups=())
    _record("user.unlink", socialaccount.user, socialaccount)


def linked(*, sociallogin: SocialLogin, **kwargs: Any) -> None:
    _record("user.link", sociallogin.user, sociallogin.account)


def _record(action: str, user: User, account: SocialAccount) -> None:
    details = {"source": source_of(account), "uid": account.uid}
    record(actor=Someone(label=user.username, user_id=user.pk), action=action, target=user.username, details=details)


def _settings(sociallogin: SocialLogin) -> dict[str, Any]:
    app = getattr(sociallogin.provider, "app", None)
    return dict(app.settings or {}) if app is not None else {}


def _verified(sociallogin: SocialLogin) -> list[str]:
    return [address.email.lower() for address in sociallogin.email_addresses if address.verified]


def _taken(addresses: list[str]) -> str:
    """The first of these that an account here has, '' for none."""
    for address in addresses:
        if User.objects.filter(email__iexact=address).exists() or EmailAddress.objects.filter(email__iexact=address).exists():
            return address
    return ""


def _create(wanted: str, email: str, shown: str) -> User:
    """An account by the name that the provider tells, or the next free one like it."""
    stem = _NOT_A_NAME.sub("-", wanted or email.partition("@")[0]).strip("-.")[:MAX_USERNAME_CHARS] or "user"
    for number in count(1):
        try:
            name = stem if number == 1 else f"{stem}-{number}"
            return create_user(actor=SYSTEM, username=name, email=email, display_name=shown[:150])
        except Conflict:
            if number >= MAX_TRIES:
                raise
    raise AssertionError("count() ends")
