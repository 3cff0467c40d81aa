"""In the admin: providers and rules are administrators' to change, and no key or secret is on any page."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.socialaccount.models import SocialApp
from django.test import Client

from condahub.accounts import services
from condahub.accounts.models import GroupRule
from condahub.accounts.policy import SYSTEM
from condahub.accounts.signin.providers import ProviderAdapter
from condahub.audit.models import AuditEvent

pytestmark = pytest.mark.django_db

PASSWORD = "a-scientist-signs-in-7"
SECRET = "what-only-the-provider-knows"
APP = {"provider": "openid_connect", "provider_id": "sso", "name": "SSO", "client_id": "condahub"}


def client_of(**flags: bool) -> Client:
    name = "-".join(flags)
    services.create_user(actor=SYSTEM, username=name, password=PASSWORD, **flags)  # type: ignore[arg-type]
    client = Client()
    client.post("/accounts/login/", {"username": name, "password": PASSWORD})
    return client


def test_a_providers_secret_goes_in_and_never_comes_out() -> None:
    root, staff = client_of(is_superuser=True), client_of(is_staff=True)
    settings = '{"server_url": "https://sso.example.org"}'
    assert staff.post("/admin/socialaccount/socialapp/add/", {**APP, "secret": SECRET, "settings": settings}).status_code == 403
    answer = root.post("/admin/socialaccount/socialapp/add/", {**APP, "secret": SECRET, "settings": settings})
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    made = SocialApp.objects.get()
    page = f"/admin/socialaccount/socialapp/{made.pk}/change/"
    sealed = made.settings["sealed_secret"]
    for client in (root, staff):
        text = client.get(page).content.decode()
        assert SECRET not in text and sealed not in text and "SSO" in text
    assert root.post(page, {**APP, "name": "Renamed", "secret": "", "settings": settings}).status_code == 302
    assert [(app.name, app.secret) for app in ProviderAdapter().list_apps(None)] == [("Renamed", SECRET)]
    root.post(page, {**APP, "secret": "a-new-one", "settings": settings})
    assert [app.secret for app in ProviderAdapter().list_apps(None)] == ["a-new-one"]
    told = str(list(AuditEvent.objects.values()))
    assert "provider.create" in told and SECRET not in told and "a-new-one" not in told
    broken = root.post("/admin/socialaccount/socialapp/add/", {**APP, "provider_id": "other", "settings": "{}"})
    assert broken.status_code == 200 and "server_url" in broken.content.decode()


def test_rules_are_made_and_deleted_through_the_service() -> None:
    root, staff = client_of(is_superuser=True), client_of(is_staff=True)
    asked = {"source": "ldap", "pattern": "it-*", "flag": "staff"}
    assert staff.post("/admin/accounts/grouprule/add/", asked).status_code == 403
    assert root.post("/admin/accounts/grouprule/add/", {**asked, "pattern": "*"}).status_code == 200
    assert root.post("/admin/accounts/grouprule/add/", asked).status_code == 302
    rule = GroupRule.objects.get()
    assert root.post(f"/admin/accounts/grouprule/{rule.pk}/delete/", {"post": "yes"}).status_code == 302
    actions = list(AuditEvent.objects.filter(target="it-*").order_by("pk").values_list("action", flat=True))
    assert actions == ["group_rule.create", "group_rule.delete"]


def test_sessions_are_shown_without_their_keys() -> None:
    root: Any = client_of(is_superuser=True)
    for path in ("usersessions/usersession", "mfa/authenticator", "socialaccount/socialaccount", "account/emailaddress"):
        page = root.get(f"/admin/{path}/")
        assert page.status_code == 200 and root.session.session_key not in page.content.decode(), path
    assert root.get("/admin/socialaccount/socialtoken/").status_code == 404
