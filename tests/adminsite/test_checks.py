"""The buttons of the checks say what works, with milliseconds, and no secret where something does not."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from condahub.accounts.policy import Actor
from condahub.adminsite.probes import try_one
from condahub.adminsite.registry import Probe
from condahub.audit.models import AuditEvent
from condahub.storage.blobs import blobs
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from tests.api.conftest import World

pytestmark = pytest.mark.django_db


def press(staff: Client, probe: str, **said: object) -> str:
    response = staff.post(reverse("admin:checks"), {"probe": probe, **said})
    assert response.status_code == 200
    page = response.content.decode()
    assert " ms</span>" in page
    return page


def test_what_the_hub_stands_on_is_tried(world: World, staff: Client) -> None:
    assert "answers." in press(staff, "database")
    before = len(list(blobs("upstream").iterate()))
    assert "were written, read and deleted" in press(staff, "store")
    assert len(list(blobs("upstream").iterate())) == before
    assert AuditEvent.objects.filter(action="hub.probe", target="store").count() == 1


def test_a_mail_goes_to_oneself(world: World, staff: Client, settings: Settings) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = True
    assert "no e-mail address" in press(staff, "mail")
    world.people["staff"].email = "it@example.org"
    world.people["staff"].save()
    assert "took a message to it@example.org" in press(staff, "mail")
    assert [message.to for message in mail.outbox] == [["it@example.org"]]


def test_what_is_not_set_up_says_so(world: World, staff: Client, settings: Settings) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = False
    assert "CONDAHUB_EMAIL_URL" in press(staff, "mail")
    assert "CONDAHUB_LDAP_URL" in press(staff, "directory")
    assert "Choose a provider" in press(staff, "oidc")


def test_a_mirrors_upstream_is_asked(world: World, staff: Client, settings: Settings, tmp_path: Path) -> None:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = ["127.0.0.0/8"]
    (tmp_path / "noarch").mkdir()
    (tmp_path / "noarch" / "repodata.json").write_text('{"packages": {}}')
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        mirror = create_mirror(
            actor=Actor.of(world.people["staff"]),
            organization=world.acme,
            name="copied",
            upstreams=[UpstreamSpec(url=url)],
            settings={"subdirs": ["noarch"]},
        )
        assert "answers with noarch/repodata.json" in press(staff, "upstreams", choice=mirror.pk)
        (tmp_path / "noarch" / "repodata.json").unlink()
        assert "has no index of noarch" in press(staff, "upstreams", choice=mirror.pk)
        server.shutdown()
    page = press(staff, "upstreams", choice=mirror.pk)
    assert "127.0.0.1" in page
    assert "hub-bad" in page


def test_what_a_library_says_is_not_repeated(world: World) -> None:
    def leak(actor: Actor, choice: str) -> str:
        raise RuntimeError("postgres://hub:secret@db/hub")

    tried = try_one(Probe("x", "X", "", leak), Actor.of(world.people["staff"]), "")
    assert not tried.good
    assert "secret" not in tried.sentence
