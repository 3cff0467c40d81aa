"""What an operator deploys is closed: the deployment check is clean, cookies are safe, and another host's name is answered with ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from condahub.ops.roles import HOME

PUBLIC = {"CONDAHUB_PUBLIC_URL": "https://hub.example.org", "CONDAHUB_SECRET_KEY": "k" * 20 + "-0123456789-abcdefghijklmnopqrstuvwxyz-XYZ"}


def hub(code: list[str], tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "DJANGO_", "PORT"))}
    return subprocess.run(
        [sys.executable, *code],
        cwd=HOME,
        env={**inherited, "CONDAHUB_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "condahub.settings", **PUBLIC, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.real
def test_the_deployment_check_is_clean(tmp_path: Path) -> None:
    done = hub(["manage.py", "check", "--deploy", "--fail-level", "WARNING"], tmp_path)
    assert done.returncode == 0 and "no issues" in done.stdout, done.stderr


@pytest.mark.real
def test_at_an_https_address_cookies_are_safe_and_nothing_for_development_is_open(tmp_path: Path) -> None:
    questions = [
        "settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE and settings.SESSION_COOKIE_HTTPONLY",
        "settings.SECURE_HSTS_SECONDS > 0 and settings.CONDAHUB_PASSKEYS",
        "not settings.DEBUG and not settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN",
        "not getattr(settings, 'MFA_TOTP_INSECURE_BYPASS_CODE', None)",
        "not settings.CONDAHUB_SIGNUP and not settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION and not settings.SOCIALACCOUNT_STORE_TOKENS",
        "'unsafe' not in str(settings.CONTENT_SECURITY_POLICY)",
        "settings.ALLOWED_HOSTS == ['hub.example.org'] and settings.CSRF_TRUSTED_ORIGINS == ['https://hub.example.org']",
        "not [app for app in settings.INSTALLED_APPS if 'debug' in app or 'dummy' in app or 'headless' in app or 'idp' in app]",
    ]
    asked = "\n".join(f"assert {question}, {question!r}" for question in questions)
    done = hub(["-c", f"import django\nfrom django.conf import settings\ndjango.setup()\n{asked}"], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.real
def test_a_directory_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ldap'] = None; import django; django.setup()"
    done = hub(["-c", code], tmp_path, CONDAHUB_LDAP_URL="ldaps://directory.example.org", CONDAHUB_LDAP_USER_BASE="dc=example")
    assert done.returncode and "Run: make ldap" in done.stderr


@pytest.mark.django_db
def test_a_request_by_another_name_hears_the_right_one(settings: object) -> None:
    settings.ALLOWED_HOSTS = ["hub.example.org"]  # type: ignore[attr-defined]
    settings.CONDAHUB_PUBLIC_URL = "https://hub.example.org"  # type: ignore[attr-defined]
    client = Client(headers={"host": "10.0.0.7"})
    for path in ("/ui/", "/api/hub/v1/me", "/accounts/login/", "/admin/", "/"):
        program = client.get(path)
        assert (program.status_code, program.json()["code"]) == (400, "unknown_host"), path
        assert "https://hub.example.org" in program.json()["detail"]
        person = client.get(path, headers={"accept": "text/html"})
        assert person.status_code == 400 and '<a href="https://hub.example.org">' in person.content.decode(), path
