"""Signing in and out, who one is, searching, and asking the API directly."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from condahub.cli import configuration
from condahub.cli.client import Hub
from condahub.cli.exits import Usage
from condahub.cli.session import Session, remote


@click.command()
@click.argument("url")
@click.option("--token", metavar="TOKEN", help="Better by the prompt or --token-stdin: others on this machine see command lines.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
def login(url: str, token: str | None, token_stdin: bool) -> None:
    """Sign in to the hub at URL with an API token, and keep the token for this machine's user."""
    url = configuration.normalise(url)
    if token and token_stdin:
        raise Usage("Give the token once: by --token or by --token-stdin.")
    if token_stdin:
        token = sys.stdin.readline()
    elif token is None:
        token = click.prompt(f"API token for {url}", hide_input=True, err=True)
    token = configuration.check_token(str(token))
    if configuration.is_plain(url):
        click.secho(f"{url} is not encrypted: the token can be read on its way.", fg="yellow", err=True)
    with Hub(url, token) as hub:
        me = hub.get("me")
    known = configuration.load()
    known.hubs[url] = {"token": token, "user": str(me.get("username", ""))}
    known.default = url
    known.save()
    click.echo(f"Signed in to {url} as {me.get('username')}.")


@click.command()
@click.argument("url", required=False)
def logout(url: str | None) -> None:
    """Forget the token of the hub at URL (without URL: of the last login). The token itself stays valid: see `token revoke`."""
    known = configuration.load()
    url = configuration.hub_url(url, known)
    if known.hubs.pop(url, None) is None:
        click.echo(f"There was no login at {url}.", err=True)
        return
    if known.default == url:
        known.default = next(iter(sorted(known.hubs)), "")
    known.save()
    click.echo(f"Signed out of {url}.")


@click.command()
@remote
def whoami(session: Session) -> None:
    """Who the hub takes you for, and in which organizations you are."""
    with session.connect() as hub:
        me = hub.get("me")
    if session.as_json:
        session.print_json({"hub": hub.url, **me})
        return
    organizations = [f"{one.get('name')} ({one.get('role')})" for one in me.get("organizations") or ()]
    token: dict[str, Any] = me.get("token") or {}
    session.fields(
        {
            **me,
            "hub": hub.url,
            "organizations": organizations,
            "staff": me.get("is_staff") or None,
            "token": token.get("name"),
            "scopes": token.get("scopes"),
            "expires": token.get("expires_at"),
        },
        [
            ("Hub", "hub"),
            ("User", "username"),
            ("Name", "display_name"),
            ("Staff", "staff"),
            ("Organizations", "organizations"),
            ("Token", "token"),
            ("Scopes", "scopes"),
            ("Expires", "expires"),
        ],
    )


@click.command()
@click.argument("query")
@remote
def search(session: Session, query: str) -> None:
    """Find packages and channels that you may see."""
    with session.connect() as hub:
        rows = list(hub.pages("search", q=query))
    session.table(
        rows,
        [("KIND", "kind"), ("NAME", "name"), ("CHANNEL", "channel"), ("LATEST", "latest_version"), ("SUMMARY", "summary")],
        empty=f"Nothing that you may see matches '{query}'.",
    )


@click.command()
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option("--data", metavar="JSON", help="The body; @FILE reads it from a file, @- from standard input.")
@remote
def api(session: Session, method: str, path: str, data: str | None) -> None:
    """Ask PATH of the REST API (below /api/hub/v1/ unless it starts with '/') and print the answer's JSON."""
    body = None
    if data is not None:
        text = data
        if data.startswith("@"):
            text = sys.stdin.read() if data == "@-" else _read(data[1:])
        try:
            body = json.loads(text)
        except ValueError as error:
            raise Usage(f"--data is not JSON: {error}.") from None
    with session.connect() as hub:
        answer = hub.call(method.upper(), path, body=body)
    if isinstance(answer, str):
        click.echo(answer)
    elif answer is not None:
        session.print_json(answer)


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Usage(f"{name} can't be read.") from None
