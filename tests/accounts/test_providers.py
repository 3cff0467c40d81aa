"""A real OpenID Connect provider signs people in: accounts, teams by groups, and no account of somebody else's."""

from __future__ import annotations

import html
import logging
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.core import mail
from django.core.cache import cache as django_cache
from django.http import HttpResponse
from django.test import Client

from condahub.accounts import services
from condahub.accounts.models import Organization, Team, User
from condahub.accounts.policy import SYSTEM, Actor, Permission, can
from condahub.accounts.services import outside
from condahub.accounts.services.invitations import mail_invitation
from condahub.accounts.signin.providers import groups_in
from condahub.audit.models import AuditEvent
from tests.accounts.identity_provider import CLIENT_SECRET, Provider, provider

pytestmark = [pytest.mark.django_db, pytest.mark.real]

SETTINGS = Path(__file__).parents[2] / "condahub" / "settings" / "signin.py"
LOGIN = "/accounts/oidc/company/login/"
ALICE = {"email": "alice@example.org", "email_verified": True, "name": "Alice Liddell", "groups": ["data-science", "all"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("provider"), callback=f"http://testserver{LOGIN}callback/") as found:
        yield found


@pytest.fixture
def company(running: Provider, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Provider:
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    settings.SOCIALACCOUNT_PROVIDERS = runpy.run_path(str(SETTINGS))["SOCIALACCOUNT_PROVIDERS"]
    running.has(alice=ALICE, bob={"email": "bob@example.org", "email_verified": False, "groups": []})
    django_cache.clear()
    return running


@pytest.fixture
def team() -> Team:
    owner = services.create_user(actor=SYSTEM, username="owner")
    acme = services.create_organization(actor=SYSTEM, name="acme", owner=owner)
    team = services.create_team(actor=SYSTEM, organization=acme, slug="science")
    services.grant(actor=SYSTEM, on=acme, role="contributor", team=team)
    outside.create_rule(actor=SYSTEM, source="oidc:company", pattern="data-science", team=team)
    return team


def sign_in(company: Provider, name: str, client: Client | None = None, process: str = "login") -> tuple[Client, HttpResponse]:
    client = client or Client()
    onward = client.post(f"{LOGIN}?process={process}", {"next": "/ui/channels"})
    assert onward.status_code == 200, onward
    found = re.search(r'<a class="btn btn-primary" href="([^"]+)"', onward.content.decode())
    assert found
    return client, client.get(company.sign_in(name, html.unescape(found[1])))


def may_upload(name: str) -> bool:
    return can(Actor.of(User.objects.get(username=name)), Permission.PACKAGE_UPLOAD, Organization.objects.get(name="acme"))


def test_a_first_sign_in_has_what_the_groups_give_and_a_group_that_is_left_is_lost(company: Provider, team: Team) -> None:
    assert "Sign in with Company" in Client().get("/accounts/login/").content.decode()
    client, answer = sign_in(company, "alice")
    assert (answer.status_code, answer["Location"]) == (302, "/ui/channels")
    assert client.get("/ui/account").status_code == 200
    alice = User.objects.get(username="alice")
    assert (alice.email, alice.display_name, alice.has_usable_password()) == ("alice@example.org", "Alice Liddell", False)
    assert alice.personal_organization.name == "alice" and not (alice.is_staff or alice.is_superuser or alice.is_auditor)
    assert may_upload("alice")
    assert [(row.source, row.group) for row in alice.role_sources.all()] == [("oidc:company", "data-science")]
    company.has(alice={**ALICE, "groups": ["all"]})
    sign_in(company, "alice")
    assert User.objects.filter(username__startswith="alice").count() == 1
    assert not may_upload("alice")
    assert AuditEvent.objects.filter(action="session.sign_in", target="alice").count() == 2
    assert SocialToken.objects.count() == 0


def test_who_signs_in_by_a_provider_alone_shows_there_once_more_who_it_is(company: Provider) -> None:
    client, _ = sign_in(company, "alice")
    guarded = "/accounts/2fa/totp/activate/"
    assert client.get(guarded).status_code == 200, "she has just signed in"
    session = client.session
    for seen in session["account_authentication_methods"]:
        seen["at"] -= 3600
    session.save()
    asks = client.get(guarded)
    assert urlsplit(asks["Location"]).path == "/accounts/reauthenticate/provider/"
    assert client.get(asks["Location"].replace("provider/", "provider/done/")).status_code == 302
    page = html.unescape(client.get(asks["Location"]).content.decode())
    button = re.search(rf'action="({LOGIN}[^"]+)".*?name="next" value="([^"]+)"', page)
    assert button
    for name, status, opens in (("bob", 403, 302), ("alice", 302, 200)):
        onward = re.search(r'<a class="btn btn-primary" href="([^"]+)"', client.post(button[1], {"next": button[2]}).content.decode())
        assert onward and "prompt=login" in onward[1]
        # Over there the person signs in, as it was asked to have done, and goes on.
        answer = client.get(company.sign_in(name, html.unescape(onward[1]).replace("&prompt=login", "")))
        assert answer.status_code == status, name
        assert client.get(guarded).status_code == opens
    assert client.get(answer["Location"])["Location"] == guarded


def test_an_invitation_is_accepted_by_who_the_provider_says_has_the_address(company: Provider, settings: Any) -> None:
    settings.CONDAHUB_EMAIL_ENABLED, settings.CONDAHUB_LOCAL_ACCOUNTS = True, False
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    acme = services.create_organization(actor=SYSTEM, name="acme", owner=services.create_user(actor=SYSTEM, username="owner"))
    for address, status in (("alice@example.org", 302), ("bob@example.org", 403)):
        made = services.invite(actor=Actor.of(User.objects.get(username="owner")), organization=acme, email=address, role="contributor")
        assert mail_invitation(made.pk)
        link = re.search(r"/ui/account/invitation/\S+", mail.outbox[-1].body)
        client = Client()
        assert link and "Make an account" not in client.get(link[0], follow=True).content.decode()
        sign_in(company, address.partition("@")[0], client)
        assert client.post("/ui/account/invitation").status_code == status, "bob's address is nobody's word but his own"
    assert may_upload("alice") and not may_upload("bob")


def test_an_address_that_somebody_has_is_never_linked_by_itself(company: Provider, settings: Any) -> None:
    here = services.create_user(actor=SYSTEM, username="al", email="Alice@example.org", password="made-here-by-IT-5")
    _, answer = sign_in(company, "alice")
    assert answer.status_code == 403 and "There is an account here with the address alice@example.org." in answer.content.decode()
    assert User.objects.count() == 1 and not SocialAccount.objects.exists()
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION = settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
    assert sign_in(company, "alice")[1].status_code == 403, "nobody has verified it here"
    EmailAddress.objects.create(user=here, email="alice@example.org", verified=True, primary=True)
    assert sign_in(company, "alice")[1].status_code == 302
    assert SocialAccount.objects.get().user == here


def test_an_unverified_address_is_not_taken_over(company: Provider) -> None:
    services.create_user(actor=SYSTEM, username="bob", email="bob@example.org")
    sign_in(company, "bob")
    assert User.objects.get(username="bob-2").email == "" and not EmailAddress.objects.exists()


def test_a_provider_that_makes_no_accounts_signs_in_who_has_linked_it(company: Provider, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["sign_up"] = False
    _, answer = sign_in(company, "alice")
    assert "Accounts are given by IT" in answer.content.decode() and not User.objects.exists()
    services.create_user(actor=SYSTEM, username="al", password="made-here-by-IT-5")
    client = Client()
    client.post("/accounts/login/", {"username": "al", "password": "made-here-by-IT-5"})
    # Linking asks once more who it is.
    client.post("/accounts/reauthenticate/", {"password": "made-here-by-IT-5"})
    _, answer = sign_in(company, "alice", client, process="connect")
    assert SocialAccount.objects.get().user.username == "al", answer
    assert "id-of-alice" not in Client().get("/accounts/login/").content.decode()
    assert sign_in(company, "alice")[0].get("/ui/account").status_code == 200
    row = SocialAccount.objects.get()
    assert client.post("/accounts/linked/", {"account": row.pk}).status_code == 302
    assert not SocialAccount.objects.exists()
    actions = list(AuditEvent.objects.filter(action__in=("user.link", "user.unlink")).order_by("pk").values_list("action", flat=True))
    assert actions == ["user.link", "user.unlink"]


def test_only_people_of_the_named_domains_come_in(company: Provider, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["domains"] = ["example.com"]
    assert sign_in(company, "alice")[1].status_code == 403
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["domains"] = ["example.org"]
    assert sign_in(company, "bob")[1].status_code == 403, "his address is not verified"
    assert sign_in(company, "alice")[1].status_code == 302


def test_who_was_deactivated_stays_out(company: Provider) -> None:
    client, _ = sign_in(company, "alice")
    services.deactivate_user(actor=SYSTEM, user=User.objects.get(username="alice"))
    assert client.get("/ui/account").status_code == 302
    _, answer = sign_in(company, "alice")
    assert answer["Location"] == "/accounts/inactive/"


def test_a_provider_kept_in_the_database_has_its_secret_sealed(company: Provider, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    configured = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]
    settings.SOCIALACCOUNT_PROVIDERS = {}
    app = SocialApp.objects.create(provider="openid_connect", **configured)
    stored = SocialApp.objects.values().get(pk=app.pk)
    assert CLIENT_SECRET not in str(stored) and stored["secret"] == ""
    with caplog.at_level(logging.DEBUG):
        assert sign_in(company, "alice")[1].status_code == 302
    assert CLIENT_SECRET not in caplog.text
    app.name = "Renamed"
    app.save()
    assert sign_in(company, "alice")[1].status_code == 302


def test_answers_that_nobody_asked_for_sign_nobody_in(company: Provider) -> None:
    client = Client()
    for query in ("", "?code=made-up&state=made-up", "?error=access_denied&state=x"):
        answer = client.get(f"{LOGIN}callback/{query}")
        assert answer.status_code in (200, 302, 401, 403), query
        assert client.get("/ui/account").status_code == 302
    assert client.get("/accounts/oidc/nowhere/login/").status_code == 404
    asked = client.get(LOGIN)
    assert asked.status_code == 200 and "Sign in with Company" in asked.content.decode(), "a link alone starts nothing"


def test_groups_are_read_where_providers_put_them() -> None:
    assert groups_in({"userinfo": {"groups": ["a", 3]}, "id_token": {"groups": ["b"]}}, "groups") == ["a", "b"]
    assert groups_in({"id_token": {"realm_access": {"roles": ["r"]}}}, "realm_access.roles") == ["r"]
    assert groups_in({"userinfo": {"https://example.org/groups": "one"}}, "https://example.org/groups") == ["one"]
    assert groups_in({"userinfo": {"groups": {"a": 1}}}, "groups") == [] and groups_in({}, "groups.x") == []
