"""In maintenance all is read and nothing changed, whoever asks by whichever door; staff keep the admin; everybody reads the notice."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import reverse

from condahub.jobs.models import Job
from condahub.jobs.runner import run_one
from condahub.jobs.services import enqueue
from condahub.jobs.states import JobState
from condahub.maintenance import selectors
from tests.adminsite.conftest import browser
from tests.api.conftest import World

pytestmark = pytest.mark.django_db


def set_notice(staff: Client, **said: str) -> None:
    assert staff.post(reverse("admin:maintenance"), {"level": "info", **said}).status_code == 302
    selectors.forget()


def test_everybody_reads_the_notice(world: World, staff: Client) -> None:
    set_notice(staff, text="The store moves on <Friday>.")
    page = Client().get("/ui/channels").content.decode()
    assert "The store moves on &lt;Friday&gt;." in page
    for path in ("/accounts/login/", "/accounts/password/reset/"):
        assert "The store moves on &lt;Friday&gt;." in Client().get(path).content.decode()
    set_notice(staff, text="")
    assert "The store moves" not in Client().get("/ui/channels").content.decode()


def test_in_maintenance_nothing_is_changed_and_all_is_read(world: World, staff: Client) -> None:
    owner = browser(world.people["owner"])
    set_notice(staff, text="Back at noon.", read_only="on")
    assert "can be read and not changed" in owner.get("/ui/").content.decode()
    assert world.api("owner").client.get("/channels/inner/noarch/repodata.json").status_code == 200
    answer = world.api("owner")("PATCH", "channels/inner", {"description": "new"})
    assert answer.status_code == 503
    told = json.loads(answer.content)
    assert (told["code"], told["hint"]) == ("maintenance", "Back at noon.")
    assert int(answer.headers["Retry-After"]) > 0
    page = owner.post("/ui/channels/inner/settings", {"description": "new"})
    assert page.status_code == 503
    assert "Back at noon." in page.content.decode()
    for method, path in (
        ("PUT", "/channels/inner/noarch/x-1-0.conda"),
        ("POST", "/api/channels/inner/files/"),
        ("POST", "/api/v1/specification/"),
        ("POST", "/v2/acme/science/blobs/uploads/"),
        ("POST", "/pypi/inner/legacy/"),
        ("DELETE", "/api/hub/v1/channels/inner"),
    ):
        assert owner.generic(method, path).status_code == 503, path
    # The admin stays, and ends it.
    set_notice(staff, text="")
    assert world.api("owner")("PATCH", "channels/inner", {"description": "new"}).status_code == 200


def test_the_heavy_lane_waits_for_the_end_of_maintenance(world: World, staff: Client) -> None:
    job = enqueue(kind="hub.gc_dry_run", payload={})
    set_notice(staff, read_only="on")
    assert not run_one("heavy")
    set_notice(staff)
    assert run_one("heavy")
    assert Job.objects.get(pk=job.pk).state == JobState.DONE
