"""`condahub mirror create`, `update` and `delete`: a hub's mirrors made of options and files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from condahub.cli.exits import Failure, Usage
from condahub.cli.session import Session, remote
from condahub.cli.wording import confirm, segment

MEGABYTE = 1_000_000
MAX_FILE_BYTES = 40 * 2**20
MODES = click.Choice(["full", "filtered", "lazy", "lock"])
_FILTERS = ("include", "exclude", "newest", "max_size", "license", "with_dependencies")


def _settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What create and update have in common; None and () mean that it was not given."""
    path = click.Path(path_type=Path, dir_okay=False)
    options = [
        click.option("--upstream", "upstreams", multiple=True, metavar="URL", help="The channel to copy; may be repeated, asked in order."),
        click.option("--mode", type=MODES, help="full, filtered (where filters are given), lazy (on demand), lock (with --lock)."),
        click.option("--subdir", "subdirs", multiple=True, help="Such as linux-64; may be repeated."),
        click.option("--include", multiple=True, metavar="SPEC", help="Only what matches, for example 'numpy >=2' or 'py*'."),
        click.option("--exclude", multiple=True, metavar="SPEC", help="Not what matches."),
        click.option("--newest", type=click.IntRange(1), metavar="N", help="Only the newest N versions of each package."),
        click.option("--max-size", type=click.IntRange(1), metavar="MB", help="No package over."),
        click.option("--license", "license", multiple=True, metavar="GLOB", help="Only these licences, for example 'BSD*'."),
        click.option("--with-dependencies", is_flag=True, default=None, help="With what chosen packages need."),
        click.option("--lock", type=path, help="Exactly what a pixi.lock, conda-lock.yml or explicit file names."),
        click.option("--removed", type=click.Choice(["keep", "drop"]), help="What becomes of packages that the upstream removes."),
        click.option("--denied", type=click.Choice(["bring", "leave"]), help="What becomes of packages that policy denies."),
        click.option("--schedule", metavar="CRON", help="Five cron fields: '30 2 * * *' is every night; '' is by hand only."),
        click.option("--time-zone", metavar="ZONE", help="Of the schedule, for example Europe/Berlin."),
        click.option(
            "--credentials", type=click.Choice(["token", "basic", "bearer", "api_key", "s3", "none"]), help="What the upstream asks for."
        ),
        click.option("--token-file", type=path, help="The file that holds the upstream's token; - is standard input."),
        click.option("--username", help="Of the upstream; of S3 the access key."),
        click.option("--password-stdin", is_flag=True, help="Read the password (of S3 the secret key) from standard input."),
        click.option("--endpoint", metavar="URL", help="Of a bucket that is not at AWS."),
        click.option("--region", help="Of a bucket."),
        click.option("--settings", "file", type=path, help="YAML of all settings, as docs/mirrors.md has them; options win over it."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("name")
@click.option("--org", "organization", help="Whose channel it is (else your own).")
@click.option("--visibility", type=click.Choice(["public", "internal", "private"]))
@click.option("--description")
@_settings_options
@remote
def create(session: Session, /, name: str, organization: str | None, visibility: str | None, description: str | None, **given: Any) -> None:
    """Make the channel NAME that is filled from an upstream. Nothing is fetched until `run`, or its schedule."""
    body = {**_body(given, {}), "name": name}
    body |= {
        key: value
        for key, value in (("organization", organization), ("visibility", visibility), ("description", description))
        if value is not None
    }
    with session.connect() as hub:
        made = hub.post("mirrors", body)
    said = f"Created the mirror {name} ({made['mode']}) of {_addresses(made)}: {hub.url}/channels/{name}"
    session.show(made, said)
    if made["mode"] != "lazy":
        session.note(f"To see what it would bring: condahub mirror plan {name}. To fill it: condahub mirror run {name} --wait")


@click.command()
@click.argument("name")
@_settings_options
@remote
def update(session: Session, /, name: str, **given: Any) -> None:
    """Change settings of the mirror NAME; lists that are given take the place of those it has. The next run goes by them."""
    with session.connect() as hub:
        now = hub.get(f"mirrors/{segment(name)}") if any(given[key] for key in _FILTERS) else {}
        body = _body(given, now)
        if not body:
            raise Usage("There is nothing to change.", hint="condahub mirror update --help lists the settings.")
        made = hub.patch(f"mirrors/{segment(name)}", body)
    session.show(made, f"Changed {name}: {', '.join(sorted(body))}.")


@click.command()
@click.argument("name")
@click.option("--keep-packages/--with-packages", "keep", default=True, help="Whether the channel stays with what it has (it does).")
@click.option("--yes", is_flag=True, help="Don't ask.")
@remote
def delete(session: Session, name: str, keep: bool, yes: bool) -> None:
    """End the mirror NAME. Its channel stays as a hosted one, or goes with it."""
    confirm(f"End the mirror {name}{'' if keep else ', and delete its channel'}?", yes)
    with session.connect() as hub:
        hub.delete(f"mirrors/{segment(name)}", keep_packages=keep)
    kept = "the channel stays, with what it has." if keep else "the channel is closed; it can be restored for a while."
    session.show({"name": name, "deleted": True, "keep_packages": keep}, f"Ended {name}: {kept}")


def _body(given: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What the REST API takes: the file's settings, and over them the options. now: the mirror that is changed, or {}."""
    body = _read_settings(given["file"]) if given["file"] is not None else {}
    body |= {key: given[key] for key in ("mode", "removed", "denied", "schedule", "time_zone") if given[key] is not None}
    if given["subdirs"]:
        body["subdirs"] = list(given["subdirs"])
    wanted = _filters(given)
    if wanted:
        body["filters"] = {**now.get("filters", {}), **(body.get("filters") or {}), **wanted}
        if now.get("mode", "full") == "full" and "mode" not in body:
            body["mode"] = "filtered"
    if given["lock"] is not None:
        body["lock"] = _read_text(given["lock"])
        body.setdefault("mode", "lock")
    upstreams = _upstreams(given)
    if upstreams:
        body["upstreams"] = upstreams
    return body


def _filters(given: Mapping[str, Any]) -> dict[str, Any]:
    lists = (("include", "include"), ("exclude", "exclude"), ("licenses", "license"))
    wanted: dict[str, Any] = {key: list(given[option]) for key, option in lists if given[option]}
    if given["newest"] is not None:
        wanted["newest_versions"] = given["newest"]
    if given["max_size"] is not None:
        wanted["max_bytes"] = given["max_size"] * MEGABYTE
    if given["with_dependencies"]:
        wanted["with_dependencies"] = True
    return wanted


def _upstreams(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"url": url} for url in given["upstreams"]]
    secret, kind = _secret(given)
    place = {key: given[key] for key in ("endpoint", "region") if given[key] is not None}
    if kind is None and not place:
        return rows
    if len(rows) != 1:
        # One upstream's secret is no other's business.
        raise Usage("Credentials are of one upstream.", hint="Give one --upstream with them, or several in a file: --settings.")
    rows[0] |= place
    if kind is not None:
        rows[0]["credential_kind"] = kind
    if given["username"] is not None:
        rows[0]["username"] = given["username"]
    if secret is not None:
        rows[0]["secret"] = secret
    return rows


def _secret(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The secret, and the kind of credentials; None where none are meant. A secret never comes from the command line."""
    file, from_input, username = given["token_file"], given["password_stdin"], given["username"]
    if file is not None and from_input:
        raise Usage("Give --token-file or --password-stdin, not both.")
    if file is not None:
        return _stripped(sys.stdin.read() if str(file) == "-" else _read_text(file)), given["credentials"] or "token"
    if from_input:
        return _stripped(sys.stdin.read()), given["credentials"] or "basic"
    if username is not None:
        # The secret that the hub keeps for the same origin goes on counting.
        return None, given["credentials"] or "basic"
    return None, given["credentials"]


def _stripped(text: str) -> str:
    secret = text.strip()
    if not secret:
        raise Usage("The secret is empty.")
    return secret


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        table = yaml.safe_load(_read_text(path)) or {}
    except (yaml.YAMLError, RecursionError):
        raise Usage(f"'{path}' can't be read as YAML.") from None
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise Usage(f"'{path}' is not a table of settings.", hint="Such as 'mode: filtered', a line each.")
    return table


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Usage(f"'{path}' is too large.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"'{path}' can't be read: {error.strerror}.", code="unreadable") from None
    except UnicodeDecodeError:
        raise Usage(f"'{path}' is not text.") from None


def _addresses(made: Mapping[str, Any]) -> str:
    return ", ".join(one["url"] for one in made["upstreams"]) or "a lock file"
