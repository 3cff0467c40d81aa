"""API tokens: what programs sign in with. A secret is printed once, when it is made, and nowhere else."""

from __future__ import annotations

from typing import Any

import click

from condahub.cli.session import Session, cell, remote
from condahub.cli.wording import confirm, expiry


@click.group()
def token() -> None:
    """List, create, revoke, rotate API tokens."""


@token.command("list")
@remote
def list_tokens(session: Session) -> None:
    """Your tokens, with where and when each was used last."""
    with session.connect() as hub:
        rows = list(hub.pages("tokens"))
    columns = [("ID", "id"), ("NAME", "name"), ("STARTS WITH", "prefix"), ("SCOPES", "scopes"), ("EXPIRES", "expires_at")]
    session.table(
        rows, [*columns, ("LAST USED", "last_used_at"), ("FROM", "last_used_from"), ("REVOKED", "revoked_at")], empty="You have none."
    )


@token.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="A permission or a bundle such as ci (repeatable); see `token scopes`."
)
@click.option("--org", "organizations", multiple=True, help="Limit it to this organization (repeatable).")
@click.option("--channel", "channels", multiple=True, help="Limit it to this channel (repeatable).")
@click.option("--package", "packages", multiple=True, metavar="CHANNEL/PACKAGE", help="Limit it to this package (repeatable).")
@click.option("--expires", metavar="WHEN", help="90d, 12h, 2027-01-31 or a full time.")
@remote
def create(
    session: Session,
    name: str,
    scopes: tuple[str, ...],
    organizations: tuple[str, ...],
    channels: tuple[str, ...],
    packages: tuple[str, ...],
    expires: str | None,
) -> None:
    """Make a token called NAME and print its secret, this once."""
    body: dict[str, Any] = {"name": name, "scopes": list(scopes), "expires_at": expiry(expires)}
    body |= {"organizations": list(organizations), "channels": list(channels), "packages": list(packages)}
    with session.connect() as hub:
        made = hub.post("tokens", body)
    _show_secret(session, made)


def _show_secret(session: Session, made: dict[str, Any]) -> None:
    session.note(f"Token {made.get('id')} '{made.get('name')}'. This is its only showing; keep it where your program finds it:")
    session.show(made, str(made.get("secret", "")))


@token.command()
@click.argument("token_id", metavar="ID", type=int)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@remote
def revoke(session: Session, token_id: int, yes: bool) -> None:
    """End the token ID; it is refused everywhere within seconds."""
    confirm(f"Revoke token {token_id}?", yes)
    with session.connect() as hub:
        answer = hub.delete(f"tokens/{token_id}")
    session.show(answer or {"id": token_id, "revoked": True}, f"Revoked token {token_id}.")


@token.command()
@click.argument("token_id", metavar="ID", type=int)
@click.option("--overlap", type=click.IntRange(min=0), default=0, metavar="SECONDS", help="How long the old secret goes on working.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@remote
def rotate(session: Session, token_id: int, overlap: int, yes: bool) -> None:
    """Give the token ID a new secret and print it, this once; the old one ends, now or after an overlap."""
    confirm(f"Replace the secret of token {token_id}?", yes)
    with session.connect() as hub:
        made = hub.post(f"tokens/{token_id}/rotate", {"overlap_seconds": overlap})
    _show_secret(session, made)


@token.command()
@remote
def scopes(session: Session) -> None:
    """What a token may be allowed: bundles first, then single permissions."""
    with session.connect() as hub:
        known = hub.get("permissions")
    if session.as_json:
        session.print_json(known)
        return
    for title, key in (("Bundles", "bundles"), ("Permissions", "permissions")):
        found = known.get(key) or ()
        click.secho(title, bold=True)
        if isinstance(found, dict):
            width = max(map(len, found), default=0)
            for name, value in found.items():
                click.echo(f"  {name:<{width}}  {cell(value)}")
        else:
            for one in found:
                click.echo(f"  {cell(one)}")
