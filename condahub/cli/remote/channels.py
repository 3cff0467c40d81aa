"""Channels of a remote hub, and their past states."""

from __future__ import annotations

from typing import Any

import click

from condahub.cli.remote.virtual import virtual
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import confirm, segment

VISIBILITY = click.Choice(["public", "internal", "private"])


@click.group()
def channel() -> None:
    """List, create, change, rename, delete channels."""


channel.add_command(virtual)


@channel.command("list")
@click.option("--org", "organization", help="Of this organization only.")
@click.option("--visibility", type=VISIBILITY, help="With this visibility only.")
@click.option("--query", "-q", "query", help="Whose name or description holds this.")
@remote
def list_channels(session: Session, organization: str | None, visibility: str | None, query: str | None) -> None:
    """The channels that you may read."""
    with session.connect() as hub:
        rows = list(hub.pages("channels", organization=organization, visibility=visibility, q=query))
    session.table(
        rows,
        [
            ("NAME", "name"),
            ("ORGANIZATION", "organization"),
            ("VISIBILITY", "visibility"),
            ("KIND", "kind"),
            ("DESCRIPTION", "description"),
        ],
        empty="There is no channel that you may read.",
    )


@channel.command()
@click.argument("name")
@click.option("--org", "organization", help="Its organization (else your own).")
@click.option("--visibility", type=VISIBILITY, default="private", show_default=True)
@click.option("--description", default="")
@click.option("--allow-overwrite", is_flag=True, help="Let owners replace a file by other bytes of the same name.")
@remote
def create(session: Session, name: str, organization: str | None, visibility: str, description: str, allow_overwrite: bool) -> None:
    """Make the channel NAME."""
    body: dict[str, Any] = {"name": name, "visibility": visibility, "description": description, "allow_overwrite": allow_overwrite}
    if organization is not None:
        body["organization"] = organization
    with session.connect() as hub:
        made = hub.post("channels", body)
    session.show(made, f"Created the {visibility} channel {name} of {made['organization']}: {hub.url}/channels/{name}")


@channel.command()
@click.argument("name")
@remote
def show(session: Session, name: str) -> None:
    """What the channel NAME is."""
    with session.connect() as hub:
        found = hub.get(f"channels/{segment(name)}")
    if session.as_json:
        session.print_json(found)
        return
    shown: dict[str, Any] = dict(found)
    for key in ("used_bytes", "quota_bytes"):
        if isinstance(shown.get(key), int):
            shown[key] = size_text(shown[key])
    session.fields(
        shown,
        [
            ("Name", "name"),
            ("URL", "url"),
            ("Organization", "organization"),
            ("Kind", "kind"),
            ("Visibility", "visibility"),
            ("Description", "description"),
            ("Overwriting allowed", "allow_overwrite"),
            ("Revision", "revision"),
            ("Packages", "packages_count"),
            ("Holds", "used_bytes"),
            ("Quota", "quota_bytes"),
            ("Builds kept", "keep_builds"),
            ("Created", "created_at"),
        ],
    )


@channel.command()
@click.argument("name")
@click.option("--visibility", type=VISIBILITY)
@click.option("--description")
@click.option("--allow-overwrite/--no-overwrite", default=None, help="Whether owners may replace a file by other bytes.")
@click.option("--keep-builds", type=click.IntRange(min=0), help="Keep the newest N builds of each package; 0 keeps all.")
@remote
def update(
    session: Session, name: str, visibility: str | None, description: str | None, allow_overwrite: bool | None, keep_builds: int | None
) -> None:
    """Change settings of the channel NAME."""
    changes: dict[str, Any] = {"visibility": visibility, "description": description, "allow_overwrite": allow_overwrite}
    changes = {key: value for key, value in changes.items() if value is not None}
    if keep_builds is not None:
        changes["keep_builds"] = keep_builds or None
    if not changes:
        raise click.UsageError("Nothing to change: give at least one option.")
    with session.connect() as hub:
        changed = hub.patch(f"channels/{segment(name)}", changes)
    session.show(changed, f"Changed {name}: {', '.join(sorted(changes))}.")


@channel.command()
@click.argument("name")
@click.argument("new_name")
@remote
def rename(session: Session, name: str, new_name: str) -> None:
    """Call the channel NAME NEW_NAME; the old name goes on answering, with a notice."""
    with session.connect() as hub:
        changed = hub.post(f"channels/{segment(name)}/rename", {"name": new_name})
    session.show(changed, f"{name} is now {new_name}.")


@channel.command("delete")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@remote
def delete_channel(session: Session, name: str, yes: bool) -> None:
    """Close the channel NAME; `channel restore` brings it back within the grace period."""
    confirm(f"Delete the channel {name} with all its packages?", yes)
    with session.connect() as hub:
        answer = hub.delete(f"channels/{segment(name)}")
    session.show(answer or {"name": name, "deleted": True}, f"Deleted {name}. For now, `condahub channel restore {name}` brings it back.")


@channel.command()
@click.argument("name")
@remote
def restore(session: Session, name: str) -> None:
    """Bring back the channel NAME after a delete."""
    with session.connect() as hub:
        restored = hub.post(f"channels/{segment(name)}/restore")
    session.show(restored, f"Restored {name}.")


@click.command()
@click.argument("channel_name", metavar="CHANNEL")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The newest so many.")
@remote
def revisions(session: Session, channel_name: str, limit: int) -> None:
    """The past states of CHANNEL, newest first; each is a channel of its own at CHANNEL@NUMBER."""
    rows: list[dict[str, Any]] = []
    with session.connect() as hub:
        for row in hub.pages(f"channels/{segment(channel_name)}/revisions"):
            rows.append(row)
            if len(rows) == limit:
                break
    session.table(
        rows, [("REVISION", "number"), ("MADE", "created_at"), ("CAUSE", "cause"), ("TAG", "tag"), ("PINNED", "pinned")], empty="None."
    )


@click.command()
@click.argument("channel_name", metavar="CHANNEL")
@click.argument("revision", type=click.IntRange(min=1))
@click.option("--dry-run", is_flag=True, help="Only say what it would do.")
@remote
def rollback(session: Session, channel_name: str, revision: int, dry_run: bool) -> None:
    """Make CHANNEL show again what REVISION showed, as a new revision. What came since is deleted, and stays at its own revisions."""
    with session.connect() as hub:
        done = hub.post(f"channels/{segment(channel_name)}/revisions/{revision}/rollback", {"dry_run": dry_run})
    lines = [f"+ {path}" for path in done["shown"]] + [f"~ {path}" for path in done["changed"]] + [f"- {path}" for path in done["hidden"]]
    lines += [f"! {one['subdir']}/{one['filename']} stays as it is: {one['why']}" for one in done["kept"]]
    ends = "would show" if dry_run else f"shows, as revision {done['revision']},"
    lines.append(f"{channel_name} {ends} what revision {revision} showed.")
    session.show(done, "\n".join(lines))
