"""Who is told: subscribers, those it concerns, and nobody who may not read what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from channels_app.models import Channel
from condahub.accounts import services as accounts
from condahub.accounts.models import Grant
from condahub.accounts.permissions import HUB
from condahub.accounts.policy import Actor
from condahub.errors import Conflict, Forbidden, Unprocessable
from condahub.events import selectors, services, types
from condahub.events.models import Event, InboxItem
from condahub.events.services import upkeep
from condahub.events.types import known_types
from condahub.jobs.models import Job
from tests.events.conftest import World

pytestmark = pytest.mark.django_db
Tell = Callable[..., Any]


def publish(channel: Channel, name: str = "inside", **more: Any) -> Event | None:
    """What publishing will emit."""
    payload = {"channel": channel.name, "version": "1.0"}
    return services.emit(type="package.published", target=channel.target(name), object_name=f"{name}-1.0-0.conda", payload=payload, **more)


def subscribe(world: World, who: str, *names: str, **more: Any) -> None:
    services.subscribe(actor=Actor.of(world.people[who]), types=names or ["*"], way="inbox", **more)


def inbox(world: World, who: str) -> list[str]:
    return [item.event.object_name for item in selectors.inbox_of(Actor.of(world.people[who])).order_by("id")]


def test_an_event_is_kept_with_its_sentence_or_not_at_all(world: World) -> None:
    event = publish(world.inner, actor=Actor.of(world.people["owner"]))
    assert event is not None and event.sentence == "owner published inside-1.0-0.conda in inner."
    assert (event.organization_id, event.channel_id, event.package_name) == (world.acme.pk, world.inner.pk, "inside")
    with transaction.atomic():
        publish(world.inner)
        transaction.set_rollback(True)
    assert Event.objects.count() == 1


def test_a_payload_without_what_the_sentence_needs_is_a_fault_of_the_program(world: World) -> None:
    with pytest.raises(ValueError, match="needs channel"):
        services.emit(type="package.published", target=world.inner, object_name="x")
    with pytest.raises(LookupError):
        services.emit(type="package.eaten", target=world.inner, object_name="x")


def test_no_secret_and_no_line_break_comes_in(world: World) -> None:
    secret = world.secret("owner")
    payload = {"reason": f"GET /t/{secret}/x\nforged", "password": "hunter2"}
    event = services.emit(type="mirror.failed", target=world.inner, object_name="up\nstream", payload=payload)
    assert event is not None
    kept = f"{event.sentence} {event.object_name} {event.payload}"
    assert secret not in kept and "hunter2" not in kept and "\n" not in event.sentence + event.object_name


def test_an_event_with_a_key_happens_once(world: World) -> None:
    assert publish(world.inner, once_key="k") is not None
    assert publish(world.inner, once_key="k") is None
    assert Event.objects.count() == 1


def test_a_subscriber_finds_it_in_the_inbox_once(world: World, tell: Tell) -> None:
    subscribe(world, "reader", "package.published")
    tell(lambda: publish(world.inner))
    assert inbox(world, "reader") == ["inside-1.0-0.conda"]
    Event.objects.update(spread_at=None)
    tell(lambda: publish(world.inner, "other"))
    assert inbox(world, "reader") == ["inside-1.0-0.conda", "other-1.0-0.conda"]
    assert not Event.objects.filter(spread_at=None).exists()


def test_many_events_are_told_by_one_job(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    before = Job.objects.count()
    tell(lambda: [publish(world.inner, f"p{number}") for number in range(120)])
    assert len(inbox(world, "reader")) == 120
    assert Job.objects.count() == before + 1


def test_types_and_places_narrow_what_is_told(world: World, tell: Tell) -> None:
    subscribe(world, "reader", "channel.deleted")
    subscribe(world, "contributor", on=world.outer.access_target)
    subscribe(world, "maintainer", on=world.acme.access_target)
    tell(lambda: (publish(world.inner), publish(world.outer, "open")))
    assert inbox(world, "reader") == []
    assert inbox(world, "contributor") == ["open-1.0-0.conda"]
    assert inbox(world, "maintainer") == ["inside-1.0-0.conda", "open-1.0-0.conda"]


def test_nobody_is_told_of_what_he_may_not_read(world: World, tell: Tell) -> None:
    subscribe(world, "outsider")
    tell(lambda: (publish(world.inner), publish(world.outer, "open")))
    assert inbox(world, "outsider") == ["open-1.0-0.conda"]
    with pytest.raises(Forbidden):
        subscribe(world, "outsider", on=world.acme.access_target)


def test_rights_count_as_they_are_when_it_is_told(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    subscribe(world, "outsider")
    publish(world.inner)
    publish(world.outer, "open")
    Grant.objects.filter(user=world.people["reader"]).delete()
    Channel.objects.filter(pk=world.outer.pk).update(visibility="private")
    tell(upkeep.catch_up)
    assert not Event.objects.filter(spread_at=None).exists()
    assert InboxItem.objects.filter(user__username__in=["reader", "outsider"]).count() == 0


def test_who_lost_the_right_finds_the_inbox_without_it(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    tell(lambda: (publish(world.inner), publish(world.outer, "open")))
    assert len(inbox(world, "reader")) == 2
    Grant.objects.filter(user=world.people["reader"]).delete()
    assert inbox(world, "reader") == []


def test_a_deactivated_account_is_told_nothing(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    accounts.deactivate_user(actor=Actor.of(world.people["admin"]), user=world.people["reader"])
    tell(lambda: publish(world.outer))
    assert InboxItem.objects.count() == 0


def test_those_who_can_mend_it_are_told_without_asking(world: World, tell: Tell) -> None:
    tell(lambda: services.emit(type="mirror.failed", target=world.inner, object_name="inner", payload={"reason": "404."}))
    told = set(InboxItem.objects.values_list("user__username", flat=True))
    assert told == {"maintainer", "owner"}


def test_the_hubs_own_troubles_are_told_to_staff_alone(world: World, tell: Tell) -> None:
    for who in ("owner", "outsider"):
        subscribe(world, who)
    tell(lambda: services.emit(type="worker.silent", target=HUB, object_name="heavy"))
    assert set(InboxItem.objects.values_list("user__username", flat=True)) == {"root", "it"}
    assert inbox(world, "staff") == ["heavy"]


def test_what_is_for_one_person_is_told_to_nobody_else(world: World, tell: Tell) -> None:
    subscribe(world, "staff")
    payload = {"owner": "reader", "expires_at": "2030-01-01"}
    tell(lambda: services.emit(type="token.expiring", target=HUB, object_name="ci", payload=payload, only_for=world.people["reader"].pk))
    assert inbox(world, "reader") == ["ci"] and InboxItem.objects.count() == 1


def test_the_asker_is_told_the_answer_as_far_as_he_may_read(world: World, tell: Tell) -> None:
    people = [world.people[who].pk for who in ("reader", "outsider")]
    payload = {"channel": "inner", "answer": "approved", "reason": "Fine."}
    tell(lambda: services.emit(type="request.answered", target=world.inner, object_name="numpy", payload=payload, tell=people))
    assert inbox(world, "reader") == ["numpy"] and inbox(world, "outsider") == []


def test_an_event_of_a_type_unknown_here_waits_and_holds_nobody_up(world: World, tell: Tell) -> None:
    subscribe(world, "reader")
    publish(world.inner)
    newer = Event.objects.create(
        type="newer.type", severity="info", object_type="x", object_name="x", sentence="x", organization=world.acme
    )
    tell(lambda: publish(world.inner, "other"))
    assert len(inbox(world, "reader")) == 2
    newer.refresh_from_db()
    assert newer.spread_at is None


def test_only_known_types_and_ways_can_be_asked_for(world: World) -> None:
    with pytest.raises(Unprocessable) as unknown:
        subscribe(world, "reader", "package.eaten")
    assert "package.published" in unknown.value.hint
    reader = Actor.of(world.people["reader"])
    with pytest.raises(Conflict) as off:
        services.subscribe(actor=reader, types=["*"], way="email")
    assert off.value.code == "no_mail"
    with pytest.raises(Unprocessable):
        services.subscribe(actor=reader, types=["*"], way="webhook")


def test_every_type_has_a_sentence_of_its_own() -> None:
    assert len(known_types()) >= 14
    for one in known_types():
        assert one.told(dict.fromkeys(one.fields, "x")).count("x") >= 1 and one.description.endswith(".")
        with pytest.raises(ValueError, match="registered twice"):
            types.register(types.EventType(one.name, "x", "x", "x", one.needed))
