"""Policies of a remote hub: what is shown, what an edit would hide, what is hidden and why, waivers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import yaml

from condahub.cli.exits import Usage
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import expiry, segment


@click.group()
def policy() -> None:
    """What of the channels is shown: show, set, preview, hidden, waive."""


def _place(channel: str | None, organization: str | None) -> str:
    """The path of the level that is meant; the installation's when nothing is named."""
    if channel is not None and organization is not None:
        raise Usage("Either --channel or --org.")
    if channel is not None:
        return f"channels/{segment(channel)}/policy"
    return f"organizations/{segment(organization)}/policy" if organization is not None else "policies"


_CHANNEL = click.option("--channel", metavar="NAME", help="The rules of this channel.")
_ORGANIZATION = click.option("--org", "organization", metavar="NAME", help="The rules of this organization.")


@policy.command()
@_CHANNEL
@_ORGANIZATION
@remote
def show(session: Session, channel: str | None, organization: str | None) -> None:
    """The rules of the hub, or of an organization; of a channel, all that act on it."""
    with session.connect() as hub:
        found = hub.get(_place(channel, organization))
    if session.as_json:
        session.print_json(found)
        return
    for one in found.get("policies", [found]):
        click.echo(f"# {one['level']}")
        click.echo(yaml.safe_dump(one["rules"], sort_keys=False).rstrip() if one["rules"] else "{}")
    if found.get("policy_state") == "applying":
        session.note("The index does not show the last edit yet.")


def _rules(source: str) -> Any:
    """Rules out of a YAML or JSON file; '-' is standard input. Raises Usage."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        return yaml.safe_load(text) or {}
    except OSError as error:
        raise Usage(f"'{source}' can't be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Usage(f"'{source}' is neither YAML nor JSON.") from None


@policy.command("set")
@click.argument("file")
@_CHANNEL
@_ORGANIZATION
@remote
def set_rules(session: Session, file: str, channel: str | None, organization: str | None) -> None:
    """Put the rules in FILE (YAML or JSON, - for standard input) in place of all that the level has."""
    place = _place(channel, organization)
    with session.connect() as hub:
        made = hub.call("PUT", place, body={"rules": _rules(file)})
    names = ", ".join(made["rules"]) or "none"
    session.show(made, f"Rules of the {made['level']}: {names}. Downloads obey within seconds, the index within a minute.")


@policy.command()
@click.argument("file")
@_CHANNEL
@_ORGANIZATION
@remote
def preview(session: Session, file: str, channel: str | None, organization: str | None) -> None:
    """What the rules in FILE would hide if they were set; nothing is changed."""
    place = _place(channel, organization)
    with session.connect() as hub:
        found = hub.post(f"{place}/preview", {"rules": _rules(file)})
    if session.as_json:
        session.print_json(found)
        return
    click.echo(f"{found['newly_hidden']} more files would be hidden and {found['newly_shown']} shown again, of {found['examined']}.")
    if not found["complete"]:
        session.note("There are more files than were looked at.")
    columns = [("CHANNEL", "channel"), ("SUBDIR", "subdir"), ("FILE", "filename"), ("EFFECT", "effect"), ("REASON", "reason")]
    session.table(found["samples"], columns, empty="")


@policy.command()
@click.argument("channel")
@click.option("--name", help="Of this package only.")
@remote
def hidden(session: Session, channel: str, name: str | None) -> None:
    """What policy hides of CHANNEL, and why."""
    with session.connect() as hub:
        rows = list(hub.pages(f"channels/{segment(channel)}/hidden", name=name))
    columns = [("FILE", "file"), ("EFFECT", "effect"), ("LICENSE", "license"), ("SIZE", "size"), ("WITH ALL IT NEEDS", "closure")]
    told = [
        {
            **row,
            "file": f"{row['subdir']}/{row['filename']}",
            "size": size_text(row["size"]),
            "closure": _needs(row["closure"]),
        }
        for row in rows
    ]
    session.table(rows if session.as_json else told, [*columns, ("REASON", "reason")], empty="Policy hides nothing there.")


def _needs(closure: dict[str, Any]) -> str:
    many = "1 package" if closure["packages"] == 1 else f"{closure['packages']} packages"
    return f"{many}, {size_text(closure['bytes'])}"


@policy.command()
@click.argument("channel")
@click.argument("what")
@click.option("--reason", required=True)
@click.option("--until", "until", required=True, help="90d, 12h, 2027-01-31 or a full time.")
@remote
def release(session: Session, channel: str, what: str, reason: str, until: str) -> None:
    """Show WHAT (a sha256 or a spec) in CHANNEL until a time, by a waiver of each rule that hides it."""
    with session.connect() as hub:
        made = hub.post(f"channels/{segment(channel)}/hidden/release", {"what": what, "reason": reason, "expires_at": expiry(until)})
    rules = ", ".join(f"{one['rule']} ({one['level']})" for one in made)
    session.show(made, f"Waived for {what} in {channel}: {rules}.")
