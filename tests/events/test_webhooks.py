"""Webhooks: signed, retried, never to where they must not go, and never of another organization."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels_app.models import Channel
from condahub.accounts import services as accounts
from condahub.accounts.policy import Actor
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, Forbidden
from condahub.events import selectors, services
from condahub.events.models import Delivery, DeliveryState, Event, InboxItem, Webhook
from condahub.events.services import sending, upkeep
from condahub.events.services.webhooks import NewWebhook
from condahub.net.guard import AddressRefused
from condahub.ops import doctor
from tests.events.conftest import Receiver, World
from tests.events.test_docs import verify_of_the_docs
from tests.events.test_spreading import publish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("near")]
Tell = Callable[..., Any]


def make(world: World, url: str, *types: str, **more: Any) -> NewWebhook:
    owner = Actor.of(world.people["owner"])
    return services.create_webhook(
        actor=owner, organization=world.acme, name=f"hook-{Webhook.objects.count()}", url=url, types=types or ["*"], **more
    )


def again() -> None:
    """Let the pauses pass."""
    Delivery.objects.update(next_attempt_at=timezone.now())
    Webhook.objects.update(quiet_until=timezone.now())


def test_a_delivery_is_signed_as_the_documentation_says(world: World, receiver: Receiver, tell: Tell) -> None:
    made = make(world, receiver.url)
    tell(lambda: publish(world.inner, actor=Actor.of(world.people["owner"])))
    (request,) = receiver.received
    event, delivery = Event.objects.get(), Delivery.objects.get()
    assert verify_of_the_docs()(made.secret, request.headers, request.body)
    assert not verify_of_the_docs()("chub-hook-other", request.headers, request.body)
    assert not verify_of_the_docs()(made.secret, request.headers, request.body + b" ")
    assert request.path == "/hook?key=in-the-url"
    assert request.headers["X-Condahub-Event"] == "package.published"
    assert request.headers["X-Condahub-Delivery"] == str(delivery.number)
    assert abs(int(request.headers["X-Condahub-Timestamp"]) - time.time()) < 30
    assert request.json == {
        "id": event.pk,
        "type": "package.published",
        "severity": "info",
        "at": event.at.isoformat(),
        "sentence": "owner published inside-1.0-0.conda in inner.",
        "organization": "acme",
        "object": {"type": "package", "id": None, "name": "inside-1.0-0.conda"},
        "actor": "owner",
        "payload": {"channel": "inner", "version": "1.0"},
    }
    assert (delivery.state, delivery.attempts, delivery.response_status, delivery.error) == ("delivered", 1, 204, "")


def test_a_flaky_receiver_gets_it_in_the_end_with_the_same_number(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url)
    receiver.answers = [500, 302]
    tell(lambda: publish(world.inner))
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.error) == ("waiting", 1, "The receiver answered 500.")
    assert timedelta(seconds=5) < delivery.next_attempt_at - timezone.now() < timedelta(seconds=11)
    assert Webhook.objects.get().failing_since is not None
    for expected in ("The receiver answered 302: redirects are not followed.", ""):
        again()
        sending.send_due()
        assert Delivery.objects.get().error == expected
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    assert len(receiver.received) == 3 and len({one.headers["X-Condahub-Delivery"] for one in receiver.received}) == 1
    webhook = Webhook.objects.get()
    assert (webhook.failures, webhook.failing_since) == (0, None)


def test_retries_come_later_and_later_and_end(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url)
    receiver.answers = [503] * 20
    tell(lambda: publish(world.inner))
    pauses = []
    while (delivery := Delivery.objects.get()).state == DeliveryState.WAITING:
        assert delivery.attempted_at is not None
        pauses.append(round((delivery.next_attempt_at - delivery.attempted_at).total_seconds()))
        again()
        sending.send_due()
    assert pauses == [10, 40, 160, 640, 2560, 3600, 3600, 3600]
    assert (delivery.state, len(receiver.received)) == (DeliveryState.FAILED, 9)
    again()
    sending.send_due()
    assert len(receiver.received) == 9


def test_a_receiver_that_fails_is_not_knocked_at_for_every_event(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url)
    receiver.answers = [500]
    tell(lambda: [publish(world.inner, f"p{number}") for number in range(30)])
    assert len(receiver.received) == 1
    again()
    tell(sending.send_due)
    assert Delivery.objects.filter(state=DeliveryState.DELIVERED).count() == 30
    assert len(receiver.received) == 31


def test_a_job_waits_for_the_next_attempt(world: World, receiver: Receiver, tell: Tell) -> None:
    from condahub.jobs.models import Job

    make(world, receiver.url)
    receiver.answers = [500]
    tell(lambda: publish(world.inner))
    waiting = Job.objects.get(kind="events.webhook", state="waiting")
    assert waiting.run_after == selectors.next_due_at()


def test_a_private_address_is_refused_at_the_door_and_at_every_sending(
    world: World, receiver: Receiver, tell: Tell, settings: Settings
) -> None:
    made = make(world, receiver.url)
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = []
    with pytest.raises(AddressRefused):
        make(world, receiver.url)
    with pytest.raises(AddressRefused):
        services.update_webhook(actor=Actor.of(world.people["owner"]), webhook=made.webhook, url="http://localhost:1/")
    tell(lambda: publish(world.inner))
    assert receiver.received == []
    assert "not public" in Delivery.objects.get().error


def test_a_webhook_hears_of_its_own_organization_alone(world: World, receiver: Receiver, tell: Tell) -> None:
    other = accounts.create_organization(actor=Actor.of(world.people["staff"]), name="other", owner=world.people["outsider"])
    outsider = Actor.of(world.people["outsider"])
    services.create_webhook(actor=outsider, organization=other, name="theirs", url=receiver.url, types=["*"])
    with pytest.raises(Forbidden):
        services.create_webhook(actor=outsider, organization=world.acme, name="x", url=receiver.url, types=["*"])
    with pytest.raises(Forbidden):
        services.create_webhook(actor=outsider, organization=other, name="x", url=receiver.url, types=["*"], on=world.outer.access_target)
    tell(lambda: (publish(world.inner), publish(world.outer)))
    assert receiver.received == [] and not Delivery.objects.exists()


def test_what_moved_to_another_organization_is_not_sent_any_more(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url)
    receiver.answers = [500]
    tell(lambda: publish(world.inner))
    other = accounts.create_organization(actor=Actor.of(world.people["staff"]), name="other")
    Channel.objects.filter(pk=world.inner.pk).update(organization=other)
    again()
    sending.send_due()
    assert len(receiver.received) == 1
    assert (Delivery.objects.get().state, Delivery.objects.get().attempts) == ("failed", 1)


def test_nothing_is_sent_for_a_deleted_organization(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url)
    publish(world.outer)
    accounts.delete_organization(actor=Actor.of(world.people["staff"]), organization=world.acme)
    tell(upkeep.catch_up)
    assert receiver.received == []
    assert Delivery.objects.get().error == "The organization may not be told of this any more."


def test_one_can_be_tried_and_sent_again_by_hand(world: World, receiver: Receiver, tell: Tell) -> None:
    owner, made = Actor.of(world.people["owner"]), make(world, receiver.url, "channel.deleted")
    tell(lambda: services.send_test(actor=owner, webhook=made.webhook))
    assert receiver.received[0].json["type"] == "webhook.test"
    assert not InboxItem.objects.exists()
    first = Delivery.objects.get()
    tell(lambda: services.redeliver(actor=owner, delivery=first))
    assert len(receiver.received) == 2
    assert receiver.received[0].json["id"] == receiver.received[1].json["id"]
    assert receiver.received[0].headers["X-Condahub-Delivery"] != receiver.received[1].headers["X-Condahub-Delivery"]
    services.redeliver(actor=owner, delivery=first)
    with pytest.raises(Conflict):
        services.redeliver(actor=owner, delivery=first)
    services.update_webhook(actor=owner, webhook=made.webhook, is_active=False)
    with pytest.raises(Conflict):
        services.send_test(actor=owner, webhook=made.webhook)


def test_a_rotated_secret_signs_from_then_on(world: World, receiver: Receiver, tell: Tell) -> None:
    made = make(world, receiver.url)
    fresh = services.rotate_secret(actor=Actor.of(world.people["owner"]), webhook=made.webhook)
    tell(lambda: publish(world.inner))
    assert fresh.secret != made.secret
    assert verify_of_the_docs()(fresh.secret, receiver.received[0].headers, receiver.received[0].body)


def test_neither_secret_nor_url_is_written_anywhere_else(world: World, receiver: Receiver, tell: Tell) -> None:
    made = make(world, receiver.url)
    services.rotate_secret(actor=Actor.of(world.people["owner"]), webhook=made.webhook)
    tell(lambda: services.send_test(actor=Actor.of(world.people["owner"]), webhook=made.webhook))
    assert made.secret not in Webhook.objects.get().sealed_secret
    written = str(list(AuditEvent.objects.values())) + str(list(Delivery.objects.values())) + str(list(Event.objects.values()))
    assert "webhook.create" in written and "127.0.0.1" in written
    assert "in-the-url" not in written and made.secret not in written


def test_secrets_are_sealed_anew_when_the_key_changes(world: World, receiver: Receiver, tell: Tell, settings: Settings) -> None:
    made = make(world, receiver.url)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another key " * 5
    assert upkeep.reseal() == 1 and upkeep.reseal() == 0
    settings.SECRET_KEY_FALLBACKS = []
    tell(lambda: publish(world.inner))
    assert verify_of_the_docs()(made.secret, receiver.received[0].headers, receiver.received[0].body)
    settings.SECRET_KEY = "lost " * 12
    tell(lambda: publish(world.inner, "other"))
    lost = Delivery.objects.latest("id")
    assert lost.state == DeliveryState.FAILED and "secret key has changed" in lost.error


def test_after_a_week_of_failures_it_is_paused_and_the_owners_are_told(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url, "package.published")
    receiver.answers = [500]
    Webhook.objects.update(failing_since=timezone.now() - timedelta(days=8), failures=50)
    assert any(report.name == "webhooks" and report.finding.level == "warning" for report in doctor.examine())
    tell(lambda: publish(world.inner))
    webhook = Webhook.objects.get()
    assert not webhook.is_active
    tell()
    assert list(InboxItem.objects.values_list("user__username", "event__type")) == [("owner", "webhook.paused")]
    services.update_webhook(actor=Actor.of(world.people["owner"]), webhook=webhook, is_active=True)
    assert Webhook.objects.get().failing_since is None


def test_slow_receivers_hold_up_nobody_elses(world: World, receiver: Receiver, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(sending, "REQUEST_SECONDS", 1.0)
    other = accounts.create_organization(actor=Actor.of(world.people["staff"]), name="other", owner=world.people["outsider"])
    channel = Channel.objects.create(organization=other, name="theirs")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for _ in range(sending.MAX_IN_FLIGHT_OF_ONE + 2):
            make(world, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        services.create_webhook(actor=Actor.of(world.people["outsider"]), organization=other, name="quick", url=receiver.url, types=["*"])
        started = time.monotonic()
        tell(lambda: (publish(world.inner), publish(channel)))
    assert time.monotonic() - started < 6
    quick = Delivery.objects.get(webhook__name="quick")
    slow = Delivery.objects.filter(webhook__organization=world.acme)
    assert quick.state == DeliveryState.DELIVERED and quick.attempted_at is not None
    assert all(one.attempts == 1 and "did not answer" in one.error and one.attempted_at > quick.attempted_at for one in slow)


def test_the_log_is_kept_for_thirty_days(world: World, receiver: Receiver, tell: Tell) -> None:
    make(world, receiver.url)
    tell(lambda: (publish(world.inner), publish(world.inner, "old")))
    old = Delivery.objects.earliest("id")
    Delivery.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    Event.objects.filter(pk=old.event_id).update(at=timezone.now() - timedelta(days=181))
    assert upkeep.prune() == {"deliveries": 1, "events": 1}
    assert Delivery.objects.count() == Event.objects.count() == 1
