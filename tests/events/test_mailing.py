"""E-mail: one message for what comes together, as long as it may be told, and nothing lost while the server is down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from pytest_django.fixtures import Settings

from condahub.accounts.models import Grant, User
from condahub.accounts.policy import Actor
from condahub.errors import Conflict
from condahub.events import selectors, services
from condahub.events.models import InboxItem, MailState
from condahub.events.services import upkeep
from condahub.jobs import runner
from condahub.jobs.models import Job
from tests.events.conftest import World
from tests.events.test_spreading import publish

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mailing")]
Tell = Callable[..., Any]


@pytest.fixture
def reader(world: World) -> Actor:
    user = world.people["reader"]
    user.email = "reader@example.org"
    user.save()
    services.subscribe(actor=Actor.of(user), types=["package.published"], way="email")
    return Actor.of(user)


def test_what_comes_together_is_one_mail(world: World, reader: Actor, tell: Tell) -> None:
    tell(lambda: [publish(world.inner, name) for name in ("one", "two", "three")])
    assert len(mail.outbox) == 1
    message = mail.outbox[0]
    assert message.to == ["reader@example.org"]
    assert message.subject == "[condahub] the hub published one-1.0-0.conda in inner. And 2 more."
    assert all(f"{name}-1.0-0.conda" in message.body for name in ("one", "two", "three"))
    assert message.extra_headers["Auto-Submitted"] == "auto-generated"
    assert not selectors.inbox_of(reader).exists()


def test_a_mail_speaks_its_readers_language(world: World, reader: Actor, tell: Tell) -> None:
    User.objects.filter(pk=reader.user_id).update(language="de")
    tell(lambda: [publish(world.inner, name) for name in ("one", "two")])
    message = mail.outbox[0]
    assert message.subject == "[condahub] der Hub hat one-1.0-0.conda in inner veröffentlicht. Und 1 weitere."
    assert message.body.startswith("Hallo ") and "Benachrichtigungen auf dem Hub" in message.body


def test_a_right_that_is_gone_by_then_stops_the_mail(world: World, reader: Actor, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("condahub.events.services.spreading.GATHER_MAIL_SECONDS", 60)
    tell(lambda: publish(world.inner))
    Grant.objects.filter(user=reader.user).delete()
    Job.objects.update(run_after="2020-01-01T00:00Z")
    tell()
    assert mail.outbox == []
    assert InboxItem.objects.get().mail == MailState.NONE


def test_while_the_server_is_down_it_stays_due(world: World, reader: Actor, tell: Tell, settings: Settings) -> None:
    backend = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1", 1
    tell(lambda: publish(world.inner))
    job = Job.objects.get(kind="events.mail")
    assert (job.state, job.error_code) == ("waiting", "unavailable")
    Job.objects.filter(pk=job.pk).update(state="failed")
    settings.EMAIL_BACKEND = backend
    InboxItem.objects.get().event.__class__.objects.update(at="2020-01-01T00:00Z")
    assert upkeep.catch_up() == ["mail"]
    runner.drain("quick")
    assert len(mail.outbox) == 1 and InboxItem.objects.get().mail == MailState.SENT


def test_without_mail_it_lies_in_the_inbox(world: World, reader: Actor, tell: Tell, settings: Settings) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = False
    tell(lambda: publish(world.inner))
    assert mail.outbox == [] and selectors.inbox_of(reader).count() == 1


def test_an_account_without_an_address_cannot_ask_for_mail(world: World) -> None:
    with pytest.raises(Conflict) as refused:
        services.subscribe(actor=Actor.of(world.people["contributor"]), types=["*"], way="email")
    assert refused.value.code == "no_address"
