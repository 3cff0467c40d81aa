"""What a virtual channel costs follows the change: a publish in a member, a file that is asked for again and again."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, FileState, PackageFile
from channels_app.services import virtual
from channels_app.services.channels import create_channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from tests.channels_app.conftest import Publisher
from tests.channels_app.doors_of import ask
from tests.channels_app.unions import forget

pytestmark = pytest.mark.django_db(transaction=True)

# What following one name takes, on top of the member's own publishing.
FOLLOWING_QUERIES = 40
COLD_QUERIES = 14
# What a process remembers for seconds is read again on a slow machine; 400 names more would cost hundreds.
FORGOTTEN_QUERIES = 15


@pytest.fixture
def members(staff: Actor, organization: Organization) -> list[Channel]:
    return [create_channel(actor=staff, organization=organization, name=name, visibility="public") for name in ("house", "forge")]


def fill(channel: Channel, names: int) -> None:
    """So many names, published."""
    now = timezone.now()
    PackageFile.objects.bulk_create(
        PackageFile(
            channel=channel,
            subdir="linux-64",
            filename=f"name{number}-1.0-0.conda",
            name=f"name{number}",
            version="1.0",
            build="0",
            sha256=f"{number:064x}",
            size=1,
            state=FileState.LIVE,
            record=f'{{"name":"name{number}","version":"1.0","build":"0","build_number":0,"sha256":"{number:064x}","size":1}}',
            indexed_at=now,
        )
        for number in range(names)
    )
    with transaction.atomic():
        Channel.objects.select_for_update().get(pk=channel.pk)
        mark_dirty(channel.pk, [("linux-64", f"name{number}") for number in range(names)])
    publish_dirty(channel.pk)


def publishing_queries(push: Publisher, channel: Channel, version: str) -> int:
    with CaptureQueriesContext(connection) as caught:
        push(channel, name="numpy", version=version, subdir="linux-64")
    return len(caught)


def test_a_publish_costs_the_union_as_much_whatever_else_the_members_hold(
    members: list[Channel], push: Publisher, staff: Actor, organization: Organization
) -> None:
    push(members[1], name="numpy", version="0.1", subdir="linux-64")
    alone = publishing_queries(push, members[1], "0.2")
    virtual.create_virtual(actor=staff, organization=organization, name="all", members=["house", "forge"], visibility="public")
    push(members[1], name="numpy", version="0.3", subdir="linux-64")
    few = publishing_queries(push, members[1], "1.0")
    fill(members[1], 400)
    many = publishing_queries(push, members[1], "2.0")
    assert many <= few + FORGOTTEN_QUERIES and few - alone <= FOLLOWING_QUERIES + FORGOTTEN_QUERIES, (alone, few, many)


def test_a_file_that_was_just_given_out_costs_no_query(
    members: list[Channel], push: Publisher, staff: Actor, organization: Organization
) -> None:
    virtual.create_virtual(actor=staff, organization=organization, name="all", members=["house", "forge"], visibility="public")
    push(members[1], name="numpy", version="1.0", subdir="linux-64")
    forget()
    path = "/channels/all/linux-64/numpy-1.0-0.conda"
    for most in (COLD_QUERIES, 0):
        with CaptureQueriesContext(connection) as caught:
            assert ask(path, data=True).status == 200
        assert len(caught) <= most, "\n".join(query["sql"][:200] for query in caught.captured_queries)
