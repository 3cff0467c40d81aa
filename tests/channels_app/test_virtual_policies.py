"""The rules of a virtual channel's own levels come on top of its members': in its index, its bytes, and when a hold runs out."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from channels_app.models import Channel
from channels_app.services import virtual
from channels_app.services.channels import create_channel
from channels_app.services.policies import set_policy, waive
from channels_app.services.scopes import Scope
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.jobs.runner import drain
from condahub.jobs.services import enqueue
from tests.channels_app.conftest import Publisher
from tests.channels_app.doors_of import ask
from tests.channels_app.unions import forget, index_of, packages_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def forge(staff: Actor) -> Channel:
    elsewhere = Organization.objects.create(name="elsewhere")
    return create_channel(actor=staff, organization=elsewhere, name="forge", visibility="public")


@pytest.fixture
def union(staff: Actor, organization: Organization, forge: Channel) -> Channel:
    return virtual.create_virtual(actor=staff, organization=organization, name="all", members=["forge"], visibility="public")


def shown(channel: str) -> set[str]:
    drain("quick")
    forget()
    return packages_of(index_of(channel, "noarch"))


@pytest.mark.parametrize("level", ["channel", "organization"])
def test_its_own_rules_hide_what_members_show(
    union: Channel, forge: Channel, push: Publisher, staff: Actor, organization: Organization, level: str
) -> None:
    push(forge, name="gpl-tool", version="1.0", extra_index={"license": "GPL-3.0-only"})
    push(forge, name="tool", version="1.0", extra_index={"license": "MIT"})
    number = Channel.objects.get(pk=union.pk).head
    scope = Scope.of_channel(union) if level == "channel" else Scope.of_organization(organization)
    set_policy(actor=staff, scope=scope, rules={"licenses": {"denied": ["GPL-3.0-only"]}})
    forget()
    denied = ask("/channels/all/noarch/gpl-tool-1.0-0.conda", data=True)
    assert denied.status == 403 and denied.json()["code"] == "policy_denied"
    assert shown("all") == {"tool-1.0-0.conda"} and shown("forge") == {"tool-1.0-0.conda", "gpl-tool-1.0-0.conda"}
    assert ask(f"/channels/all@{number}/noarch/gpl-tool-1.0-0.conda", data=True).status == 403, "denied at the past too"
    assert ask("/channels/forge/noarch/gpl-tool-1.0-0.conda", data=True).status == 200
    push(forge, name="gpl-tool", version="2.0", extra_index={"license": "GPL-3.0-only"})
    push(forge, name="gpl-tool", version="3.0", extra_index={"license": "MIT"})
    assert shown("all") == {"tool-1.0-0.conda", "gpl-tool-3.0-0.conda"}
    set_policy(actor=staff, scope=scope, rules={})
    assert shown("all") == {"tool-1.0-0.conda", *(f"gpl-tool-{version}.0-0.conda" for version in (1, 2, 3))}


def test_what_a_member_waived_stays_waived_and_what_it_denies_stays_denied(
    union: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    set_policy(actor=staff, scope=Scope.of_installation(), rules={"names": {"denied": ["odd", "even"]}})
    push(forge, name="odd", version="1.0")
    push(forge, name="even", version="1.0")
    waive(
        actor=staff,
        scope=Scope.of_installation(),
        what="odd",
        reason="Looked at.",
        expires_at=timezone.now() + timedelta(days=9),
        only_in=forge,
    )
    assert shown("forge") == shown("all") == {"odd-1.0-0.conda"}
    assert ask("/channels/all/noarch/odd-1.0-0.conda", data=True).status == 200
    assert ask("/channels/all/noarch/even-1.0-0.conda", data=True).status == 403


def test_a_hold_of_its_own_ends_by_the_clock(union: Channel, forge: Channel, push: Publisher, staff: Actor) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(union), rules={"cooldown": {"days": 7}})
    push(forge, name="fresh", version="1.0")
    assert shown("all") == set() and shown("forge") == {"fresh-1.0-0.conda"}
    assert ask("/channels/all/noarch/fresh-1.0-0.conda", data=True).status == 403
    with time_machine.travel(timezone.now() + timedelta(days=7, minutes=1)):
        enqueue(kind="channels.holds", payload={})
        drain("quick")
        enqueue(kind="channels.settle", payload={})
        assert shown("all") == {"fresh-1.0-0.conda"}
        assert ask("/channels/all/noarch/fresh-1.0-0.conda", data=True).status == 200
