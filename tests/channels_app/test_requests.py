"""Asking for what is not shown: why it is missing is found out, only who may answers, and what waits goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app import doors, showing
from channels_app.models import Channel, Missing, PackageFile, PackageRequest, RequestState, Waiver
from channels_app.services import requests
from channels_app.services.channels import create_channel
from channels_app.services.policies import set_policy
from channels_app.services.scopes import Scope
from condahub.accounts import services as accounts
from condahub.accounts.models import User
from condahub.accounts.policy import SYSTEM, Actor
from condahub.errors import Conflict, Forbidden, NotAuthenticated, Unprocessable
from condahub.events.models import Event
from condahub.jobs.runner import drain
from tests.channels_app.conftest import Publisher

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def users() -> dict[str, User]:
    return {name: accounts.create_user(actor=SYSTEM, username=name) for name in ("owner", "maintainer", "reader", "outsider")}


@pytest.fixture
def people(users: dict[str, User]) -> dict[str, Actor]:
    return {name: Actor.of(user) for name, user in users.items()}


@pytest.fixture
def shop(staff: Actor, users: dict[str, User], push: Publisher) -> Channel:
    """A private channel with `fresh` held and `viral` denied by its own rules, and `free` shown."""
    organization = accounts.create_organization(actor=staff, name="shop", owner=users["owner"])
    for role in ("maintainer", "reader"):
        accounts.grant(actor=Actor.of(users["owner"]), on=organization, role=role, user=users[role])
    channel = create_channel(actor=staff, organization=organization, name="goods", visibility="private")
    rules = {"names": {"denied": ["fresh*"], "effect": "hold"}, "licenses": {"denied": ["GPL*"]}}
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules=rules)
    push(channel, name="free", extra_index={"license": "MIT"})
    push(channel, name="fresh", extra_index={"license": "MIT"})
    push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    return channel


def ask(actor: Actor, channel: Channel, spec: str, **more: str) -> PackageRequest:
    return requests.ask(actor=actor, channel=channel, spec=spec, reason="For the report.", **more)[0]


@pytest.mark.parametrize(
    ("spec", "said", "missing"),
    [
        ("fresh", "", Missing.HELD),
        ("viral >=1", "not_mirrored", Missing.DENIED),
        ("absent", "", Missing.NOT_MIRRORED),
        ("absent =2", "filtered", Missing.FILTERED),
        ("viral ==7", "", Missing.NOT_MIRRORED),
    ],
)
def test_why_a_package_is_missing_is_found_out(people: dict[str, Actor], shop: Channel, spec: str, said: str, missing: str) -> None:
    assert ask(people["reader"], shop, spec, missing=said).missing == missing


def test_asking_again_is_the_same_request_and_what_is_there_is_not_asked_for(people: dict[str, Actor], shop: Channel) -> None:
    first = ask(people["reader"], shop, "fresh")
    again, is_new = requests.ask(actor=people["reader"], channel=shop, spec="fresh", reason="Still.")
    assert (again.pk, is_new) == (first.pk, False)
    assert ask(people["maintainer"], shop, "fresh").pk != first.pk
    with pytest.raises(Conflict) as refused:
        ask(people["reader"], shop, "free")
    assert refused.value.code == "is_there"
    for spec in ("num*", "", "free[channel=x]"):
        with pytest.raises(Unprocessable):
            ask(people["reader"], shop, spec)


def test_outsiders_neither_ask_nor_learn_of_requests(people: dict[str, Actor], shop: Channel) -> None:
    made = ask(people["reader"], shop, "fresh")
    with pytest.raises(Forbidden):
        ask(people["outsider"], shop, "fresh")
    with pytest.raises(NotAuthenticated):
        ask(Actor.anonymous(), shop, "fresh")
    assert not showing.requests_seen_by(people["outsider"]).exists()
    with pytest.raises(Forbidden):
        showing.request_for(people["outsider"], made.pk)
    for name in ("reader", "maintainer", "owner"):
        assert showing.request_for(people[name], made.pk) == made


def test_an_approval_shows_it_until_it_ends_and_resumes_what_waits(
    people: dict[str, Actor], shop: Channel, resumed: list[tuple[str, str]]
) -> None:
    made = ask(people["reader"], shop, "viral", resume="build:17")
    until = timezone.now() + timedelta(days=30)
    with pytest.raises(Forbidden):
        requests.approve(actor=people["reader"], request=made, expires_at=until)
    with pytest.raises(Unprocessable):
        requests.approve(actor=people["maintainer"], request=made, expires_at=timezone.now())
    done = requests.approve(actor=people["maintainer"], request=made, expires_at=until, answer="For this month.")
    assert (done.state, done.answered_by, done.expires_at) == (RequestState.APPROVED, "maintainer", until)
    drain("quick")
    doors.forget_all()
    assert PackageFile.objects.get(name="viral").verdict == "allow"
    (waiver,) = Waiver.objects.all()
    assert (waiver.level, waiver.rule, waiver.expires_at) == ("channel", "licenses", until) and "reader" in waiver.reason
    assert resumed == [("build:17", "approved")]
    with pytest.raises(Conflict):
        requests.refuse(actor=people["owner"], request=made, answer="Too late.")
    assert list(Event.objects.filter(type__startswith="request.").order_by("pk").values_list("type", flat=True)) == [
        "request.asked",
        "request.answered",
    ]


def test_a_wider_rule_needs_its_own_keeper(staff: Actor, people: dict[str, Actor], shop: Channel) -> None:
    set_policy(actor=staff, scope=Scope.of_installation(), rules={"licenses": {"denied": ["GPL*"]}})
    made = ask(people["reader"], shop, "viral")
    until = timezone.now() + timedelta(days=1)
    with pytest.raises(Forbidden) as refused:
        requests.approve(actor=people["owner"], request=made, expires_at=until)
    assert refused.value.code == "not_the_keeper" and "installation" in refused.value.detail
    assert PackageRequest.objects.get().state == RequestState.ASKED and not Waiver.objects.exists()
    requests.approve(actor=staff, request=made, expires_at=until)
    assert {one.level for one in Waiver.objects.all()} == {"installation", "channel"}
    assert all(one.channel == shop for one in Waiver.objects.all()), "for this channel alone"


def test_a_refusal_needs_a_sentence_and_waives_nothing(people: dict[str, Actor], shop: Channel, resumed: list[tuple[str, str]]) -> None:
    made = ask(people["reader"], shop, "fresh", resume="build:3")
    with pytest.raises(Unprocessable):
        requests.refuse(actor=people["maintainer"], request=made, answer="  ")
    done = requests.refuse(actor=people["maintainer"], request=made, answer="Use free.")
    assert (done.state, done.answer) == (RequestState.REFUSED, "Use free.")
    assert resumed == [("build:3", "refused")] and not Waiver.objects.exists()


@pytest.fixture
def resumed() -> Iterator[list[tuple[str, str]]]:
    """What a listener of another app was told: (resume, state)."""
    told: list[tuple[str, str]] = []
    requests.on_answer("test", lambda request: told.append((request.resume, request.state)))
    yield told
    requests._listeners.pop("test")


def test_hidden_packages_are_told_with_all_that_it_should_know(people: dict[str, Actor], shop: Channel, push: Publisher) -> None:
    push(shop, name="needy", depends=["free >=1", "viral", "nowhere >2", "__glibc >=2.17"], extra_index={"license": "GPL-2.0-only"})
    files = list(showing.hidden_in(shop).order_by("name"))
    told = {one.file.name: one for one in showing.explained(shop, files)}
    assert set(told) == {"fresh", "needy", "viral"}
    needy = told["needy"]
    assert (needy.rule, needy.level, needy.license) == ("licenses", "channel", "GPL-2.0-only")
    assert (needy.closure.packages, needy.closure.hidden, needy.closure.missing) == (3, 2, ["nowhere >2"])
    assert needy.closure.bytes == sum(PackageFile.objects.filter(name__in=["needy", "free", "viral"]).values_list("size", flat=True))
