"""The doctor says when nobody can sign in by what is set up, and what to do about it; it tells no secret."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from allauth.socialaccount.models import SocialApp
from pytest_django.fixtures import Settings

from condahub.accounts.models import GroupRule
from condahub.accounts.signin import directory
from condahub.accounts.signin.directory import DirectoryUnavailable
from condahub.ops import doctor

pytestmark = pytest.mark.django_db

DESCRIPTION = {name: f"https://sso.example.org/{name}" for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")}


def findings() -> list[doctor.Finding]:
    return [report.finding for report in doctor.examine() if report.name == "signing in"]


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that describes itself as the file says."""
    description = tmp_path / ".well-known" / "openid-configuration"
    description.parent.mkdir()
    description.write_text(json.dumps(DESCRIPTION))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", description
        server.shutdown()


def company(url: str) -> None:
    settings = {"server_url": url}
    SocialApp.objects.create(
        provider="openid_connect", provider_id="company", name="Company", client_id="hub", secret="hush", settings=settings
    )


def test_passwords_alone_are_fine_until_they_are_switched_off(settings: Settings) -> None:
    assert [one.level for one in findings()] == [doctor.Level.OK]
    settings.CONDAHUB_LOCAL_ACCOUNTS = False
    (found,) = findings()
    assert found.level is doctor.Level.ERROR
    assert "nobody can sign in" in found.what
    assert "condahub admin unlock" in found.mend


def test_a_provider_is_asked_for_its_description(provider: tuple[str, Path]) -> None:
    url, description = provider
    company(url)
    assert [(one.level, one.what) for one in findings()] == [(doctor.Level.OK, "'Company' can be asked.")]
    description.write_text(json.dumps({**DESCRIPTION, "jwks_uri": ""}))
    (found,) = findings()
    assert found.level is doctor.Level.ERROR
    assert "no jwks_uri" in found.what


def test_a_provider_that_is_not_there_is_named_and_no_secret_told() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        company(f"http://127.0.0.1:{closed.getsockname()[1]}")
        (found,) = findings()
    assert found.level is doctor.Level.ERROR
    assert "'Company'" in found.what
    assert "hush" not in found.what + found.mend


def test_rules_of_a_provider_that_is_gone_are_a_warning() -> None:
    GroupRule.objects.create(source="oidc:old", pattern="it", flag="staff")
    (found,) = findings()
    assert found.level is doctor.Level.WARNING
    assert "'old'" in found.what


def test_a_directory_that_does_not_answer_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None:
        raise DirectoryUnavailable("The directory can't be asked: Can't contact LDAP server.")

    settings.CONDAHUB_LDAP_URL = "ldap://directory.example.org"
    settings.AUTH_LDAP_START_TLS = False
    settings.CONDAHUB_LDAP_GROUP_BASE = ""
    GroupRule.objects.create(source="ldap", pattern="it", flag="staff")
    monkeypatch.setattr(directory, "test_connection", silent)
    told = {one.what: one.level for one in findings()}
    assert told == {
        "The directory can't be asked: Can't contact LDAP server.": doctor.Level.ERROR,
        "Passwords go to the directory unencrypted.": doctor.Level.WARNING,
        "Rules map the directory's groups, and none are looked for.": doctor.Level.WARNING,
    }
