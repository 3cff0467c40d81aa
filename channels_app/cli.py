"""`condahub admin channels`, `reindex` and `advisories`: all channels of this hub, an index made anew, OSV files loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from django.db.models import Count

from channels_app import selectors
from channels_app.models import Channel, FileState, PackageFile
from channels_app.policies import osv
from channels_app.services import reindexing
from channels_app.services.policies import load_advisories
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
    record(actor=operator(), action="channel.reindex", target=f"channel:{channel.name}", organization_id=channel.organization_id)
    before = channel.head
    number = reindexing.reindex(channel)
    click.echo(f"{channel.name} is at revision {number}" + (": nothing had to change." if number == before else "."))


@register
@click.group()
def advisories() -> None:
    """What is known of flaws in packages: load OSV files."""


@advisories.command()
@click.argument("place", type=click.Path(exists=True, path_type=Path))
@click.option("--ecosystem", "ecosystems", multiple=True, help="Whose package names are conda's too (conda and PyPI unless given).")
def load(place: Path, ecosystems: tuple[str, ...]) -> None:
    """Load PLACE, an OSV file or a folder of them: each entry takes the place of what was loaded of it before."""
    unreadable: list[str] = []
    loaded = load_advisories(actor=operator(), entries=_entries(place, unreadable), ecosystems=ecosystems or osv.ECOSYSTEMS)
    click.echo(
        f"{loaded.advisories} advisories of {loaded.entries} entries; {loaded.withdrawn} withdrawn, {loaded.skipped} of other packages."
    )
    if unreadable:
        named = ", ".join(unreadable[:5])
        raise Failure(f"{len(unreadable)} files are no OSV entries: {named}.", hint="The others were loaded.", code="bad_advisory")


def _entries(place: Path, unreadable: list[str]) -> Iterator[osv.Entry]:
    """The entries of a file, or of every .json file below a folder; what can't be read is named in `unreadable`."""
    for path in [place] if place.is_file() else sorted(place.rglob("*.json")):
        try:
            yield from osv.read_entries(path.read_bytes())
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
            unreadable.append(path.name)
