"""The hub's numbers: read by those who operate it, and naming no tenant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from channels_app.models import Channel
from condahub.accounts import services
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import SYSTEM, Actor
from condahub.jobs import services as jobs
from condahub.ops import metrics

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel() -> Channel:
    organization = Organization.objects.create(name="secretive")
    return Channel.objects.create(organization=organization, name="hidden-treasure", used_bytes=4096)


def read(token: str = "", **meta: str) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = Client().get("/metrics", headers=headers, **meta)
    return answer.status_code, answer.content.decode()


def token_of(*, is_auditor: bool) -> str:
    user = User.objects.create(username="someone", is_auditor=is_auditor)
    return services.create_token(actor=Actor.of(user), name="metrics", scopes=["full"]).secret


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def test_strangers_read_nothing(channel: Channel, settings: Settings) -> None:
    assert read()[0] == 401
    assert read("wrong")[0] == 401
    settings.CONDAHUB_METRICS_ALLOW = ["10.1.0.0/16"]
    assert read(REMOTE_ADDR="10.2.0.1")[0] == 401


def test_a_person_without_the_role_reads_nothing(channel: Channel) -> None:
    assert read(token_of(is_auditor=False))[0] == 403


def test_an_auditor_the_one_token_and_allowed_addresses_read(channel: Channel, settings: Settings) -> None:
    assert read(token_of(is_auditor=True))[0] == 200
    settings.CONDAHUB_METRICS_TOKEN = "prometheus-reads-this"
    assert read("prometheus-reads-this")[0] == 200
    settings.CONDAHUB_METRICS_ALLOW = ["10.1.0.0/16"]
    assert read(REMOTE_ADDR="10.1.7.7")[0] == 200


def test_the_numbers_are_those_of_the_hub_and_name_nobody(channel: Channel, settings: Settings) -> None:
    jobs.enqueue(kind="channels.render", payload={}, lane="quick", actor_label=SYSTEM.label)
    settings.CONDAHUB_METRICS_ALLOW = ["127.0.0.1"]
    status, text = read()
    found = list(samples(text))
    assert status == 200
    assert ("condahub_channel_bytes", {"kind": "hosted", "visibility": "private"}, 4096) in found
    assert ("condahub_jobs_waiting", {"lane": "quick"}, 1) in found
    assert "hidden-treasure" not in text
    assert "secretive" not in text
    settings.CONDAHUB_METRICS_NAMES = True
    assert ("condahub_organization_channel_bytes", {"organization": "secretive"}, 4096) in list(samples(read()[1]))


def test_a_group_that_fails_is_told_and_keeps_no_other(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CONDAHUB_METRICS_ALLOW = ["127.0.0.1"]

    def broken() -> list[metrics.Metric]:
        raise ValueError("gone")

    monkeypatch.setitem(metrics._measures, "broken", broken)
    status, text = read()
    found = list(samples(text))
    assert status == 200
    assert ("condahub_metrics_failed", {"group": "broken"}, 1) in found
    assert any(name == "condahub_disk_free_bytes" and value > 0 for name, _, value in found)
