"""An OpenID Connect provider in a process of its own: allauth's, in a small Django project with people from a file.

`python -m tests.accounts.identity_provider FOLDER PORT` serves it; `provider(folder)` runs that for the length of a block.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from condahub.ops.children import die_with_parent
from condahub.ops.roles import HOME
from condahub.ops.supervise import any_free_port

CLIENT_ID, CLIENT_SECRET = "condahub", "a-secret-that-only-the-two-know"
START_SECONDS = 30


@dataclass(frozen=True)
class Provider:
    """A running provider. Who is asked for at `sign_in` is whoever the file says."""

    url: str
    people: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the hub is told of it, as the provider `company`."""
        return {
            "CONDAHUB_OIDC_PROVIDERS": "company",
            "CONDAHUB_OIDC_COMPANY_NAME": "Company",
            "CONDAHUB_OIDC_COMPANY_URL": self.url,
            "CONDAHUB_OIDC_COMPANY_CLIENT_ID": CLIENT_ID,
            "CONDAHUB_OIDC_COMPANY_CLIENT_SECRET": CLIENT_SECRET,
        }

    def has(self, **people: dict[str, Any]) -> None:
        """The people there are now: `alice={"email": ..., "email_verified": True, "groups": [...]}`."""
        self.people.write_text(json.dumps(people))

    def sign_in(self, name: str, authorize: str) -> str:
        """The person signs in over there, and the browser is sent back: the path of the hub's that it comes to."""
        with httpx.Client() as browser:
            assert browser.get(f"{self.url}/as/{name}").status_code == 200
            answer = browser.get(authorize)
            assert answer.status_code == 302, answer.text
            back = urlsplit(answer.headers["Location"])
            return f"{back.path}?{back.query}"


@contextmanager
def provider(folder: Path, *, callback: str) -> Iterator[Provider]:
    """callback: where the hub wants its answers."""
    port = any_free_port()
    people = folder / "people.json"
    people.write_text("{}")
    command = [sys.executable, "-m", "tests.accounts.identity_provider", str(folder), str(port), callback]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "DJANGO_", "PORT"))}
    with (folder / "provider.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=HOME, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent(signal.SIGTERM))
    try:
        running = Provider(f"http://127.0.0.1:{port}", people)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(running.url):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "provider.log").read_text()
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/.well-known/openid-configuration").status_code == 200
    except httpx.HTTPError:
        return False


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*kinds).decode()


def _settings(folder: Path) -> dict[str, Any]:
    return {
        "SECRET_KEY": "of a provider for tests",
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "provider.sqlite3")}},
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        "ROOT_URLCONF": "tests.accounts.identity_provider_urls",
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "IDP_OIDC_ADAPTER": "tests.accounts.identity_provider_urls.Adapter",
        "IDP_OIDC_PRIVATE_KEY": _private_key(),
        "PEOPLE": str(folder / "people.json"),
        "USE_TZ": True,
    }


def main(folder: str, port: str, callback: str) -> None:
    import socketserver
    from wsgiref.simple_server import WSGIServer, make_server

    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    settings.configure(**_settings(Path(folder)))
    django.setup()
    call_command("migrate", verbosity=0)
    from allauth.idp.oidc.models import Client

    client = Client(id=CLIENT_ID, name="condahub", scopes="openid\nprofile\nemail", skip_consent=True, redirect_uris=callback)
    client.set_secret(CLIENT_SECRET)
    client.save()

    class Server(socketserver.ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server("127.0.0.1", int(port), get_wsgi_application(), server_class=Server).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
