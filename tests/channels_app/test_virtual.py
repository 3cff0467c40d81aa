"""A virtual channel shows an ordered union of channels, in which every package name belongs to one of them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from channels_app import doors, selectors
from channels_app.index.render import zstd_decompress
from channels_app.models import Channel, FormerName, PackageFile, VirtualChannel
from channels_app.services import states, virtual
from channels_app.services.channels import create_channel, delete_channel, end_channels, rename_channel, restore_channel
from channels_app.virtual import follow, reads
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission
from condahub.errors import Conflict, HubError, Unprocessable
from condahub.jobs.runner import drain
from tests.channels_app.conftest import Publisher
from tests.channels_app.doors_of import ask
from tests.channels_app.unions import forget, index_of, packages_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def internal(staff: Actor, organization: Organization) -> Channel:
    return create_channel(actor=staff, organization=organization, name="internal", visibility="public")


@pytest.fixture
def forge(staff: Actor, organization: Organization) -> Channel:
    return create_channel(actor=staff, organization=organization, name="forge", visibility="public")


@pytest.fixture
def union(staff: Actor, organization: Organization, internal: Channel, forge: Channel) -> Channel:
    return virtual.create_virtual(actor=staff, organization=organization, name="all", members=["internal", "forge"], visibility="public")


def test_what_a_member_publishes_is_in_the_union_when_the_upload_is_acknowledged(union: Channel, forge: Channel, push: Publisher) -> None:
    push(forge, name="numpy", version="1.0", subdir="linux-64")
    shown = index_of("all", "linux-64")
    assert packages_of(shown) == {"numpy-1.0-0.conda"}
    assert shown.shards["numpy"] == index_of("forge", "linux-64").shards["numpy"], "the member's own shard, under its own address"
    push(forge, name="numpy", version="2.0", subdir="linux-64")
    assert packages_of(index_of("all", "linux-64")) == {"numpy-1.0-0.conda", "numpy-2.0-0.conda"}


def test_a_public_package_never_mixes_with_an_internal_one_of_its_name(
    union: Channel, internal: Channel, forge: Channel, push: Publisher
) -> None:
    """The internal one is noarch, the public one is linux-64 and has a higher version: a client would merge the two."""
    push(forge, name="billing", version="99.0", subdir="linux-64")
    push(internal, name="billing", version="1.0", subdir="noarch")
    assert packages_of(index_of("all", "noarch")) == {"billing-1.0-0.conda"}
    assert packages_of(index_of("all", "linux-64")) == set()
    assert ask("/channels/all/linux-64/billing-99.0-0.conda", data=True).status == 404
    assert ask("/channels/all/noarch/billing-1.0-0.conda", data=True).status == 200
    push(forge, name="billing", version="100.0", subdir="noarch")
    assert packages_of(index_of("all", "noarch")) == {"billing-1.0-0.conda"}


@pytest.mark.parametrize("verb", [states.DELETE, states.PURGE, states.YANK, states.QUARANTINE])
def test_a_name_stays_whose_it_was_whatever_becomes_of_its_files(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor, verb: states.Verb
) -> None:
    push(internal, name="billing", version="1.0", subdir="noarch")
    files = [("noarch", "billing-1.0-0.conda")]
    states.change_state(actor=staff, channel=internal, verb=verb, files=files, reason="because")
    push(forge, name="billing", version="99.0", subdir="linux-64")
    assert packages_of(index_of("all", "linux-64")) == set()
    assert ask("/channels/all/linux-64/billing-99.0-0.conda", data=True).status == 404


def test_a_name_of_which_no_row_is_left_is_owned_still(union: Channel, internal: Channel, forge: Channel, push: Publisher) -> None:
    push(forge, name="billing", version="99.0", subdir="linux-64")
    FormerName.objects.create(channel=internal, name="billing")
    push(forge, name="billing", version="100.0", subdir="linux-64")
    assert packages_of(index_of("all", "linux-64")) == set()


def test_a_held_upload_takes_its_name_though_nothing_of_it_is_shown(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    from channels_app.services.policies import set_policy
    from channels_app.services.scopes import Scope

    push(forge, name="billing", version="99.0", subdir="linux-64")
    set_policy(actor=staff, scope=Scope.of_channel(internal), rules={"names": {"denied": ["billing"]}})
    drain("quick")
    push(internal, name="billing", version="1.0", subdir="noarch")
    assert packages_of(index_of("all", "linux-64")) == set()
    assert packages_of(index_of("all", "noarch")) == set()


def test_an_allowed_name_shows_what_all_members_hold(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    push(internal, name="zlib", version="1.0", subdir="linux-64")
    push(forge, name="zlib", version="1.0", subdir="linux-64", files={"other": b"bytes"})
    push(forge, name="zlib", version="2.0", subdir="linux-64")
    assert packages_of(index_of("all", "linux-64")) == {"zlib-1.0-0.conda"}
    virtual.allow_name(actor=staff, channel=union, name="zlib", reason="patched builds beside the public ones")
    shown = index_of("all", "linux-64")
    assert packages_of(shown) == {"zlib-1.0-0.conda", "zlib-2.0-0.conda"}
    mine = PackageFile.objects.get(channel=internal, filename="zlib-1.0-0.conda")
    assert shown.records["zlib-1.0-0.conda"]["sha256"].hex() == mine.sha256, "of one filename the higher member's"
    assert ask("/channels/all/linux-64/zlib-1.0-0.conda", data=True).headers["ETag"] == f'"{mine.sha256}"'
    assert ask("/channels/all/linux-64/zlib-2.0-0.conda", data=True).status == 200
    states.change_state(actor=staff, channel=internal, verb=states.QUARANTINE, files=[("linux-64", "zlib-1.0-0.conda")], reason="looked at")
    assert packages_of(index_of("all", "linux-64")) == {"zlib-2.0-0.conda"}, "held above: no lower file takes its filename"
    forget()
    assert ask("/channels/all/linux-64/zlib-1.0-0.conda", data=True).status == 403
    virtual.disallow_name(actor=staff, channel=union, name="zlib")
    assert packages_of(index_of("all", "linux-64")) == set()


def test_of_a_merged_name_a_deleted_member_keeps_its_filenames_alone(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    push(internal, name="zlib", version="1.0")
    push(forge, name="zlib", version="1.0", files={"other": b"bytes"})
    push(forge, name="zlib", version="2.0")
    virtual.allow_name(actor=staff, channel=union, name="zlib")
    delete_channel(actor=staff, channel=internal)
    forget()
    assert packages_of(index_of("all", "noarch")) == {"zlib-2.0-0.conda"}
    assert ask("/channels/all/noarch/zlib-1.0-0.conda", data=True).status == 404
    assert ask("/channels/all/noarch/zlib-2.0-0.conda", data=True).status == 200


def test_every_variant_of_the_index_says_the_same_of_a_merged_name(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    push(internal, name="zlib", version="1.0", subdir="linux-64", run_exports={"weak": ["zlib >=1.0"]}, about={"summary": "patched"})
    push(forge, name="zlib", version="2.0", subdir="linux-64", extension=".tar.bz2")
    virtual.allow_name(actor=staff, channel=union, name="zlib")
    repodata = ask("/channels/all/linux-64/repodata.json").json()
    assert set(repodata["packages"]) == {"zlib-2.0-0.tar.bz2"} and set(repodata["packages.conda"]) == {"zlib-1.0-0.conda"}
    assert zstd_decompress(ask("/channels/all/linux-64/repodata.json.zst").body) == ask("/channels/all/linux-64/repodata.json").body
    assert ask("/channels/all/linux-64/run_exports.json").json()["packages.conda"]["zlib-1.0-0.conda"]["run_exports"] == {
        "weak": ["zlib >=1.0"]
    }
    current = ask("/channels/all/linux-64/current_repodata.json").json()
    assert {*current["packages"], *current["packages.conda"]} == {"zlib-2.0-0.tar.bz2"}
    assert ask("/channels/all/channeldata.json").json()["packages"]["zlib"]["version"] == "2.0"


def test_members_can_be_put_into_another_order(union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor) -> None:
    push(internal, name="billing", version="1.0", subdir="noarch")
    push(forge, name="billing", version="99.0", subdir="noarch")
    virtual.set_members(actor=staff, channel=union, members=["forge", "internal"])
    assert packages_of(index_of("all", "noarch")) == {"billing-99.0-0.conda"}
    doors.forget_all()
    assert ask("/channels/all/noarch/billing-1.0-0.conda", data=True).status == 404


def test_a_reserved_name_waits_for_its_member(union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor) -> None:
    virtual.reserve(actor=staff, channel=union, patterns=["acme-*", "billing"], member="internal")
    push(forge, name="acme-tools", version="99.0", subdir="noarch")
    push(forge, name="billing", version="99.0", subdir="noarch")
    push(forge, name="acmetools", version="1.0", subdir="noarch")
    assert packages_of(index_of("all", "noarch")) == {"acmetools-1.0-0.conda"}
    assert ask("/channels/all/noarch/acme-tools-99.0-0.conda", data=True).status == 404
    assert reads.explain(staff, union, "acme-tools")["owner"] == "internal"
    virtual.release(actor=staff, channel=union, patterns=["acme-*"])
    assert packages_of(index_of("all", "noarch")) == {"acmetools-1.0-0.conda", "acme-tools-99.0-0.conda"}


def test_who_takes_a_member_out_says_what_becomes_of_its_names(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    push(internal, name="billing", version="1.0", subdir="noarch")
    push(forge, name="billing", version="99.0", subdir="noarch")
    with pytest.raises(Conflict) as refused:
        virtual.set_members(actor=staff, channel=union, members=["forge"])
    assert refused.value.code == "names_undecided"
    virtual.set_members(actor=staff, channel=union, members=["forge"], names_of_removed="keep")
    assert packages_of(index_of("all", "noarch")) == set()
    virtual.release(actor=staff, channel=union, patterns=["billing"])
    assert packages_of(index_of("all", "noarch")) == {"billing-99.0-0.conda"}


def test_a_deleted_member_shows_nothing_and_owns_its_names_for_good(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor, settings: Any
) -> None:
    push(internal, name="billing", version="1.0", subdir="noarch")
    push(internal, name="ours", version="1.0", subdir="noarch")
    push(forge, name="billing", version="99.0", subdir="noarch")
    delete_channel(actor=staff, channel=internal)
    forget()
    assert packages_of(index_of("all", "noarch")) == set()
    assert ask("/channels/all/noarch/ours-1.0-0.conda", data=True).status == 404
    assert ask("/channels/all/noarch/billing-99.0-0.conda", data=True).status == 404
    restore_channel(actor=staff, name="internal")
    forget()
    assert packages_of(index_of("all", "noarch")) == {"billing-1.0-0.conda", "ours-1.0-0.conda"}
    delete_channel(actor=staff, channel=internal)
    Channel.objects.filter(pk=internal.pk).update(deleted_at="2020-01-01T00:00:00Z")
    assert end_channels(actor=staff) == 1
    forget()
    assert packages_of(index_of("all", "noarch")) == set()
    push(forge, name="ours", version="66.6", subdir="noarch")
    assert packages_of(index_of("all", "noarch")) == set()


def test_a_member_that_is_renamed_stays_one(union: Channel, internal: Channel, push: Publisher, staff: Actor) -> None:
    push(internal, name="billing", version="1.0", subdir="noarch")
    rename_channel(actor=staff, channel=internal, name="in-house")
    forget()
    assert ask("/channels/all/noarch/billing-1.0-0.conda", data=True).status == 200
    assert reads.explain(staff, union, "billing")["owner"] == "in-house"


def test_a_past_revision_comes_back_as_it_was(union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor) -> None:
    push(forge, name="billing", version="99.0", subdir="linux-64")
    number = Channel.objects.get(pk=union.pk).head
    before = {path: ask(f"/channels/all/linux-64/{path}").body for path in ("repodata.json", "repodata_shards.msgpack.zst")}
    push(internal, name="billing", version="1.0", subdir="noarch")
    virtual.set_members(actor=staff, channel=union, members=["internal"], names_of_removed="release")
    forget()
    for path, body in before.items():
        assert ask(f"/channels/all@{number}/linux-64/{path}").body == body
    past = ask(f"/channels/all@{number}/linux-64/billing-99.0-0.conda", data=True)
    assert past.status == 200 and "immutable" in past.headers["Cache-Control"]
    assert packages_of(index_of("all", "linux-64")) == set()


def test_shards_are_named_by_their_bytes_and_only_the_unions_own_are_given(
    union: Channel, internal: Channel, forge: Channel, push: Publisher, staff: Actor
) -> None:
    push(internal, name="billing", version="1.0", subdir="noarch")
    push(forge, name="billing", version="99.0", subdir="noarch")
    push(forge, name="zlib", version="1.0", subdir="noarch")
    hidden = index_of("forge", "noarch").shards["billing"].hex()
    assert ask(f"/channels/all/noarch/shards/{hidden}.msgpack.zst").status == 404
    for sha256 in index_of("all", "noarch").shards.values():
        body = ask(f"/channels/all/noarch/shards/{sha256.hex()}.msgpack.zst").body
        assert hashlib.sha256(body).digest() == sha256
        assert msgspec.msgpack.decode(zstd_decompress(body))["packages.conda"]


def test_uploads_are_refused_with_what_to_do_instead(union: Channel, push: Publisher) -> None:
    with pytest.raises(Conflict) as refused:
        push(union, name="billing", version="1.0")
    assert refused.value.status == 405 and "members" in refused.value.hint


def test_a_virtual_channel_is_made_of_real_ones(union: Channel, staff: Actor, organization: Organization) -> None:
    def make(members: list[str]) -> None:
        virtual.create_virtual(actor=staff, organization=organization, name="more", members=members)

    for members, code in ((["all"], "nested_virtual"), (["forge", "forge"], "member_twice"), (["forge"] * 17, "too_many_members")):
        with pytest.raises(Unprocessable) as refused:
            make(members)
        assert refused.value.code == code
    with pytest.raises(HubError):
        make(["not-there"])
    assert selectors.channel_by_name("more") is None, "nothing half made"
    with pytest.raises(Unprocessable):
        virtual.reserve(actor=staff, channel=union, patterns=["Not A Name"])


def test_what_a_process_that_died_left_behind_is_made_good(union: Channel, forge: Channel, push: Publisher, monkeypatch: Any) -> None:
    monkeypatch.setattr(follow, "follow", lambda virtual_id: 1 / 0)
    push(forge, name="numpy", version="1.0", subdir="noarch")
    monkeypatch.undo()
    assert packages_of(index_of("all", "noarch")) == set()
    assert follow.behind() == [union.pk]
    from condahub.jobs.services import enqueue

    enqueue(kind="channels.settle", payload={})
    drain("quick")
    assert packages_of(index_of("all", "noarch")) == {"numpy-1.0-0.conda"}
    assert follow.behind() == [] and not VirtualChannel.objects.get(channel=union).must_rebuild


def test_permission_to_arrange_members_is_that_to_change_settings(union: Channel, staff: Actor) -> None:
    from condahub.accounts.models import User

    stranger = Actor.of(User.objects.create(username="stranger"))
    for verb in (
        lambda: virtual.set_members(actor=stranger, channel=union, members=["forge"]),
        lambda: virtual.allow_name(actor=stranger, channel=union, name="zlib"),
        lambda: virtual.reserve(actor=stranger, channel=union, patterns=["zlib"]),
    ):
        with pytest.raises(HubError) as refused:
            verb()
        assert refused.value.status == 403
    assert Permission.CHANNEL_UPDATE
