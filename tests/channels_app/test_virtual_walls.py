"""What is made of channels is read only by those who may read each of them, at every door, now and at every past revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from channels_app import listings
from channels_app.models import Channel, VirtualMember
from channels_app.services import virtual
from channels_app.services.channels import create_channel, delete_channel, update_channel
from channels_app.virtual import reads
from condahub.accounts import services as accounts
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import Forbidden, HubError
from tests.channels_app.conftest import Publisher
from tests.channels_app.doors_of import ask
from tests.channels_app.unions import forget, index_of, packages_of

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Town:
    """`both` is internal, of the public `open` and the private `secret`; insider may read secret, outsider may not."""

    both: Channel
    open: Channel
    secret: Channel
    insider: Actor
    outsider: Actor
    insiders_token: str
    outsiders_token: str


@pytest.fixture
def town(staff: Actor, organization: Organization, push: Publisher) -> Town:
    opened = create_channel(actor=staff, organization=organization, name="open", visibility="public")
    secret = create_channel(actor=staff, organization=organization, name="secret")
    both = virtual.create_virtual(actor=staff, organization=organization, name="both", members=["open", "secret"])
    push(opened, name="numpy", version="1.0")
    push(secret, name="billing", version="1.0")
    people = {}
    for name in ("insider", "outsider"):
        user = User.objects.create(username=name)
        accounts.grant(actor=staff, on=both, role="reader", user=user)
        people[name] = (Actor.of(user), accounts.create_token(actor=Actor.of(user), name="t", scopes=["read"]).secret)
    accounts.grant(actor=staff, on=secret, role="reader", user=people["insider"][0].user)
    insider, outsider = Actor.of(User.objects.get(username="insider")), Actor.of(User.objects.get(username="outsider"))
    return Town(both, opened, secret, insider, outsider, people["insider"][1], people["outsider"][1])


def statuses(paths: list[str], secret: str) -> dict[str, int]:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return {path: ask(path, data=True, **headers).status for path in paths}


def conda_paths(town: Town) -> list[str]:
    head = Channel.objects.get(pk=town.both.pk).head
    shard = index_of("both", "noarch", Authorization=f"Bearer {town.insiders_token}").shards["billing"].hex()
    files = [f"noarch/{one}" for one in ("repodata.json", "repodata.json.zst", "current_repodata.json", "run_exports.json")]
    files += ["noarch/repodata_shards.msgpack.zst", f"noarch/shards/{shard}.msgpack.zst", "channeldata.json", ""]
    files += ["noarch/billing-1.0-0.conda", "noarch/numpy-1.0-0.conda"]
    return [f"/channels/both{at}/{file}" for at in ("", f"@{head}", "@2999-01-01") for file in files]


def test_who_may_not_read_one_member_gets_nothing_at_any_conda_door(town: Town) -> None:
    paths = conda_paths(town)
    assert set(statuses(paths, town.insiders_token).values()) == {200}
    assert set(statuses(paths, town.outsiders_token).values()) == {403}
    assert set(statuses(paths, "").values()) == {401}
    said = [ask(path, Authorization=f"Bearer {town.outsiders_token}").body for path in (paths[0], "/channels/nowhere/noarch/repodata.json")]
    assert said[0] == said[1], "as a channel that is not there"


def test_nor_at_any_other_door(town: Town) -> None:
    client = Client(headers={"Authorization": f"Bearer {town.outsiders_token}"})
    for path in (
        "",
        "/packages",
        "/files",
        "/revisions",
        "/revisions/2",
        "/revisions/2/diff",
        "/downloads",
        "/union",
        "/union/names/billing",
    ):
        assert client.get(f"/api/hub/v1/channels/both{path}").status_code == 403, path
    for path in ("", "/packages"):
        assert client.get(f"/api/channels/both{path}").status_code == 403, path
    for path in ("/api/hub/v1/channels", "/api/channels", "/api/hub/v1/search?q=both", "/api/channels/search?q=both"):
        assert b'"both"' not in client.get(path).content, path
    assert not can(town.outsider, Permission.CHANNEL_READ, town.both) and can(town.insider, Permission.CHANNEL_READ, town.both)
    assert [one.name for one in Channel.objects.visible_to(town.outsider)] == ["open"]
    assert list(listings.search(town.outsider, "both")) == []


def test_an_answer_made_of_a_private_member_is_for_no_shared_cache(town: Town) -> None:
    for path in conda_paths(town):
        control = ask(path, Authorization=f"Bearer {town.insiders_token}").headers["Cache-Control"]
        assert control.startswith("private"), (path, control)


def test_an_owner_of_the_member_can_share_it_and_take_that_back(town: Town, staff: Actor) -> None:
    paths = conda_paths(town)
    with pytest.raises(Forbidden):
        virtual.share_member(actor=town.insider, member=town.secret, virtual="both")
    virtual.share_member(actor=staff, member=town.secret, virtual="both")
    forget()
    assert set(statuses(paths, town.outsiders_token).values()) == {200}
    assert ask("/channels/secret/noarch/repodata.json", Authorization=f"Bearer {town.outsiders_token}").status == 403
    shown = reads.union_of(town.outsider, town.both)
    assert [one["name"] for one in shown["members"]] == ["open", None], "what it is called is not theirs to know"
    assert reads.explain(town.outsider, town.both, "billing")["owner"] is None
    assert reads.explain(town.outsider, town.both, "not-there") | {"name": ""} == {
        "name": "", "owner": None, "why": "held by no member", "members": [], "merged": False, "shown": False
    }  # fmt: skip
    virtual.unshare_member(actor=staff, member=town.secret, virtual="both")
    forget()
    assert set(statuses(paths, town.outsiders_token).values()) == {403}


def test_it_acts_within_the_seconds_that_a_door_is_remembered(town: Town, staff: Actor, monkeypatch: Any) -> None:
    from channels_app import doors

    update_channel(actor=staff, channel=town.secret, changes={"visibility": "public"})
    path = "/channels/both/noarch/billing-1.0-0.conda"
    forget()
    assert statuses([path], town.outsiders_token) == {path: 200}
    update_channel(actor=staff, channel=town.secret, changes={"visibility": "private"})
    now = doors.time.monotonic()
    monkeypatch.setattr(doors.time, "monotonic", lambda: now + doors.DOOR_SECONDS + 0.1)
    assert statuses([path], town.outsiders_token) == {path: 403}


def test_a_wider_virtual_channel_takes_the_word_of_the_members_owner(town: Town, organization: Organization, staff: Actor) -> None:
    maker = User.objects.create(username="maker")
    accounts.grant(actor=staff, on=organization, role="maintainer", user=maker)
    made = Actor.of(maker)
    with pytest.raises(Forbidden) as refused:
        virtual.create_virtual(actor=made, organization=organization, name="wide", members=["secret"], visibility="public")
    assert refused.value.code == "channel_not_shareable" and "'secret'" in refused.value.detail
    narrow = virtual.create_virtual(actor=made, organization=organization, name="narrow", members=["secret"])
    with pytest.raises(Forbidden):
        update_channel(actor=made, channel=narrow, changes={"visibility": "public"})
    assert VirtualMember.objects.get(virtual=narrow).shared_by == ""
    update_channel(actor=staff, channel=narrow, changes={"visibility": "public"})
    assert VirtualMember.objects.get(virtual=narrow).shared_by == staff.label
    with pytest.raises(HubError) as hidden:
        virtual.set_members(actor=Actor.of(User.objects.get(username="outsider")), channel=narrow, members=[])
    assert hidden.value.status == 403


def test_who_may_not_see_a_channel_can_not_join_it(town: Town, organization: Organization, staff: Actor) -> None:
    other = Organization.objects.create(name="other")
    user = User.objects.create(username="other-owner")
    accounts.grant(actor=staff, on=other, role="owner", user=user)
    said = []
    for name in ("secret", "not-there"):
        with pytest.raises(HubError) as refused:
            virtual.create_virtual(actor=Actor.of(user), organization=other, name="mine", members=[name])
        said.append((refused.value.status, refused.value.as_dict()))
    assert said[0] == said[1]


def test_a_member_that_left_is_in_the_past_for_those_alone_who_may_read_it(town: Town, staff: Actor) -> None:
    number = Channel.objects.get(pk=town.both.pk).head
    shard = index_of("both", "noarch", Authorization=f"Bearer {town.insiders_token}").shards["billing"].hex()
    virtual.set_members(actor=staff, channel=town.both, members=["open"], names_of_removed="release")
    forget()
    outsider, insider = {"Authorization": f"Bearer {town.outsiders_token}"}, {"Authorization": f"Bearer {town.insiders_token}"}
    assert packages_of(index_of("both", "noarch", **outsider)) == {"numpy-1.0-0.conda"}
    for path in (f"both@{number}/noarch/repodata.json", f"both@{number}/noarch/billing-1.0-0.conda"):
        assert (ask(f"/channels/{path}", **outsider).status, ask(f"/channels/{path}", **insider).status) == (403, 200), path
    path = f"/channels/both/noarch/shards/{shard}.msgpack.zst"
    assert (ask(path, **outsider).status, ask(path, **insider).status) == (404, 200)
    client = Client(headers=outsider)
    assert client.get(f"/api/hub/v1/channels/both/revisions/{number}/diff?since=0").status_code == 403
    assert b"billing" not in client.get("/api/hub/v1/channels/both/revisions").content
    delete_channel(actor=staff, channel=town.secret)
    forget()
    assert ask(f"/channels/both@{number}/noarch/repodata.json", **insider).status == 403


def test_downloads_are_counted_at_the_member(town: Town) -> None:
    from channels_app.models import DownloadCount
    from channels_app.services import downloads

    ask("/channels/both/noarch/billing-1.0-0.conda", data=True, Authorization=f"Bearer {town.insiders_token}")
    downloads.flush()
    assert list(DownloadCount.objects.values_list("file__channel__name", "count")) == [("secret", 1)]
