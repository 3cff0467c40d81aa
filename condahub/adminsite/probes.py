"""The admin's page of things to try: each says with a sentence and milliseconds whether what the hub stands on answers."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import connection
from django.http import HttpRequest, HttpResponse

from condahub.accounts.policy import Actor
from condahub.accounts.signin import directory
from condahub.accounts.signin.reachable import NotDescribed, description_of
from condahub.adminsite import registry
from condahub.adminsite.pages import require_may_act, shown
from condahub.adminsite.registry import Probe
from condahub.audit.services import record
from condahub.errors import HubError
from condahub.storage.blobs import blobs

logger = logging.getLogger(__name__)

BROKER_SECONDS = 3
MAIL_SECONDS = 10
PROBE_BYTES = 4096


@dataclass(frozen=True)
class Tried:
    """What came of it. milliseconds: from the button to the answer."""

    name: str
    good: bool
    sentence: str
    milliseconds: int


class NotGood(Exception):
    """What was tried does not work; the message is for staff, and holds no secret."""


def try_one(probe: Probe, actor: Actor, choice: str) -> Tried:
    """Try it. Whatever a library raises is told by its kind alone: its message might hold an address with a password."""
    started = time.perf_counter()
    try:
        sentence, good = probe.try_it(actor, choice), True
    except HubError as error:
        sentence, good = f"{error.detail} {error.hint}".strip(), False
    except NotGood as error:
        sentence, good = str(error), False
    except Exception as error:
        logger.warning("the probe '%s' failed", probe.name, exc_info=True)
        sentence, good = f"It does not work ({type(error).__name__}). The web process's log says more.", False
    return Tried(probe.name, good, sentence, round((time.perf_counter() - started) * 1000))


def page(request: HttpRequest) -> HttpResponse:
    """GET: what can be tried; POST `probe` (and `choice`): try it."""
    known = registry.probes()
    tried = None
    if request.method == "POST":
        actor = require_may_act(request)
        probe = next((one for one in known if one.name == request.POST.get("probe")), None)
        if probe is not None:
            tried = try_one(probe, actor, request.POST.get("choice", "")[:200])
            record(actor=actor, action="hub.probe", target=probe.name, details={"good": tried.good, "milliseconds": tried.milliseconds})
    rows = [{"probe": one, "choices": list(one.choices()) if one.choices else None} for one in known]
    return shown(request, "admin/checks.html", "Checks", rows=rows, tried=tried, chosen=request.POST.get("choice", ""))


def _database(actor: Actor, choice: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return f"{'SQLite' if connection.vendor == 'sqlite' else 'PostgreSQL'} answers."


def _store(actor: Actor, choice: str) -> str:
    """Through the store's own way: keep bytes, read them, take them away."""
    store, content = blobs("upstream"), os.urandom(PROBE_BYTES)
    sha256 = store.put_bytes(content)
    try:
        if store.read_bytes(sha256) != content:
            raise NotGood("The store gave back other bytes than it was given.")
    finally:
        store.delete(sha256)
    place = "folder" if store.local_path(sha256) is not None else "bucket"
    return f"{PROBE_BYTES} bytes were written, read and deleted in the store's {place}."


def _broker(actor: Actor, choice: str) -> str:
    from condahub.celery import app

    with app.connection_for_write(connect_timeout=BROKER_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
        return f"The broker ({broker.transport.driver_type}) answers."


def _mail(actor: Actor, choice: str) -> str:
    if not settings.CONDAHUB_EMAIL_ENABLED:
        raise NotGood("No mail server is set up: see CONDAHUB_EMAIL_URL.")
    address = actor.user.email if actor.user is not None else ""
    if not address:
        raise NotGood("Your account has no e-mail address: add one under Account.")
    text = f"The hub at {settings.CONDAHUB_PUBLIC_URL} can send mail. {actor.label} asked for this."
    message = EmailMessage(f"{settings.EMAIL_SUBJECT_PREFIX}A test", text, to=[address], connection=get_connection(timeout=MAIL_SECONDS))
    message.send()
    return f"The mail server took a message to {address}."


def _directory(actor: Actor, choice: str) -> str:
    if not directory.is_configured():
        raise NotGood("No directory is set up: see CONDAHUB_LDAP_URL.")
    directory.test_connection()
    return "The directory answers, the hub's account may sign in there, and the bases are there."


def _providers() -> list[tuple[str, str]]:
    from allauth.socialaccount.models import SocialApp

    return [(str(app.pk), app.name) for app in SocialApp.objects.filter(provider="openid_connect").order_by("name")]


def _oidc(actor: Actor, choice: str) -> str:
    """Reads the provider's own description, as a first sign-in does."""
    from allauth.socialaccount.models import SocialApp

    app = SocialApp.objects.filter(provider="openid_connect", pk=int(choice)).first() if choice.isdigit() else None
    if app is None:
        raise NotGood("Choose a provider; those of the environment are tried by signing in.")
    try:
        told = description_of(str((app.settings or {}).get("server_url", "")))
    except NotDescribed as error:
        raise NotGood(str(error)) from None
    return f"The provider describes itself as {str(told['issuer'])[:200]}."


for _probe in (
    Probe("database", "Database", "The smallest question there is.", _database, order=10),
    Probe("store", "Store", "Writes, reads and deletes a few bytes, on disk or in the bucket.", _store, order=20),
    Probe("broker", "Broker", "Connects as a process that rings the workers' bell.", _broker, order=30),
    Probe("mail", "E-mail", "Sends a message to your own address.", _mail, order=40),
    Probe("directory", "Directory (LDAP)", "Signs in as the hub's account and looks for the bases.", _directory, order=50),
    Probe("oidc", "OpenID Connect", "Reads the provider's description of itself.", _oidc, choices=_providers, order=60),
):
    registry.register_probe(_probe)
