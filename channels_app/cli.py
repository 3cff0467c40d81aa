"""`condahub admin channels` and `reindex`: all channels of this hub, and an index made anew from its files."""

from __future__ import annotations

import click
from django.db import transaction
from django.db.models import Count

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, FileState, PackageFile
from condahub.audit.services import record
from condahub.cli import tables
from condahub.cli.exits import Failure
from condahub.cli.server import operator, register
from condahub.cli.session import size_text

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@register
@click.command()
@_JSON
def channels(as_json: bool) -> None:
    """Every channel, deleted ones in their grace period too."""
    found = Channel.objects.select_related("organization").order_by("name")
    live = PackageFile.objects.filter(state=FileState.LIVE).order_by().values("channel_id")
    files = dict(live.annotate(count=Count("pk")).values_list("channel_id", "count"))
    rows = [
        {
            "name": one.name,
            "organization": one.organization.name,
            "visibility": one.visibility,
            "kind": one.kind,
            "files": files.get(one.pk, 0),
            "bytes": one.used_bytes if as_json else size_text(one.used_bytes),
            "revision": one.head,
            "deleted_at": one.deleted_at.isoformat() if one.deleted_at else None,
        }
        for one in found
    ]
    columns = [("NAME", "name"), ("ORGANIZATION", "organization"), ("VISIBILITY", "visibility"), ("KIND", "kind"), ("FILES", "files")]
    tables.show(rows, [*columns, ("HOLDS", "bytes"), ("REVISION", "revision"), ("DELETED", "deleted_at")], as_json=as_json)


@register
@click.command()
@click.argument("channel_name", metavar="CHANNEL")
def reindex(channel_name: str) -> None:
    """Make CHANNEL's index anew from its files; a right one stays as it is."""
    channel = selectors.channel_by_name(channel_name)
    if channel is None:
        raise Failure(f"There is no channel '{channel_name}'.", hint="See: condahub admin channels", code="no_such_channel")
    with transaction.atomic():
        channel = selectors.lock(channel)
        names = PackageFile.objects.filter(channel=channel).order_by().values_list("subdir", "name").distinct()
        mark_dirty(channel.pk, list(names), cause="index made anew")
        record(actor=operator(), action="channel.reindex", target=f"channel:{channel.name}", organization_id=channel.organization_id)
    before = channel.head
    number = publish_dirty(channel.pk)
    click.echo(f"{channel.name} is at revision {number}" + (": nothing had to change." if number == before else "."))
