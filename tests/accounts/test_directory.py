"""A real slapd signs people in: their groups are their teams, who leaves it loses what it gave, and nothing else is touched."""

from __future__ import annotations

import logging
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache as django_cache
from django.test import Client

from condahub.accounts import services
from condahub.accounts.models import DirectoryAccount, Organization, RoleSource, Team, User
from condahub.accounts.policy import SYSTEM, Actor, Permission, can
from condahub.accounts.services import outside
from condahub.accounts.signin import directory as company
from condahub.accounts.signin.sync import sync_directory
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, HubError
from tests.accounts.slapd import Directory, slapd
from tests.parts import require_part

pytestmark = [pytest.mark.django_db, pytest.mark.real]

SETTINGS = Path(__file__).parents[2] / "condahub" / "settings" / "directory.py"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    require_part("ldap")
    with slapd(tmp_path_factory.mktemp("slapd")) as found:
        for name in ("alice", "bob", "carol", "dave", "erin"):
            found.hire(name)
        yield found


@pytest.fixture
def directory(running: Directory, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Directory:
    """The hub set up by its environment, with the groups as every test finds them."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    for name, value in runpy.run_path(str(SETTINGS)).items():
        if name.isupper():
            setattr(settings, name, value)
    running.group("data-science", "alice", "bob")
    running.group("it-staff", "bob")
    running.group("auditors", "carol")
    django_cache.clear()
    return running


@pytest.fixture
def acme() -> Organization:
    owner = services.create_user(actor=SYSTEM, username="owner")
    return services.create_organization(actor=SYSTEM, name="acme", owner=owner)


@pytest.fixture
def team(acme: Organization) -> Team:
    team = services.create_team(actor=SYSTEM, organization=acme, slug="science")
    services.grant(actor=SYSTEM, on=acme, role="contributor", team=team)
    outside.create_rule(actor=SYSTEM, source="ldap", pattern="data-*", team=team)
    return team


def sign_in(name: str, password: str = "") -> Client | None:
    client = Client()
    answer = client.post("/accounts/login/", {"username": name, "password": password or f"{name}-password"})
    return client if answer.status_code == 302 else None


def may_upload(name: str, acme: Organization) -> bool:
    return can(Actor.of(User.objects.get(username=name)), Permission.PACKAGE_UPLOAD, acme)


def test_a_first_sign_in_gives_what_the_groups_give_and_no_more(directory: Directory, team: Team, acme: Organization) -> None:
    assert sign_in("alice", "not hers") is None
    assert not User.objects.filter(username="alice").exists()
    client = sign_in("alice")
    assert client is not None and client.get("/ui/account").status_code == 200
    alice = User.objects.get(username="alice")
    assert (alice.email, alice.display_name, alice.has_usable_password()) == ("alice@example.org", "Alice Example", False)
    assert alice.personal_organization.name == "alice"
    assert not (alice.is_staff or alice.is_superuser or alice.is_auditor)
    assert may_upload("alice", acme)
    assert [(row.source, row.group) for row in alice.role_sources.all()] == [("ldap", "data-science")]
    assert sign_in("dave") is not None
    assert not may_upload("dave", acme) and User.objects.get(username="dave").groups.count() == 0


def test_flags_come_from_groups_and_go_with_them(directory: Directory) -> None:
    outside.create_rule(actor=SYSTEM, source="ldap", pattern="cn=IT-staff,ou=groups,dc=example,dc=org", flag="staff")
    outside.create_rule(actor=SYSTEM, pattern="auditors", flag="auditor")
    sign_in("bob")
    sign_in("carol")
    bob, carol = User.objects.get(username="bob"), User.objects.get(username="carol")
    assert (bob.is_staff, bob.is_superuser, carol.is_auditor) == (True, False, True)
    with pytest.raises(Conflict, match="of ldap"):
        services.promote_user(actor=SYSTEM, user=bob, is_staff=False)
    directory.group("it-staff")
    assert sync_directory().looked_at == 2
    bob.refresh_from_db()
    assert not bob.is_staff


def test_a_group_that_is_left_is_access_that_is_lost_at_the_next_sign_in(directory: Directory, team: Team, acme: Organization) -> None:
    sign_in("alice")
    assert may_upload("alice", acme)
    directory.group("data-science", "bob")
    sign_in("alice")
    assert not may_upload("alice", acme)
    assert AuditEvent.objects.filter(action="team.remove_member", target="acme:science").get().details["source"] == "ldap"


def test_what_people_gave_by_hand_stays(directory: Directory, team: Team, acme: Organization) -> None:
    sign_in("alice")
    sign_in("dave")
    alice, dave = User.objects.get(username="alice"), User.objects.get(username="dave")
    services.add_member(actor=SYSTEM, team=team, user=alice)
    services.add_member(actor=SYSTEM, team=team, user=dave)
    directory.group("data-science", "bob", "dave")
    sync_directory()
    assert may_upload("alice", acme) and may_upload("dave", acme)
    with pytest.raises(Conflict, match="comes from a group of ldap"):
        services.remove_member(actor=SYSTEM, team=team, user=dave)
    directory.group("data-science", "bob")
    sync_directory()
    assert may_upload("dave", acme), "he was in it by hand before the group gave it"
    services.remove_member(actor=SYSTEM, team=team, user=dave)
    assert not may_upload("dave", acme) and not RoleSource.objects.filter(user=dave).exists()


def test_a_team_may_name_its_group_itself(directory: Directory, acme: Organization) -> None:
    services.create_team(actor=SYSTEM, organization=acme, slug="own", external_group="Data-Science")
    sign_in("bob")
    assert User.objects.get(username="bob").groups.get().team.slug == "own"


def test_who_leaves_is_stopped_with_sessions_and_tokens_and_may_come_back(directory: Directory, team: Team, acme: Organization) -> None:
    directory.hire("frank")
    directory.group("data-science", "frank")
    client = sign_in("frank")
    assert client is not None
    frank = User.objects.get(username="frank")
    secret = services.create_token(actor=Actor.of(frank), name="ci", scopes=["full"]).secret
    bearer = Client(headers={"Authorization": f"Bearer {secret}"})
    assert bearer.get("/api/hub/v1/me").status_code == 200
    directory.group("data-science", "bob")
    directory.fire("frank")
    assert sync_directory().closed == 1
    frank.refresh_from_db()
    assert not frank.is_active and frank.groups.count() == 0
    assert client.get("/ui/account").status_code == 302
    assert bearer.get("/api/hub/v1/me").status_code == 401
    assert sync_directory().closed == 0


def test_a_password_that_is_refused_finds_out_who_is_gone(directory: Directory) -> None:
    directory.hire("grace")
    assert sign_in("grace") is not None
    directory.fire("grace")
    assert sign_in("grace") is None
    assert not User.objects.get(username="grace").is_active


def test_a_renamed_person_keeps_the_account_and_another_of_that_name_gets_none(directory: Directory) -> None:
    directory.hire("heidi")
    sign_in("heidi")
    heidi = User.objects.get(username="heidi")
    directory.rename("heidi", "heidi2")
    try:
        client = sign_in("heidi2", "heidi-password")
        assert client is not None and DirectoryAccount.objects.get(user=heidi).dn.startswith("uid=heidi2,")
        directory.hire("heidi")
        assert sign_in("heidi") is None, "another entry of the old name is another person"
    finally:
        directory.fire("heidi2")
        directory.fire("heidi")


def test_an_account_that_was_made_here_is_nobody_elses(directory: Directory, settings: Any) -> None:
    services.create_user(actor=SYSTEM, username="erin", password="made-here-by-IT-5")
    assert sign_in("erin") is None
    assert sign_in("erin", "made-here-by-IT-5") is not None
    settings.CONDAHUB_LDAP_LINK_BY_NAME = True
    assert sign_in("erin") is not None
    assert DirectoryAccount.objects.get(user__username="erin")
    services.create_user(actor=SYSTEM, username="dave", is_superuser=True)
    assert sign_in("dave") is None, "nobody becomes an administrator by a name"


def test_a_directory_that_is_down_stops_nobody(directory: Directory, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    sign_in("alice")
    services.create_user(actor=SYSTEM, username="local", password="made-here-by-IT-5")
    settings.CONDAHUB_LDAP_URL = settings.AUTH_LDAP_SERVER_URI = "ldap://127.0.0.1:1"
    with pytest.raises(HubError, match="can't be asked"):
        sync_directory()
    with caplog.at_level(logging.DEBUG):
        assert sign_in("alice") is None
    assert User.objects.get(username="alice").is_active
    assert sign_in("local", "made-here-by-IT-5") is not None
    assert "alice-password" not in caplog.text and "hub-reads-only-pw" not in caplog.text


def test_a_wrong_base_stops_nobody(directory: Directory, settings: Any) -> None:
    for name in ("alice", "bob", "carol", "dave"):
        sign_in(name)
    settings.CONDAHUB_LDAP_USER_FILTER = "(&(uid=%(user)s)(sn=Nobody))"
    with pytest.raises(Conflict, match="4 of 4 people"):
        sync_directory()
    assert User.objects.filter(is_active=False).count() == 0
    assert sync_directory(force=True).closed == 4
    settings.CONDAHUB_LDAP_USER_FILTER = "(uid=%(user)s)"
    assert sync_directory().reopened == 4
    assert User.objects.filter(is_active=False).count() == 0


def test_the_connection_can_be_tried(directory: Directory, settings: Any) -> None:
    company.test_connection()
    entry = company.find("alice")
    assert entry is not None and set(entry.groups) == {"data-science", "cn=data-science,ou=groups,dc=example,dc=org"}
    assert company.find("*") is None and company.find("alice)(uid=*") is None
    settings.CONDAHUB_LDAP_USER_BASE = "ou=nowhere,dc=example,dc=org"
    with pytest.raises(HubError, match="ou=nowhere"):
        company.test_connection()
    settings.AUTH_LDAP_BIND_PASSWORD = "wrong"
    with pytest.raises(HubError, match="Invalid credentials"):
        company.test_connection()


def test_an_operator_gets_in_when_the_directory_is_down_and_local_accounts_are_off(
    directory: Directory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CONDAHUB_LOCAL_ACCOUNTS = False
    services.create_user(actor=SYSTEM, username="local", password="made-here-by-IT-5")
    assert sign_in("local", "made-here-by-IT-5") is None
    assert sign_in("alice") is not None
    settings.CONDAHUB_LDAP_URL = settings.AUTH_LDAP_SERVER_URI = "ldap://127.0.0.1:1"
    from click.testing import CliRunner

    from condahub.accounts import cli

    def unlocked(name: str) -> Any:
        done = CliRunner().invoke(cli.unlock, [name, "--password-stdin"], input="let-me-in-again-9\n")
        assert done.exit_code == 0, done.output

    for name in ("root", "alice"):
        unlocked(name)
        assert sign_in(name, "let-me-in-again-9") is not None
        user = User.objects.get(username=name)
        user.unlocked_until = None
        user.save()
        assert sign_in(name, "let-me-in-again-9") is None, "it opened for a while only"
    assert AuditEvent.objects.filter(action="user.unlock").count() == 2
