"""Organizations, who is in them, and which roles they hold on what."""

from __future__ import annotations

import click

from condahub.cli.exits import Usage
from condahub.cli.session import Session, remote
from condahub.cli.wording import confirm, segment

ROLE = click.Choice(["reader", "contributor", "maintainer", "owner"])


@click.group()
def org() -> None:
    """Organizations, their members and grants."""


@org.command("list")
@remote
def list_organizations(session: Session) -> None:
    """The organizations that you may see."""
    with session.connect() as hub:
        rows = list(hub.pages("organizations"))
    session.table(rows, [("NAME", "name"), ("TITLE", "title"), ("PERSONAL", "is_personal"), ("DESCRIPTION", "description")], empty="None.")


@org.command()
@click.argument("name")
@click.option("--title", default="")
@click.option("--description", default="")
@remote
def create(session: Session, name: str, title: str, description: str) -> None:
    """Make the organization NAME (for IT staff, and those that IT names)."""
    with session.connect() as hub:
        made = hub.post("organizations", {"name": name, "title": title, "description": description})
    session.show(made, f"Created the organization {name}.")


@org.command()
@click.argument("name")
@remote
def members(session: Session, name: str) -> None:
    """Who is in the organization NAME."""
    with session.connect() as hub:
        rows = list(hub.pages(f"organizations/{segment(name)}/members"))
    session.table(
        rows, [("USER", "username"), ("NAME", "display_name"), ("ROLE", "role"), ("WHY", "why")], empty="Nobody that you may see."
    )


@org.command()
@click.argument("name")
@remote
def grants(session: Session, name: str) -> None:
    """The roles that are granted in the organization NAME."""
    with session.connect() as hub:
        rows = list(hub.pages(f"organizations/{segment(name)}/grants"))
    columns = [("ID", "id"), ("USER", "user"), ("TEAM", "team"), ("ROLE", "role"), ("CHANNEL", "channel"), ("PACKAGE", "package")]
    session.table(rows, [*columns, ("ENVIRONMENT", "environment"), ("SOURCE", "source")], empty="None.")


@org.command()
@click.argument("name")
@click.argument("role", type=ROLE)
@click.option("--user", help="To this person or robot.")
@click.option("--team", help="To this team of the organization.")
@click.option("--channel", help="On this channel only.")
@click.option("--package", help="On this package name in that channel only.")
@remote
def grant(session: Session, name: str, role: str, user: str | None, team: str | None, channel: str | None, package: str | None) -> None:
    """Give ROLE in the organization NAME to a user or a team."""
    if (user is None) == (team is None):
        raise Usage("Say to whom: either --user or --team.")
    if package and not channel:
        raise Usage("--package needs the --channel that it is in.")
    wanted = {"user": user, "team": team, "role": role, "channel": channel, "package": package}
    with session.connect() as hub:
        made = hub.post(f"organizations/{segment(name)}/grants", {key: value for key, value in wanted.items() if value is not None})
    place = f"{channel}/{package}" if package else channel or name
    session.show(made, f"{user or team} is {role} of {place}.")


@org.command()
@click.argument("name")
@click.argument("grant_id", metavar="GRANT", type=int)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@remote
def revoke(session: Session, name: str, grant_id: int, yes: bool) -> None:
    """Take back the grant with the number GRANT (see `org grants NAME`)."""
    confirm(f"Take back grant {grant_id} of {name}?", yes)
    with session.connect() as hub:
        hub.delete(f"organizations/{segment(name)}/grants/{grant_id}")
    session.show({"id": grant_id, "revoked": True}, f"Took back grant {grant_id}.")
