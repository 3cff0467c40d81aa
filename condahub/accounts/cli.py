"""`condahub admin user`, `token` and `unlock`: accounts from the shell, also when every other way to sign in is down."""

from __future__ import annotations

import secrets
import sys
from datetime import datetime
from typing import Any

import click

from condahub.accounts.models import User
from condahub.accounts.services import tokens, users
from condahub.accounts.signin import directory, local
from condahub.accounts.signin.sync import sync_directory
from condahub.cli import tables
from condahub.cli.exits import Failure, Usage
from condahub.cli.server import operator, register
from condahub.cli.wording import expiry

ADMINISTRATOR = "admin"
# 15 bytes are 20 characters that a person can copy, and more than anybody can guess.
PASSWORD_BYTES = 15
UNLOCKED_HOURS = 24
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@register
@click.group()
def user() -> None:
    """People's accounts: create, list, deactivate, reactivate."""


@user.command()
@click.argument("username")
@click.option("--email", default="")
@click.option("--name", "display_name", default="", help="As others are shown it.")
@click.option("--staff", "is_staff", is_flag=True, help="IT staff.")
@click.option("--admin", "is_superuser", is_flag=True, help="An administrator.")
@click.option("--auditor", "is_auditor", is_flag=True, help="Reads all, changes nothing.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; else one is made and printed.")
@click.option("--no-password", is_flag=True, help="Signs in by other means only.")
def create(username: str, password_stdin: bool, no_password: bool, **options: Any) -> None:
    """Make an account for a person."""
    if password_stdin and no_password:
        raise Usage("Either --password-stdin or --no-password.")
    given = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    password = None if no_password else given or secrets.token_urlsafe(PASSWORD_BYTES)
    made = users.create_user(actor=operator(), username=username, password=password, **options)
    click.echo(f"Created {made.username}.", err=True)
    if password is not None and not given:
        _show_password(password)


def _show_password(password: str) -> None:
    click.echo("The password, shown this once:", err=True)
    click.echo(password)


@user.command("list")
@click.option("--robots", is_flag=True, help="Robot accounts too.")
@_JSON
def list_users(robots: bool, as_json: bool) -> None:
    """All accounts."""
    found = User.objects.order_by("username")
    if not robots:
        found = found.filter(organization__isnull=True)
    rows = [
        {
            "username": one.username,
            "name": one.shown_name,
            "email": one.email,
            "active": one.is_active,
            "staff": one.is_staff,
            "administrator": one.is_superuser,
            "auditor": one.is_auditor,
            "last_login": one.last_login.isoformat() if one.last_login else None,
        }
        for one in found
    ]
    columns = [("USER", "username"), ("NAME", "name"), ("E-MAIL", "email"), ("ACTIVE", "active"), ("STAFF", "staff")]
    tables.show(rows, [*columns, ("ADMIN", "administrator"), ("AUDITOR", "auditor"), ("LAST SIGN-IN", "last_login")], as_json=as_json)


@user.command()
@click.argument("username")
def deactivate(username: str) -> None:
    """Stop an account: no sign-in, no session, every token revoked."""
    users.deactivate_user(actor=operator(), user=_user(username))
    click.echo(f"Deactivated {username}; its tokens are revoked.")


@user.command()
@click.argument("username")
def reactivate(username: str) -> None:
    """Let an account in again; its old tokens stay revoked."""
    users.reactivate_user(actor=operator(), user=_user(username))
    click.echo(f"Reactivated {username}.")


@register
@click.command()
@click.argument("username", default=ADMINISTRATOR)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; else one is made and printed.")
@click.option("--keep-second-factor", is_flag=True, help="Leave passkeys and codes as they are; else they are taken away.")
def unlock(username: str, password_stdin: bool, keep_second_factor: bool) -> None:
    """Make USERNAME (admin) a local administrator with a new password, whatever else about signing in is broken.

    Where local accounts are off, or the account is the directory's, the password opens for a day.
    """
    given = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
    password = given or secrets.token_urlsafe(PASSWORD_BYTES)
    found = User.objects.filter(username=username).first()
    if found is not None and found.is_robot:
        raise Failure(f"'{username}' is a robot account.", hint="Choose a person's account.")
    actor = operator()
    if found is None:
        found = users.create_user(actor=actor, username=username, password=password, is_superuser=True)
    else:
        if not found.is_active:
            users.reactivate_user(actor=actor, user=found)
        users.promote_user(actor=actor, user=found, is_superuser=True, is_staff=True)
        users.set_password(actor=actor, user=found, password=password)
    users.unlock_user(actor=actor, user=found, hours=UNLOCKED_HOURS, keep_second_factor=keep_second_factor)
    click.echo(f"{found.username} is an administrator and can sign in with the new password. The audit trail says so.", err=True)
    if not local.opens_by_itself(found):
        click.echo(f"Local sign-in is off for this account: the password opens for {UNLOCKED_HOURS} hours.", err=True)
    if not given:
        _show_password(password)


@register
@click.group("directory")
def directory_group() -> None:
    """The company's directory (LDAP, Active Directory)."""


@directory_group.command("sync")
@click.option("--force", is_flag=True, help="Stop people even when most are gone from the directory.")
def directory_sync(force: bool) -> None:
    """Follow the directory now: who is gone is stopped, groups give what they give."""
    _require_directory()
    told = sync_directory(force=force)
    click.echo(f"Looked at {told.looked_at} accounts: {told.closed} stopped, {told.reopened} opened again.")


@directory_group.command("test")
@click.argument("username", required=False)
def directory_test(username: str | None) -> None:
    """Bind as the hub does, and show what the directory tells of USERNAME."""
    _require_directory()
    if not username:
        directory.test_connection()
        click.echo("The directory answers, and lets the hub look.")
        return
    entry = directory.find(username)
    if entry is None:
        raise Failure(f"The directory has nobody called '{username}'.", hint="See CONDAHUB_LDAP_USER_BASE and CONDAHUB_LDAP_USER_FILTER.")
    rows = [{"what": "DN", "value": entry.dn}, {"what": "name", "value": entry.name}, {"what": "e-mail", "value": entry.email}]
    rows += [{"what": "group", "value": group} for group in entry.groups]
    tables.show(rows, [("WHAT", "what"), ("VALUE", "value")], as_json=False)


def _require_directory() -> None:
    if not directory.is_configured():
        raise Failure("No directory is set up.", hint="Set CONDAHUB_LDAP_URL.")


@register
@click.group()
def token() -> None:
    """API tokens from the shell."""


@token.command("create")
@click.argument("username")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, default=("full",), show_default=True, help="A permission or a bundle (repeatable).")
@click.option("--expires", metavar="WHEN", help="90d, 12h, 2027-01-31 or a full time.")
def create_token(username: str, name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a token for the account USERNAME and print its secret, this once."""
    when = expiry(expires)
    made = tokens.create_token(
        actor=operator(), owner=_user(username), name=name, scopes=scopes, expires_at=datetime.fromisoformat(when) if when else None
    )
    click.echo(f"Token {made.token.pk} of {username}. This is its only showing:", err=True)
    click.echo(made.secret)


def _user(username: str) -> User:
    found = User.objects.filter(username=username).first()
    if found is None:
        raise Failure(f"There is no account '{username}'.", hint="See: condahub admin user list --robots", code="no_such_user")
    return found
