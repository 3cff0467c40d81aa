"""What the hub tells of by itself: tokens about to end, quotas, lanes without a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels_app.models import Channel
from condahub.accounts import services as accounts
from condahub.accounts.models import ApiToken
from condahub.accounts.policy import Actor
from condahub.events.models import Event, InboxItem
from condahub.events.services import upkeep, watching
from condahub.jobs import runner, schedules
from condahub.jobs.models import Job, WorkerBeat
from condahub.jobs.registry import kind_names
from condahub.jobs.states import Lane
from tests.events.conftest import World

pytestmark = pytest.mark.django_db
Tell = Callable[..., Any]


def token_for(world: World, who: str, days: int, *, made_days_ago: int = 100, owner: Any = None) -> ApiToken:
    actor = Actor.of(world.people[who])
    expires_at = timezone.now() + timedelta(days=days)
    token = accounts.create_token(actor=actor, name=f"in {days} days", scopes=["read"], expires_at=expires_at, owner=owner).token
    ApiToken.objects.filter(pk=token.pk).update(created_at=timezone.now() - timedelta(days=made_days_ago))
    return token


def told() -> list[tuple[str, str]]:
    return sorted(InboxItem.objects.values_list("user__username", "event__object_name"))


def test_the_owner_is_told_once_before_a_token_ends(world: World, tell: Tell) -> None:
    token_for(world, "reader", 6)
    token_for(world, "reader", 30)
    revoked = token_for(world, "reader", 5)
    accounts.revoke_token(actor=Actor.of(world.people["reader"]), token=revoked)
    token_for(world, "contributor", 3, made_days_ago=0)
    assert tell(watching.tell_expiring_tokens) == 1
    assert told() == [("reader", "in 6 days")]
    assert tell(watching.tell_expiring_tokens) == 0


def test_a_robots_token_is_told_to_the_owners_of_its_organization(world: World, tell: Tell) -> None:
    robot = accounts.create_robot(actor=Actor.of(world.people["owner"]), organization=world.acme, name="bot")
    token_for(world, "owner", 2, owner=robot)
    tell(watching.tell_expiring_tokens)
    assert told() == [("owner", "in 2 days")]


def test_owners_are_told_at_nine_tenths_and_when_it_is_used_up(world: World, tell: Tell) -> None:
    accounts.set_quota(actor=Actor.of(world.people["staff"]), organization=world.acme, quota_bytes=1000)
    world.acme.refresh_from_db()
    Channel.objects.filter(pk=world.outer.pk).update(used_bytes=0)
    steps = {899: [], 900: ["quota.near"], 950: ["quota.near"], 1000: ["quota.exceeded", "quota.near"]}
    for used, expected in steps.items():
        Channel.objects.filter(pk=world.inner.pk).update(used_bytes=used)
        tell(watching.tell_quotas)
        assert sorted(Event.objects.values_list("type", flat=True)) == expected, used
    assert {who for who, _ in told()} == {"owner"}
    assert "acme holds 90 % of its quota (900 of 1000 bytes)." in Event.objects.values_list("sentence", flat=True)


def beat(lane: Lane, *, up_for: int, silent_for: int = 0) -> None:
    now = timezone.now()
    WorkerBeat.objects.create(
        worker=f"{lane}@test",
        lane=lane,
        hostname="test",
        pid=1,
        slots=1,
        version="1",
        started_at=now - timedelta(seconds=up_for),
        seen_at=now - timedelta(seconds=silent_for),
    )


def test_staff_is_told_once_of_a_lane_that_is_silent(world: World, tell: Tell) -> None:
    beat(Lane.QUICK, up_for=600)
    beat(Lane.HEAVY, up_for=600, silent_for=119)
    assert not tell(lambda: watching.tell_silent_lane(Lane.HEAVY))
    WorkerBeat.objects.filter(lane=Lane.HEAVY).update(seen_at=timezone.now() - timedelta(seconds=121))
    assert tell(lambda: watching.tell_silent_lane(Lane.HEAVY))
    assert not tell(lambda: watching.tell_silent_lane(Lane.HEAVY))
    assert told() == [("it", "heavy"), ("root", "heavy")]


def test_a_hub_that_has_just_started_raises_no_alarm(world: World) -> None:
    beat(Lane.QUICK, up_for=60)
    assert not watching.tell_silent_lane(Lane.HEAVY)


def test_the_heavy_lane_tells_of_the_quick_one_in_its_place(world: World, tell: Tell) -> None:
    beat(Lane.HEAVY, up_for=600)
    schedules.enqueue_scheduled("silent quick lane")
    assert runner.drain("heavy") == 1
    assert told() == [("it", "quick"), ("root", "quick")]


def test_what_a_dead_process_left_behind_is_told(world: World) -> None:
    from tests.events.test_spreading import publish, subscribe

    subscribe(world, "reader")
    publish(world.inner)
    assert not Job.objects.filter(kind="events.deliver").exists()
    assert upkeep.catch_up() == ["events"]
    runner.drain("quick")
    assert told() == [("reader", "inside-1.0-0.conda")]
    assert upkeep.catch_up() == []


def test_every_schedule_of_events_can_run(world: World) -> None:
    names = [name for name, one in schedules._schedules.items() if one.kind.startswith("events.")]
    assert len(names) == 6
    for name in names:
        schedules.enqueue_scheduled(name)
    for lane in Lane:
        runner.drain(lane)
    jobs = Job.objects.filter(kind__startswith="events.")
    assert {job.kind for job in jobs} <= set(kind_names())
    assert {job.state for job in jobs} == {"done"}, [(job.kind, job.error_sentence) for job in jobs]
