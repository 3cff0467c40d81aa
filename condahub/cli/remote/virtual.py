"""Virtual channels of a remote hub: what they are made of, whose a name is, what is reserved or merged or shared."""

from __future__ import annotations

from typing import Any

import click

from condahub.cli.client import Hub
from condahub.cli.session import Session, remote
from condahub.cli.wording import segment

_NAMES = click.option(
    "--names",
    "names_of_removed",
    type=click.Choice(["keep", "release"]),
    help="Names that a removed member owns: kept from all members, or released to the next that holds them.",
)


@click.group()
def virtual() -> None:
    """Several channels shown as one: create, show, members, who owns a name."""


def _place(name: str) -> str:
    return f"channels/{segment(name)}/union"


def _as_rows(members: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "position": number, "name": one["name"] or "(hidden)"} for number, one in enumerate(members, 1)]


@virtual.command()
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@click.option("--org", "organization", help="Its organization (else your own).")
@click.option("--visibility", type=click.Choice(["public", "internal", "private"]), default="private", show_default=True)
@click.option("--description", default="")
@remote
def create(session: Session, name: str, members: tuple[str, ...], organization: str | None, visibility: str, description: str) -> None:
    """Make the virtual channel NAME of the channels MEMBERS, the highest first."""
    body = {"name": name, "kind": "virtual", "members": list(members), "visibility": visibility, "description": description}
    if organization is not None:
        body["organization"] = organization
    with session.connect() as hub:
        made = hub.post("channels", body)
    session.show(made, f"Created the {visibility} virtual channel {name} of {', '.join(members)}: {hub.url}/channels/{name}")


@virtual.command()
@click.argument("name")
@remote
def show(session: Session, name: str) -> None:
    """What the virtual channel NAME is made of, the highest member first."""
    with session.connect() as hub:
        found = hub.get(_place(name))
    if session.as_json:
        session.print_json(found)
        return
    columns = [("", "position"), ("MEMBER", "name"), ("VISIBILITY", "visibility"), ("REVISION", "revision"), ("SHARED BY", "shared_by")]
    session.table(_as_rows(found["members"]), columns, empty="It has no members.")
    if found["merged"]:
        session.note(f"Merged: {', '.join(found['merged'])}")
    if found["state"] == "following":
        session.note("The index does not show the last edit yet.")


@virtual.command()
@click.argument("name")
@click.argument("members", nargs=-1)
@_NAMES
@remote
def members(session: Session, name: str, members: tuple[str, ...], names_of_removed: str | None) -> None:
    """Put MEMBERS, the highest first, in place of those that NAME has."""
    _put(session, name, list(members), names_of_removed)


@virtual.command()
@click.argument("name")
@click.argument("member")
@click.option("--position", type=click.IntRange(min=1), help="1 is the highest; the lowest unless said.")
@remote
def add(session: Session, name: str, member: str, position: int | None) -> None:
    """Show the channel MEMBER in NAME too."""
    with session.connect() as hub:
        now = _members(hub, name)
    now.insert(len(now) if position is None else position - 1, member)
    _put(session, name, now, None)


@virtual.command()
@click.argument("name")
@click.argument("member")
@_NAMES
@remote
def remove(session: Session, name: str, member: str, names_of_removed: str | None) -> None:
    """Show the channel MEMBER in NAME no more."""
    with session.connect() as hub:
        now = _members(hub, name)
    _put(session, name, [one for one in now if one != member], names_of_removed)


def _members(hub: Hub, name: str) -> list[str]:
    return [one["name"] for one in hub.get(_place(name))["members"]]


def _put(session: Session, name: str, wanted: list[str], names_of_removed: str | None) -> None:
    body: dict[str, Any] = {"members": wanted}
    if names_of_removed is not None:
        body["names_of_removed"] = names_of_removed
    with session.connect() as hub:
        made = hub.call("PUT", _place(name), body=body)
    session.show(made, f"{name} shows {', '.join(one['name'] for one in made['members']) or 'nothing'}, at revision {made['revision']}.")


@virtual.command()
@click.argument("name")
@click.argument("package")
@remote
def owner(session: Session, name: str, package: str) -> None:
    """Which member of NAME the package name PACKAGE belongs to, and why."""
    with session.connect() as hub:
        found = hub.get(f"{_place(name)}/names/{segment(package)}")
    who = found["owner"] or ("a channel that you may not see" if found["members"] else "nobody")
    session.show(found, f"{package} in {name} belongs to {who}: {found['why']}.")


@virtual.command()
@click.argument("name")
@remote
def conflicts(session: Session, name: str) -> None:
    """Package names that several members of NAME hold; each belongs to the highest of them."""
    with session.connect() as hub:
        rows = list(hub.pages(f"{_place(name)}/conflicts"))
    session.table(rows, [("NAME", "name"), ("MEMBERS", "members")], empty="None.")


@virtual.command()
@click.argument("name")
@click.argument("package")
@click.option("--reason", default="")
@click.option("--no", "undo", is_flag=True, help="Show the files of its owner alone again.")
@remote
def merge(session: Session, name: str, package: str, reason: str, undo: bool) -> None:
    """Show the files of PACKAGE of all members of NAME that hold it."""
    with session.connect() as hub:
        made = hub.call("PUT", f"{_place(name)}/names/{segment(package)}", body={"merged": not undo, "reason": reason})
    shown = ", ".join(one or "(hidden)" for one in made["members"]) or "nobody"
    session.show(made, f"{package} in {name} is shown of {shown}.")


@virtual.command()
@click.argument("name")
@click.argument("packages", nargs=-1, required=True)
@click.option("--member", help="Whose they are to be; left out, no member shows them.")
@click.option("--reason", default="")
@remote
def reserve(session: Session, name: str, packages: tuple[str, ...], member: str | None, reason: str) -> None:
    """Reserve the names PACKAGES (* stands for any characters) in NAME."""
    with session.connect() as hub:
        hub.post(f"{_place(name)}/reservations", {"names": list(packages), "member": member or "", "reason": reason})
    session.show({"reserved": list(packages)}, f"Reserved {', '.join(packages)} for {member or 'nobody'}.")


@virtual.command()
@click.argument("name")
@click.argument("packages", nargs=-1, required=True)
@remote
def release(session: Session, name: str, packages: tuple[str, ...]) -> None:
    """End the reservations of PACKAGES in NAME."""
    with session.connect() as hub:
        hub.post(f"{_place(name)}/reservations/release", {"names": list(packages)})
    session.show({"released": list(packages)}, f"Released {', '.join(packages)}.")


@virtual.command()
@click.argument("name")
@remote
def reservations(session: Session, name: str) -> None:
    """The names that are reserved in NAME."""
    with session.connect() as hub:
        rows = list(hub.pages(f"{_place(name)}/reservations"))
    session.table(
        [{**row, "member": row["member"] or "(nobody)"} for row in rows],
        [("NAME", "pattern"), ("MEMBER", "member"), ("REASON", "reason"), ("BY", "created_by")],
        empty="None.",
    )


@virtual.command()
@click.argument("member")
@click.argument("name")
@click.option("--no", "undo", is_flag=True, help="Take it back.")
@remote
def share(session: Session, member: str, name: str, undo: bool) -> None:
    """Let every reader of NAME have the packages of your channel MEMBER through it."""
    path = f"channels/{segment(member)}/shown-in/{segment(name)}"
    with session.connect() as hub:
        hub.call("DELETE" if undo else "PUT", path)
    session.show(
        {"member": member, "virtual": name, "shared": not undo},
        f"{member} is {'no more ' if undo else ''}shared with the readers of {name}.",
    )
