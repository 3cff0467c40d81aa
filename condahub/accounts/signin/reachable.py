"""Whether people can sign in by what is set up: the directory and OpenID Connect providers answer, and their settings fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from allauth.socialaccount.adapter import get_adapter
from django.conf import settings

from condahub.accounts.models import LDAP, OIDC_PREFIX, GroupRule
from condahub.accounts.signin import directory
from condahub.errors import HubError

PROVIDER_SECONDS = 5
NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
WELL_KNOWN = "/.well-known/openid-configuration"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Trouble(NamedTuple):
    """what: a sentence without a secret; mend: what the operator does about it; stops: whether nobody comes in so."""

    what: str
    mend: str
    stops: bool = True


class NotDescribed(Exception):
    """A provider does not describe itself as one; the message is for staff, and holds no secret."""


def description_of(server_url: str) -> dict[str, Any]:
    """What an OpenID Connect provider says of itself, as a first sign-in reads it. Raises NotDescribed."""
    where = server_url if "/.well-known/" in server_url else f"{server_url.rstrip('/')}{WELL_KNOWN}"
    try:
        answer = httpx.get(where, timeout=PROVIDER_SECONDS, headers={"Accept": "application/json"})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDescribed(f"It can't be reached ({type(error).__name__}).") from None
    if answer.status_code != 200:
        raise NotDescribed(f"It answers with {answer.status_code}.")
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise NotDescribed("What it answers is no description of an OpenID Connect provider.")
    if missing := [name for name in NEEDED if not told.get(name)]:
        raise NotDescribed(f"It answers, and its description has no {', '.join(missing)}.")
    return told


def providers() -> list[Any]:
    """The OpenID Connect providers of the environment and of the admin."""
    return list(get_adapter().list_apps(None, provider="openid_connect"))


def directory_troubles() -> Iterator[Trouble]:
    """Nothing where no directory is set up."""
    if not directory.is_configured():
        return
    try:
        directory.test_connection()
    except HubError as error:
        yield Trouble(error.detail, error.hint)
    url = urlsplit(settings.CONDAHUB_LDAP_URL)
    if url.scheme == "ldap" and not settings.AUTH_LDAP_START_TLS and url.hostname not in LOOPBACK:
        yield Trouble("Passwords go to the directory unencrypted.", "Use ldaps://, or set CONDAHUB_LDAP_START_TLS=1.", stops=False)
    if not settings.CONDAHUB_LDAP_GROUP_BASE and GroupRule.objects.filter(source=LDAP).exists():
        yield Trouble("Rules map the directory's groups, and none are looked for.", "Set CONDAHUB_LDAP_GROUP_BASE.", stops=False)


def provider_troubles() -> Iterator[Trouble]:
    """Nothing where no provider is set up."""
    known = providers()
    for app in known:
        if not app.client_id:
            yield Trouble(f"The provider '{app.name}' has no client id.", "Give it the one that the provider knows this hub by.")
        try:
            description_of(str((app.settings or {}).get("server_url", "")))
        except NotDescribed as error:
            yield Trouble(f"Signing in by '{app.name}' does not work. {error}", "Is its address right, and may this machine reach it?")
    names = {f"{OIDC_PREFIX}{app.provider_id}" for app in known}
    rules = GroupRule.objects.filter(source__startswith=OIDC_PREFIX).order_by("source").values_list("source", flat=True).distinct()
    for source in set(rules) - names:
        told = f"Rules map groups of the provider '{source.removeprefix(OIDC_PREFIX)}', which is not set up."
        yield Trouble(told, "Delete them, or set it up under that id.", stops=False)


def other_troubles() -> Iterator[Trouble]:
    """Where passwords kept here open nothing, something else has to."""
    any_provider = bool(get_adapter().list_apps(None))
    if not settings.CONDAHUB_LOCAL_ACCOUNTS and not directory.is_configured() and not any_provider:
        told = "Local accounts are off, and neither a directory nor a provider is set up: nobody can sign in."
        yield Trouble(told, "Set one of them up, or CONDAHUB_LOCAL_ACCOUNTS=1; `condahub admin unlock` lets one person in meanwhile.")
