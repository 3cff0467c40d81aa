"""What a person who keeps a mirror sees of it in the portal."""

from __future__ import annotations

import pytest
from django.test import Client

from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.jobs.runner import drain
from mirrors_app.models import Mirror, SyncRun
from mirrors_app.portal import words
from mirrors_app.services import runs
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from tests.mirrors_app.core.upstream_server import UpstreamServer


@pytest.fixture
def mirror(hub: None, staff: Actor, organization: Organization, server: UpstreamServer) -> Mirror:
    settings = {
        "mode": "filtered",
        "subdirs": ["linux-64", "noarch"],
        "filters": {"exclude": ["tool >=2"]},
        "schedule": "30 2 * * 1-5",
        "time_zone": "Europe/Berlin",
    }
    return create_mirror(actor=staff, organization=organization, name="inside", upstreams=[UpstreamSpec(url=server.url)], settings=settings)


@pytest.fixture
def page(staff: Actor) -> Client:
    assert staff.user
    client = Client()
    client.force_login(staff.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("30 2 * * 1-5", "At 02:30, Monday through Friday"),
        ("0 */6 * * *", "Every 6 hours"),
        ("0 3 L * *", "At 03:00, on the last day of the month"),
        ("anything else", "anything else"),
    ],
)
def test_a_schedule_is_put_into_words(expression: str, said: str) -> None:
    assert words.cron_in_words(expression) == said


def test_every_page_of_a_mirror_opens(mirror: Mirror, page: Client, staff: Actor) -> None:
    runs.run_now(actor=staff, mirror=mirror)
    plan = runs.ask_plan(actor=staff, mirror=mirror, filters={"include": ["base"]})
    drain("heavy")
    run = SyncRun.objects.get()
    base = f"/ui/channels/{mirror.channel.name}/mirror"
    for address, shown in (
        ("/ui/mirrors", "inside"),
        (base, "At 02:30, Monday through Friday (Europe/Berlin)"),
        (f"{base}/settings", "30 2 * * 1-5"),
        (f"{base}/runs/{run.pk}", "base-1.0-0.conda"),
        (f"{base}/plans/{plan.pk}", "would"),
    ):
        answer = page.get(address)
        assert answer.status_code == 200, address
        assert shown in answer.content.decode(), address
