"""Virtual channels are made, arranged and explained in the portal, and tell nobody of a member that he may not see."""

from __future__ import annotations

import pytest

from channels_app.models import Channel, VirtualMember
from channels_app.services.virtual import create_virtual
from channels_app.virtual.follow import follow
from condahub.accounts.policy import Actor
from tests.api.conftest import World
from tests.portal.conftest import Visitor
from tests.queries import counted

pytestmark = pytest.mark.django_db
UNION, NAMES, CHANGE = "/ui/channels/tools/union", "/ui/channels/tools/union/names", "/ui/channels/tools/union/change"


@pytest.fixture
def tools(world: World) -> Channel:
    world.push(world.outer, name="inside", version="9.0")
    made = create_virtual(actor=Actor.of(world.people["owner"]), organization=world.acme, name="tools", members=["inner", "outer"])
    follow(made.pk)
    return made


def _members(channel: Channel) -> list[str]:
    rows = VirtualMember.objects.filter(virtual=channel, is_leaving=False).order_by("position")
    return list(rows.values_list("member__name", flat=True))


def test_one_is_made_of_channels_that_one_may_read(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    fields = {"organization": "acme", "name": "tools", "visibility": "private", "description": ""}
    assert "nowhere" not in owner.get("/ui/channels/new/virtual")
    owner.post("/ui/channels/new/virtual", 403, members="inner nowhere", **fields)
    assert not Channel.objects.filter(name="tools").exists()
    made = owner.post("/ui/channels/new/virtual", members="inner\r\nouter\r\n", **fields)
    assert made["Location"] == UNION
    assert _members(Channel.objects.get(name="tools")) == ["inner", "outer"]


def test_its_packages_lead_to_the_member_whose_they_are(world: World, visit: type[Visitor], tools: Channel) -> None:
    reader = visit(world, "reader")
    listed = reader.get("/ui/channels/tools")
    assert "/ui/channels/inner/packages/inside" in listed and "/ui/channels/outer/packages/open" in listed
    assert "/ui/channels/outer/packages/inside" not in listed
    assert "packages/open" not in reader.get("/ui/channels/tools", q="insi")
    with counted("portal virtual channel"):
        reader.get("/ui/channels/tools")


def test_what_hides_what_is_said(world: World, visit: type[Visitor], tools: Channel) -> None:
    owner = visit(world, "owner")
    told = owner.get(NAMES, name="inside")
    assert '<td>inner</td><td class="soft" data-label="Hidden:">outer</td>' in told
    assert "the highest member that ever held it" in told
    owner.post(CHANGE, verb="merge", name="inside", reason="both are wanted")
    assert "<td>inner and outer</td>" in owner.get(NAMES)
    owner.post(CHANGE, verb="unmerge", name="inside")
    owner.post(CHANGE, verb="reserve", name="acme-* inside", member="inner")
    told = owner.get(UNION)
    assert "acme-*" in told and "for inner" in told
    owner.post(CHANGE, verb="release", name="acme-*")
    assert "acme-*</span>" not in owner.get(UNION)
    with counted("portal union"):
        owner.get(UNION)
    with counted("portal union names"):
        owner.get(NAMES)
    with counted("portal union name"):
        owner.get(NAMES, name="inside")


def test_members_are_moved_and_taken_out(world: World, visit: type[Visitor], tools: Channel) -> None:
    maintainer = visit(world, "maintainer")
    maintainer.post(CHANGE, verb="up", name="outer")
    assert _members(tools) == ["outer", "inner"]
    maintainer.post(CHANGE, verb="down", name="outer")
    maintainer.post(CHANGE, verb="out", name="outer", names="keep")
    assert _members(tools) == ["inner"]
    maintainer.post(CHANGE, verb="add", name="nowhere")
    assert _members(tools) == ["inner"]
    maintainer.post(CHANGE, verb="add", name="outer")
    assert _members(tools) == ["inner", "outer"]
    visit(world, "reader").post(CHANGE, 403, verb="out", name="outer", names="keep")


def test_a_member_that_is_shared_with_all_is_not_named_to_all(world: World, visit: type[Visitor]) -> None:
    public = create_virtual(
        actor=Actor.of(world.people["owner"]), organization=world.acme, name="tools", members=["inner", "outer"], visibility="public"
    )
    assert _members(public) == ["inner", "outer"]
    for path in (UNION, NAMES, f"{NAMES}?name=inside", "/ui/channels/tools"):
        text = visit(world).get(path)
        assert "inner" not in text, path
    assert "a channel that you may not see" in visit(world, "outsider").get(UNION)
