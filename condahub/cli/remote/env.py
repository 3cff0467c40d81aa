"""Environments of a remote hub: made, built, looked at, compared, rolled back, deleted."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from condahub.cli.client import Hub
from condahub.cli.exits import Failure, Usage
from condahub.cli.lazy import LazyGroup
from condahub.cli.remote.env_names import Name, wait
from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import confirm, segment

VISIBILITY = click.Choice(["public", "internal", "private"])
_FILE = click.Path(path_type=Path, allow_dash=True)
_SIGNS = {"added": "+", "removed": "-", "upgraded": "^", "downgraded": "v"}


class _Group(LazyGroup):
    """What is here, and those that need the engine, whose modules are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*click.Group.list_commands(self, ctx), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return click.Group.get_command(self, ctx, cmd_name) or super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        here = [(name, command.get_short_help_str(90)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*here, *self._summaries.items()])


@click.group(
    cls=_Group,
    places={"pull": "condahub.cli.remote.env_pull:pull", "run": "condahub.cli.remote.env_pull:run"},
    summaries={
        "pull": "Make a build's very environment on this machine.",
        "run": "Run a command in an environment, which is pulled if it is not here.",
    },
)
def env() -> None:
    """Environments: built once, the same bytes for everybody."""


@env.command("list")
@click.argument("organization", required=False)
@click.option("--query", "-q", "query", help="Whose name or description holds this.")
@remote
def list_environments(session: Session, organization: str | None, query: str | None) -> None:
    """The environments that you may see, of ORGANIZATION or of all."""
    path = f"organizations/{segment(organization)}/environments" if organization else "environments"
    with session.connect() as hub:
        rows = list(hub.pages(path, q=query))
    columns = [("ENVIRONMENT", "shown"), ("VISIBILITY", "visibility"), ("BUILD", "build"), ("PACKAGES", "packages"), ("SIZE", "size")]
    session.table(
        rows if session.as_json else [_listed(row) for row in rows],
        [*columns, ("BUILT", "built"), ("DESCRIPTION", "description")],
        empty="There is no environment that you may see.",
    )


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    current: dict[str, Any] = row.get("current_build") or {}
    return {
        **row,
        "shown": f"{row['organization']}/{row['name']}",
        "build": current.get("number"),
        "packages": current.get("package_count"),
        "size": size_text(current["size"]) if current else None,
        "built": current.get("ended_at"),
    }


@env.command()
@click.argument("environment")
@click.option("--builds", "limit", type=click.IntRange(min=0), default=10, show_default=True, help="With its newest so many builds.")
@remote
def show(session: Session, environment: str, limit: int) -> None:
    """What ENVIRONMENT (organization/name) is, and its builds."""
    name = Name.of(environment)
    builds: list[dict[str, Any]] = []
    with session.connect() as hub:
        found = hub.get(name.path)
        for build in hub.pages(f"{name.path}/builds"):
            if len(builds) == limit:
                break
            builds.append(build)
        copied = f"{hub.url}/conda-store/{segment(name.organization)}/{segment(name.name)}"
    if session.as_json:
        session.print_json({**found, "builds": builds})
        return
    current = (found.get("current_build") or {}).get("number")
    fields = [("Environment", "shown"), ("Description", "description"), ("Visibility", "visibility"), ("Current build", "build")]
    fields += [("Packages", "packages"), ("Size", "size"), ("Builds", "builds_count"), ("Made", "created_at"), ("By", "created_by")]
    session.fields({**_listed(found), "file": copied}, [*fields, ("Archived", "archived_at"), ("conda --file", "file")])
    if builds:
        click.echo()
        rows = [
            {**one, "is_current": "*" if one["number"] == current else "", "problem": (one.get("error") or {}).get("detail")}
            for one in builds
        ]
        columns = [("", "is_current"), ("BUILD", "number"), ("STATE", "state"), ("PACKAGES", "package_count"), ("ASKED", "created_at")]
        session.table(rows, [*columns, ("BY", "author"), ("ERROR", "problem")], empty="")


@env.command()
@click.argument("environment")
@click.option("--file", "-f", "file", type=_FILE, help="environment.yml or a lock file, to be built at once ('-': standard input).")
@click.option("--visibility", type=VISIBILITY, default="private", show_default=True)
@click.option("--description", default="")
@click.option("--no-wait", is_flag=True, help="Do not wait for the build.")
@remote
def create(session: Session, environment: str, file: Path | None, visibility: str, description: str, no_wait: bool) -> None:
    """Make ENVIRONMENT (organization/name), and build a specification in it."""
    name = Name.of(environment)
    text = _specification(file) if file is not None else None
    with session.connect() as hub:
        if text is not None:
            _check(hub, name, text)
        body = {"name": name.name, "description": description, "visibility": visibility}
        made = hub.post(f"organizations/{segment(name.organization)}/environments", body)
        if text is None:
            session.show(made, f"Created {name}.")
            return
        session.note(f"Created {name}.")
        started = hub.post(f"{name.path}/builds", {"specification": text})
        ended = started if no_wait else wait(session, hub, name, started["number"])
    session.show(ended, _built(name, ended))


@env.command()
@click.argument("environment")
@click.option("--file", "-f", "file", type=_FILE, help="environment.yml or a lock file ('-': standard input); else the last one again.")
@click.option(
    "--update", multiple=True, metavar="PACKAGE", help="Choose this anew; all others stay at the current build's versions where that goes."
)
@click.option("--keep", multiple=True, metavar="PACKAGE", help="Leave this as it is in the current build.")
@click.option("--exclude-newer", type=click.DateTime(), help="Choose nothing that was made after this moment (UTC).")
@click.option("--no-wait", is_flag=True, help="Do not wait for it.")
@remote
def build(
    session: Session,
    environment: str,
    file: Path | None,
    update: tuple[str, ...],
    keep: tuple[str, ...],
    exclude_newer: datetime | None,
    no_wait: bool,
) -> None:
    """Build a specification as the next build of ENVIRONMENT, which is made if it is not there."""
    name = Name.of(environment)
    chosen: dict[str, Any] = {key: list(names) for key, names in (("update", update), ("keep", keep)) if names}
    if exclude_newer is not None:
        chosen["exclude_newer"] = exclude_newer.replace(tzinfo=UTC).isoformat()
    text = _specification(file) if file is not None else None
    with session.connect() as hub:
        if text is None:
            newest = hub.get(f"{name.path}/builds", page_size=1)["results"]
            if not newest:
                raise Usage(f"{name} has no build whose specification could be built again.", hint="Give one: --file environment.yml")
            text = hub.get(f"{name.path}/builds/{newest[0]['number']}")["specification"]
        started = hub.post(f"{name.path}/builds", {"specification": text, **chosen})
        ended = started if no_wait else wait(session, hub, name, started["number"])
    session.show(ended, _built(name, ended))


def _check(hub: Hub, name: Name, text: str) -> None:
    """Raises Failure with every complaint about a specification, before anything is made for it."""
    told = hub.post("specifications/validate", {"specification": text, "organization": name.organization})
    lines = [f"Line {one['line']}: {one['detail']}" if one["line"] else str(one["detail"]) for one in told["problems"]]
    if lines:
        hints = dict.fromkeys(str(one["hint"]) for one in told["problems"] if one["hint"])
        raise Failure("\n".join(lines), hint="\n".join(hints), code=str(told["problems"][0]["code"]))


def _built(name: Name, build: dict[str, Any]) -> str:
    if build["state"] != "completed":
        return f"Build {build['number']} of {name} is {build['state']}."
    seconds = sum(build.get("timings", {}).values())
    return f"Built {name}@{build['number']}: {build['package_count']} packages, {size_text(build['size'])}, in {seconds:.1f} s."


def _specification(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{file} can't be read.", hint=str(getattr(error, "strerror", "") or "It is not UTF-8 text.")) from error


@env.command()
@click.argument("environment")
@click.argument("before", type=click.IntRange(min=1), required=False)
@click.argument("after", type=click.IntRange(min=1), required=False)
@remote
def diff(session: Session, environment: str, before: int | None, after: int | None) -> None:
    """What differs between builds BEFORE and AFTER of ENVIRONMENT; else between the current one and the completed one before it."""
    name = Name.of(environment)
    with session.connect() as hub:
        if after is None:
            after = _current(hub.get(name.path), name)
        if before is None:
            rows = hub.pages(f"{name.path}/builds", state="completed")
            before = next((int(row["number"]) for row in rows if row["number"] < after), None)
        if before is None:
            raise Failure(f"{name} has no completed build before {after}.", code="no_such_build")
        found = hub.get(f"{name.path}/diff", before=before, after=after)
    lines = [f"{name}: {before} -> {after}"]
    lines += [_difference(row) for row in found["changes"]] or ["The same packages."]
    session.show(found, "\n".join(lines))


def _current(found: dict[str, Any], name: Name) -> int:
    current = found.get("current_build")
    if current is None:
        raise Failure(f"{name} has no current build that you may see.", code="no_such_build")
    return int(current["number"])


def _difference(row: dict[str, Any]) -> str:
    versions = " -> ".join(text for text in (row["before"], row["after"]) if text)
    asked = f"  (asked for: {row['requested']})" if row.get("requested") else ""
    sign = "-" if row["size_change"] < 0 else "+"
    return f"{_SIGNS.get(row['change'], '~')} {row['platform']} {row['name']} {versions}  {sign}{size_text(abs(row['size_change']))}{asked}"


@env.command()
@click.argument("environment")
@click.argument("number", type=click.IntRange(min=1), required=False)
@remote
def rollback(session: Session, environment: str, number: int | None) -> None:
    """Make build NUMBER of ENVIRONMENT the current one; else the completed one before the current."""
    name = Name.of(environment)
    with session.connect() as hub:
        if number is not None:
            done = hub.post(f"{name.path}/builds/{number}/activate")
            current = done["current"]
        else:
            done = hub.post(f"{name.path}/rollback")
            current = _current(done, name)
    session.show(done, f"The current build of {name} is {current}.")


@env.command()
@click.argument("environment", metavar="ENVIRONMENT[@NUMBER]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@remote
def delete(session: Session, environment: str, yes: bool) -> None:
    """Delete ENVIRONMENT with all its builds, or one build of it."""
    name = Name.of(environment, numbered=True)
    confirm(f"Delete {f'the build {name}' if name.number else f'the environment {name} with all its builds'}?", yes)
    with session.connect() as hub:
        hub.delete(name.build_path if name.number else name.path)
    session.show({"deleted": str(name)}, f"Deleted {name}.")
