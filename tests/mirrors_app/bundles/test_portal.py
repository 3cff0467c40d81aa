"""Bundles in the portal: made and fetched, and looked at before they change anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from channels_app.models import Channel, PackageFile
from channels_app.services.publish import Published
from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from mirrors_app.bundles import exporting, importing
from mirrors_app.models import BundleExport, BundleImport
from tests.mirrors_app.bundles.conftest import Exporter, Importer
from tests.queries import counted

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(staff: Actor) -> Client:
    client = Client()
    client.force_login(User.objects.get(username="it"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def _text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, (path, response.content[-1500:])
    return response.content.decode()


def test_a_bundle_is_made_and_fetched(client: Client, outside: Channel, key: str, push: Callable[..., Published]) -> None:
    push(name="hello", version="1.0")
    assert client.post("/ui/channels/tools/bundles/export", {"since": "", "part_mib": ""}).status_code == 302
    assert "Waiting" in _text(client, "/ui/channels/tools/bundles")
    exporting.run_export(BundleExport.objects.select_related("channel__organization", "stream", "key").get())
    told = _text(client, "/ui/channels/tools/bundles")
    found = re.search(r"/api/hub/v1/exports/\d+/files/manifest.json", told)
    assert found and client.get(found[0]).status_code == 200
    with counted("portal bundles"):
        _text(client, "/ui/channels/tools/bundles")
    client.post("/ui/channels/tools/bundles/export", {"delete": BundleExport.objects.get().pk})
    assert BundleExport.objects.get().state == "deleted"
    assert client.post("/ui/channels/tools/bundles/export", {"delete": "x"}).status_code == 302


def test_what_a_bundle_would_change_is_seen_first(
    client: Client,
    outside: Channel,
    inside: Channel,
    push: Callable[..., Published],
    carry_out: Exporter,
    carry_in: Importer,
    tmp_path: Path,
    settings: Any,
) -> None:
    settings.CONDAHUB_BUNDLE_FOLDERS = [str(tmp_path)]
    push(name="hello", version="1.0")
    carry_in(carry_out())
    since = Channel.objects.get(pk=outside.pk).head
    push(name="world", version="2.0")
    outside_folder = carry_out(since=since)
    assert client.post("/ui/channels/inner/bundles/import", {"folder": "/etc"}).status_code == 302
    assert "no such folder among those" in _text(client, "/ui/channels/inner/bundles")
    begun = client.post("/ui/channels/inner/bundles/import", {"folder": str(outside_folder)})
    told = _text(client, begun["Location"])
    assert "noarch/world-2.0-0.conda" in told and "noarch/hello-1.0-0.conda" not in told
    assert not PackageFile.objects.filter(channel=inside, name="world").exists(), "nothing is changed by looking"
    assert client.post(begun["Location"], {"verb": "run"}).status_code == 302
    taken = BundleImport.objects.select_related("channel__organization").order_by("-pk")[0]
    importing.run_import(taken)
    assert "shows it" in _text(client, begun["Location"])
    assert client.get(f"/ui/channels/tools/bundles/imports/{taken.pk}").status_code == 422, "another channel's page"
