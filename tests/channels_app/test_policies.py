"""What policy hides is not shown, in any form of the index and at any door; the past stays, and denied bytes are closed there too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels_app import doors, listings, showing, tasks
from channels_app.models import SEEN_LONG_AGO, Advisory, Channel, DirtyName, PackageFile, Policy
from channels_app.policies import osv
from channels_app.services import applying, copying, hotfix, states
from channels_app.services.channels import create_channel
from channels_app.services.policies import load_advisories, release, revoke_waiver, set_policy, waive
from channels_app.services.scopes import Scope
from condahub.accounts import services as accounts
from condahub.accounts.models import Organization
from condahub.accounts.policy import SYSTEM, Actor
from condahub.audit.models import AuditEvent
from condahub.errors import Forbidden, NotFound, Unprocessable
from condahub.jobs.runner import drain
from condahub.jobs.services import enqueue
from tests.channels_app.conftest import Publisher
from tests.channels_app.index_states import check_variants_agree, snapshot

pytestmark = pytest.mark.django_db(transaction=True)

DENY_GPL = {"licenses": {"denied": ["GPL*"]}}


@pytest.fixture
def people(staff: Actor) -> dict[str, Actor]:
    """An organization's owner, and a maintainer, a contributor and a reader of the channel, by their words."""
    made = {
        name: accounts.create_user(actor=SYSTEM, username=name) for name in ("owner", "maintainer", "contributor", "reader", "outsider")
    }
    return {name: Actor.of(user) for name, user in made.items()}


@pytest.fixture
def shop(staff: Actor, people: dict[str, Actor]) -> Channel:
    """A private channel of an organization with an owner, a maintainer, a contributor and a reader."""
    owner = people["owner"]
    assert owner.user is not None
    organization = accounts.create_organization(actor=staff, name="shop", owner=owner.user)
    for name in ("maintainer", "contributor", "reader"):
        user = people[name].user
        assert user is not None
        accounts.grant(actor=owner, on=organization, role=name, user=user)
    return create_channel(actor=staff, organization=organization, name="goods", visibility="private")


def applied(channel: Channel) -> Channel:
    """The channel after its jobs have run, in a process that has just started."""
    drain("quick")
    doors.forget_all()
    return Channel.objects.get(pk=channel.pk)


def shown(channel: Channel, subdir: str = "noarch") -> set[str]:
    """The filenames that every form of the head's index shows."""
    found = snapshot(channel.pk, Channel.objects.get(pk=channel.pk).head)
    check_variants_agree(found)
    whole = orjson.loads(found[f"{subdir}/repodata.json"])
    assert whole["removed"] == []
    return {*whole["packages"], *whole["packages.conda"]}


def status(client: Client, path: str) -> tuple[int, str]:
    response = client.get(path)
    code = response.json()["code"] if response.status_code >= 400 else ""
    return response.status_code, code


def test_an_edit_hides_from_every_form_of_the_index_and_an_older_revision_stays_as_it_was(
    staff: Actor, channel: Channel, push: Publisher, client: Client
) -> None:
    push(channel, name="free", version="1.0", extra_index={"license": "MIT"})
    push(channel, name="viral", version="1.0", extra_index={"license": "GPL-3.0-only"})
    push(channel, name="viral", version="2.0", extra_index={"license": "MIT"})
    before = Channel.objects.get(pk=channel.pk).head
    past = snapshot(channel.pk, before)
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules=DENY_GPL)
    assert Channel.objects.get(pk=channel.pk).policy_state == "applying"
    assert shown(channel) == {"free-1.0-0.conda", "viral-1.0-0.conda", "viral-2.0-0.conda"}
    channel = applied(channel)
    assert channel.policy_state == "current" and channel.head == before + 1, "one revision"
    assert shown(channel) == {"free-1.0-0.conda", "viral-2.0-0.conda"}
    assert snapshot(channel.pk, before) == past
    for place in ("tools", f"tools@{before}", f"tools@{before + 1}"):
        expected = (403, "policy_denied") if place != f"tools@{before + 1}" else (404, "no_such_file")
        assert status(client, f"/channels/{place}/noarch/viral-1.0-0.conda") == expected
        assert status(client, f"/channels/{place}/noarch/viral-2.0-0.conda") == (200, "")
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={})
    channel = applied(channel)
    assert shown(channel) == {"free-1.0-0.conda", "viral-1.0-0.conda", "viral-2.0-0.conda"}
    assert not Policy.objects.exists()
    assert status(client, f"/channels/tools@{before}/noarch/viral-1.0-0.conda") == (200, "")


def test_bytes_obey_an_edit_before_the_index_does(staff: Actor, channel: Channel, push: Publisher, client: Client) -> None:
    push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    assert status(client, "/channels/tools/noarch/viral-1.0-0.conda") == (200, "")
    with time_machine.travel(timezone.now(), tick=True):
        set_policy(actor=staff, scope=Scope.of_installation(), rules=DENY_GPL)
        doors._doors.forget_all()  # as 2 seconds do
        assert status(client, "/channels/tools/noarch/viral-1.0-0.conda") == (403, "policy_denied")
        assert shown(channel) == {"viral-1.0-0.conda"}


def test_a_file_that_was_just_served_costs_no_query_under_a_policy_either(
    staff: Actor, channel: Channel, push: Publisher, client: Client
) -> None:
    push(channel, name="free", extra_index={"license": "MIT"})
    push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    load_advisories(actor=staff, entries=entries())
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={**DENY_GPL, "advisories": {}, "cooldown": {"days": 1}})
    past = timezone.now() + timedelta(days=2)
    with time_machine.travel(past, tick=True):
        for name, expected in (("free", 200), ("viral", 403)):
            path = f"/channels/tools/noarch/{name}-1.0-0.conda"
            assert client.get(path).status_code == expected
            with CaptureQueriesContext(connection) as caught:
                assert client.get(path).status_code == expected
            assert [one["sql"] for one in caught.captured_queries if "channels_" in one["sql"]] == []


def test_deleted_bytes_are_denied_where_a_past_revision_shows_them(staff: Actor, channel: Channel, push: Publisher, client: Client) -> None:
    push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    past = f"/channels/tools@{Channel.objects.get(pk=channel.pk).head}/noarch/viral-1.0-0.conda"
    states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[("noarch", "viral-1.0-0.conda")])
    assert status(client, past) == (200, "")
    set_policy(actor=staff, scope=Scope.of_installation(), rules=DENY_GPL)
    doors.forget_all()
    assert status(client, past) == (403, "policy_denied")


def test_a_hold_acts_on_the_head_only(staff: Actor, channel: Channel, push: Publisher, client: Client) -> None:
    push(channel, name="fresh")
    before = Channel.objects.get(pk=channel.pk).head
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"cooldown": {"days": 7}})
    channel = applied(channel)
    assert shown(channel) == set()
    assert status(client, "/channels/tools/noarch/fresh-1.0-0.conda") == (403, "held")
    assert status(client, f"/channels/tools@{before}/noarch/fresh-1.0-0.conda") == (200, "")


def test_what_comes_under_a_policy_is_judged_before_it_is_shown(staff: Actor, channel: Channel, push: Publisher) -> None:
    set_policy(actor=staff, scope=Scope.of_organization(channel.organization), rules=DENY_GPL)
    push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    push(channel, name="free", extra_index={"license": "MIT"})
    assert shown(channel) == {"free-1.0-0.conda"}
    states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[("noarch", "free-1.0-0.conda")])
    set_policy(actor=staff, scope=Scope.of_organization(channel.organization), rules={"licenses": {"denied": ["MIT"]}})
    applied(channel)
    states.change_state(actor=staff, channel=channel, verb=states.RESTORE, files=[("noarch", "free-1.0-0.conda")])
    assert shown(channel) == {"viral-1.0-0.conda"}


def test_a_forged_timestamp_does_not_help_and_what_was_seen_long_ago_does_not_wait(staff: Actor, channel: Channel, push: Publisher) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"cooldown": {"days": 14}})
    push(channel, name="forged", extra_index={"timestamp": 946_684_800_000})
    assert shown(channel) == set()
    PackageFile.objects.filter(channel=channel, name="forged").update(first_seen_at=SEEN_LONG_AGO)
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"cooldown": {"days": 15}})
    applied(channel)
    assert shown(channel) == {"forged-1.0-0.conda"}


def test_a_copy_keeps_the_hubs_first_sight_and_what_is_hidden_is_not_copied(
    staff: Actor, organization: Organization, channel: Channel, push: Publisher
) -> None:
    other = create_channel(actor=staff, organization=organization, name="other", visibility="public")
    with time_machine.travel(timezone.now() - timedelta(days=30), tick=True):
        push(channel, name="settled")
    push(channel, name="fresh")
    set_policy(actor=staff, scope=Scope.of_channel(other), rules={"cooldown": {"days": 14}})
    copying.copy(actor=staff, source=channel, target=other, files=[("noarch", "settled-1.0-0.conda"), ("noarch", "fresh-1.0-0.conda")])
    assert shown(other) == {"settled-1.0-0.conda"}
    with pytest.raises(Forbidden) as refused:
        copying.copy(actor=staff, source=other, target=channel, files=[("noarch", "fresh-1.0-0.conda")])
    assert refused.value.code == "held"


def test_holds_that_run_out_are_published_by_the_clock(staff: Actor, channel: Channel, push: Publisher) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"cooldown": {"days": 7}})
    push(channel, name="fresh")
    head = Channel.objects.get(pk=channel.pk).head
    for days, expected in ((6, set()), (8, {"fresh-1.0-0.conda"})):
        with time_machine.travel(timezone.now() + timedelta(days=days), tick=True):
            enqueue(kind="channels.holds", payload={})
            drain("quick")
            assert shown(channel) == expected
    assert Channel.objects.get(pk=channel.pk).head == head + 1
    assert not PackageFile.objects.filter(verdict_changes_at__isnull=False).exists()


def test_a_correction_of_the_license_is_judged_at_once_and_never_loosens(staff: Actor, channel: Channel, push: Publisher) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules=DENY_GPL)
    push(channel, name="wrong", extra_index={"license": "MIT"})
    push(channel, name="viral", extra_index={"license": "GPL-3.0-only"})
    patch = {"packages.conda": {"wrong-1.0-0.conda": {"license": "GPL-2.0-only"}, "viral-1.0-0.conda": {"license": "MIT"}}}
    hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions=patch)
    assert shown(channel) == set()


# -- who may -----------------------------------------------------------------------------------------------------------


def test_only_a_levels_keeper_changes_and_waives_its_rules(staff: Actor, people: dict[str, Actor], shop: Channel) -> None:
    soon = timezone.now() + timedelta(days=1)
    scopes = {
        "installation": (Scope.of_installation(), {"staff"}),
        "organization": (Scope.of_organization(shop.organization), {"staff", "owner"}),
        "channel": (Scope.of_channel(shop), {"staff", "owner", "maintainer"}),
    }
    for scope, keepers in scopes.values():
        for name, actor in {**people, "staff": staff}.items():
            if name in keepers:
                set_policy(actor=actor, scope=scope, rules={"size": {"max_bytes": 10**9}})
                waive(
                    actor=actor,
                    scope=scope,
                    what="numpy",
                    reason="Needed.",
                    expires_at=soon,
                    only_in=shop if scope.channel is None else None,
                )
                continue
            with pytest.raises(Forbidden):
                set_policy(actor=actor, scope=scope, rules={"size": {"max_bytes": 1}})
            with pytest.raises(Forbidden):
                waive(actor=actor, scope=scope, what="numpy", reason="Needed.", expires_at=soon)
    assert AuditEvent.objects.filter(action="policy.update").count() == 3
    assert AuditEvent.objects.filter(action="policy.waive").count() == 6


def test_a_channels_waiver_does_not_touch_a_wider_rule(staff: Actor, people: dict[str, Actor], shop: Channel, push: Publisher) -> None:
    push(shop, name="viral", extra_index={"license": "GPL-3.0-only"})
    rules = {"names": {"denied": ["viral"]}}
    set_policy(actor=staff, scope=Scope.of_installation(), rules=DENY_GPL)
    set_policy(actor=people["owner"], scope=Scope.of_channel(shop), rules=rules)
    applied(shop)
    soon = timezone.now() + timedelta(days=3)
    made = waive(actor=people["maintainer"], scope=Scope.of_channel(shop), what="viral", reason="Needed.", expires_at=soon)
    assert not shown(applied(shop))
    with pytest.raises(Forbidden) as refused:
        release(actor=people["owner"], channel=shop, what="viral", reason="Needed.", expires_at=soon)
    assert refused.value.code == "not_the_keeper"
    (by_staff,) = release(actor=staff, channel=shop, what="viral ==1.0", reason="Needed.", expires_at=soon)
    assert (by_staff.level, by_staff.rule, by_staff.channel) == ("installation", "licenses", shop)
    assert shown(applied(shop)) == {"viral-1.0-0.conda"}
    with time_machine.travel(soon + timedelta(seconds=1), tick=True):
        enqueue(kind="channels.holds", payload={})
        assert not shown(applied(shop)), "a waiver that ran out"
    revoke_waiver(actor=people["maintainer"], waiver=made)
    assert not shown(applied(shop))
    with pytest.raises(NotFound):
        release(actor=staff, channel=shop, what="absent", reason="Needed.", expires_at=soon)


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "num*"},
        {"what": "numpy[license=MIT]"},
        {"reason": " \x00 "},
        {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"rule": "speed"},
        {"rule": "size", "advisory": "CVE-1"},
    ],
)
def test_a_waiver_needs_a_package_a_reason_and_an_end(staff: Actor, wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"what": "numpy", "reason": "Needed.", "expires_at": timezone.now() + timedelta(days=1)}
    with pytest.raises(Unprocessable):
        waive(actor=staff, scope=Scope.of_installation(), **{**right, **wrong})


def test_a_waiver_that_names_the_build_opens_its_bytes_in_the_past_too(
    staff: Actor, channel: Channel, push: Publisher, client: Client
) -> None:
    file = push(channel, name="viral", extra_index={"license": "GPL-3.0-only"}).file
    before = Channel.objects.get(pk=channel.pk).head
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules=DENY_GPL)
    applied(channel)
    assert status(client, f"/channels/tools@{before}/noarch/{file.filename}") == (403, "policy_denied")
    soon = timezone.now() + timedelta(days=1)
    waive(actor=staff, scope=Scope.of_channel(channel), what=file.sha256, reason="Needed.", expires_at=soon)
    doors.forget_all()
    assert status(client, f"/channels/tools@{before}/noarch/{file.filename}") == (200, "")
    assert status(client, f"/channels/tools/noarch/{file.filename}") == (200, "")
    with time_machine.travel(soon + timedelta(seconds=1), tick=True):
        assert status(client, f"/channels/tools/noarch/{file.filename}") == (403, "policy_denied"), "with what a process remembers"


# -- advisories --------------------------------------------------------------------------------------------------------


def entries(fixed: str = "2.0", **more: Any) -> list[osv.Entry]:
    affected = [{"package": {"ecosystem": "PyPI", "name": "leaky"}, "ranges": [{"events": [{"introduced": "0"}, {"fixed": fixed}]}]}]
    value = {"id": "GHSA-1", "aliases": ["CVE-2026-5"], "affected": affected, "database_specific": {"severity": "HIGH"}, **more}
    return osv.read_entries(json.dumps(value).encode())


def test_advisories_act_when_they_are_loaded_changed_and_withdrawn(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="leaky", version="1.0")
    push(channel, name="leaky", version="2.0")
    set_policy(actor=staff, scope=Scope.of_installation(), rules={"advisories": {"min_severity": "high"}})
    assert len(shown(applied(channel))) == 2
    assert load_advisories(actor=staff, entries=entries())._asdict() == {"entries": 1, "advisories": 1, "withdrawn": 0, "skipped": 0}
    assert shown(applied(channel)) == {"leaky-2.0-0.conda"}
    load_advisories(actor=staff, entries=entries(fixed="3.0"))
    assert shown(applied(channel)) == set()
    push(channel, name="leaky", version="3.0")
    push(channel, name="leaky", version="2.5")
    assert shown(channel) == {"leaky-3.0-0.conda"}
    load_advisories(actor=staff, entries=entries(withdrawn="2026-01-01T00:00:00Z"))
    assert len(shown(applied(channel))) == 4 and not Advisory.objects.exists()
    with pytest.raises(Forbidden):
        load_advisories(actor=Actor.of(accounts.create_user(actor=SYSTEM, username="nobody")), entries=entries())


# -- applying ----------------------------------------------------------------------------------------------------------


def test_edits_that_follow_each_other_end_at_the_last_one(staff: Actor, channel: Channel, push: Publisher) -> None:
    push(channel, name="a", extra_index={"license": "MIT"})
    push(channel, name="b", extra_index={"license": "GPL-3.0-only"})
    for rules in (DENY_GPL, {"names": {"denied": ["a"]}}, {"names": {"denied": ["b"]}}):
        set_policy(actor=staff, scope=Scope.of_channel(channel), rules=rules)
    channel = applied(channel)
    assert shown(channel) == {"a-1.0-0.conda"} and channel.policy_state == "current"
    head = channel.head
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"names": {"denied": ["b"]}})
    assert Channel.objects.get(pk=channel.pk).policy_state == "current", "the same rules again are no edit"
    assert applied(channel).head == head


def test_an_upload_meanwhile_is_visible_at_once_and_does_not_publish_half_of_the_edit(
    staff: Actor, channel: Channel, push: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        push(channel, name=f"viral{number}", extra_index={"license": "GPL-3.0-only"})
    monkeypatch.setattr(applying, "CHUNK_ROWS", 2)
    monkeypatch.setattr(applying, "PAUSE_SECONDS", 0)
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules=DENY_GPL)
    seen: list[set[str]] = []

    def look(done: int, total: int) -> None:
        push(channel, name=f"free{done}", extra_index={"license": "MIT"})
        seen.append(shown(channel))

    applying.apply(channel_id=channel.pk, progress=look)
    assert len(seen) == 3
    for number, found in enumerate(seen, start=1):
        assert {one for one in found if one.startswith("viral")} == {f"viral{n}-1.0-0.conda" for n in range(6)}
        assert len([one for one in found if one.startswith("free")]) == number
    assert shown(channel) == {f"free{n}-1.0-0.conda" for n in (2, 4, 6)}
    assert not DirtyName.objects.exists()


class Killed(BaseException):
    pass


def test_an_application_that_dies_leaves_the_old_revision_and_its_retry_ends_it(
    staff: Actor, channel: Channel, push: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        push(channel, name=f"viral{number}", extra_index={"license": "GPL-3.0-only"})
    head = Channel.objects.get(pk=channel.pk).head
    monkeypatch.setattr(applying, "CHUNK_ROWS", 1)
    set_policy(actor=staff, scope=Scope.of_channel(channel), rules=DENY_GPL)

    def die(done: int, total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        applying.apply(channel_id=channel.pk, progress=die)
    drain_settle()
    assert Channel.objects.get(pk=channel.pk).head == head and len(shown(channel)) == 4
    applying.apply(channel_id=channel.pk)
    assert shown(channel) == set() and Channel.objects.get(pk=channel.pk).head == head + 1


def drain_settle() -> None:
    """The settle job, a minute later."""
    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=True):
        tasks.settle(None, {})  # type: ignore[arg-type]


def test_a_preview_says_what_an_edit_would_do_and_does_nothing(
    staff: Actor, people: dict[str, Actor], shop: Channel, push: Publisher
) -> None:
    push(shop, name="free", extra_index={"license": "MIT"})
    push(shop, name="viral", extra_index={"license": "GPL-3.0-only"})
    head = Channel.objects.get(pk=shop.pk).head
    found = showing.preview(actor=people["maintainer"], scope=Scope.of_channel(shop), rules=DENY_GPL)
    assert (found.examined, found.would_deny, found.newly_hidden, found.newly_shown, found.complete) == (2, 1, 1, 0, True)
    assert found.samples[0]["filename"] == "viral-1.0-0.conda" and dict(found.by_rule) == {"licenses": 1}
    assert applied(shop).head == head and not Policy.objects.exists()
    with pytest.raises(Forbidden):
        showing.preview(actor=people["contributor"], scope=Scope.of_channel(shop), rules=DENY_GPL)


def test_what_is_hidden_is_in_no_list_of_those_who_only_read(
    staff: Actor, people: dict[str, Actor], shop: Channel, push: Publisher
) -> None:
    push(shop, name="mixed", version="1.0", extra_index={"license": "MIT"})
    push(shop, name="mixed", version="2.0", extra_index={"license": "GPL-3.0-only"})
    push(shop, name="viral", extra_index={"license": "GPL-3.0-only"})
    set_policy(actor=staff, scope=Scope.of_channel(shop), rules=DENY_GPL)
    applied(shop)
    reader = people["reader"]
    assert [one.name for one in listings.packages_of(reader, shop)] == ["mixed"]
    assert listings.package_of(reader, shop, "mixed").latest_version == "1.0"
    assert [one.filename for one in listings.files_of(reader, shop)] == ["mixed-1.0-0.conda"]
    assert not listings.search(reader, "viral")
