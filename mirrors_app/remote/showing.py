"""`condahub mirror list`, `show`, `status`, `runs`, `refused`: how a hub's mirrors stand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from condahub.cli.session import Session, cell, remote, size_text
from condahub.cli.wording import segment
from mirrors_app.remote.watching import WATCH_SECONDS

STATES = click.Choice(["running", "ok", "partial", "held", "failed", "cancelled", "never", "paused"])
_COUNTS = ("added", "changed", "removed", "kept_though_gone", "replaced", "refused")
_SETTINGS = ("mode", "subdirs", "removed", "replaced", "denied", "schedule", "time_zone", "windows", "max_packages", "bytes_per_second")


@click.command("list")
@click.option("--org", "organization", help="Of this organization only.")
@click.option("--mode", type=click.Choice(["full", "filtered", "lazy", "lock"]))
@click.option("--state", type=STATES)
@click.option("-q", "--search", "query", help="Part of the name, the description or an upstream's address.")
@remote
def list_mirrors(session: Session, organization: str | None, mode: str | None, state: str | None, query: str | None) -> None:
    """The mirrors that you may see."""
    with session.connect() as hub:
        rows = list(hub.pages("mirrors", organization=organization, mode=mode, state=state, q=query))
    shown = rows if session.as_json else [{**row, "upstream": ", ".join(one["url"] for one in row["upstreams"])} for row in rows]
    columns = [("NAME", "name"), ("ORGANIZATION", "organization"), ("MODE", "mode"), ("STATE", "state"), ("UPSTREAM", "upstream")]
    session.table(shown, [*columns, ("SYNCED", "last_synced_at"), ("NEXT RUN", "next_run_at")], empty="There are no mirrors.")


@click.command()
@click.argument("name")
@remote
def show(session: Session, name: str) -> None:
    """The settings of the mirror NAME."""
    with session.connect() as hub:
        found = hub.get(f"mirrors/{segment(name)}")
    if session.as_json:
        session.print_json(found)
        return
    lines = {"name": name, "organization": found["organization"], "visibility": found["visibility"], "state": found["state"]}
    lines |= {key: found[key] for key in _SETTINGS if found[key] not in ("", 0, [])}
    lines |= {f"upstream {number}": _upstream(one) for number, one in enumerate(found["upstreams"], 1)}
    lines |= {f"filter {key}": value for key, value in found["filters"].items()}
    lines |= {f"admitted {one['spec']}": f"until {cell(one['until'])}, request {one['request']}" for one in found["admitted"]}
    for label, value in lines.items():
        click.echo(f"{label.replace('_', ' '):<24} {cell(value)}")


def _upstream(row: Mapping[str, Any]) -> str:
    if row["credential_kind"] == "none":
        return str(row["url"])
    who = f" as {row['username']}" if row["username"] else ""
    return f"{row['url']} ({row['credential_kind']}{who}, {'with' if row['has_secret'] else 'without'} a secret)"


@click.command()
@click.argument("name")
@click.option("--watch", is_flag=True, help="Again every few seconds, until no run goes on.")
@remote
def status(session: Session, name: str, watch: bool) -> None:
    """How the mirror NAME stands: its run, the last one, the next one."""
    with session.connect() as hub:
        while True:
            found = hub.get(f"mirrors/{segment(name)}/status")
            if session.as_json:
                session.print_json(found)
            else:
                click.echo("\n".join(told(found)))
            if not watch or found["progress"] is None:
                return
            time.sleep(WATCH_SECONDS)


def told(found: Mapping[str, Any]) -> list[str]:
    """A status as lines for people."""
    run, progress = found["last_run"], found["progress"]
    lines = [f"{found['name']}: {found['state']}{' (paused)' if found['paused'] and found['state'] != 'paused' else ''}"]
    if progress is not None:
        lines.append(f"Now: {progress['phase'] or progress['state']}{': ' + progress['message'] if progress['message'] else ''}")
    if run is not None and run["state"] != "running":
        lines.append(f"Last run {run['id']}: {run['state']} at {cell(run['ended_at'])}, {counts_of(run)}")
        lines += [text for text in (run["reason"], run["hint"]) if text]
        lines += [f"Held  {one['subdir']}: {one['reason']}" for one in run["held"]]
        if run["state"] == "held":
            lines.append(f"Look at the upstream; to follow it all the same: condahub mirror approve {found['name']}")
    if found["refusals"]:
        many = "1 package" if found["refusals"] == 1 else f"{found['refusals']} packages"
        lines.append(f"{many} could not be brought: condahub mirror refused {found['name']}")
    for subdir, keys in sorted(found.get("unshown_keys", {}).items()):
        lines.append(f"Kept and not shown of {subdir}'s index: {', '.join(keys)}")
    if found["last_synced_at"]:
        lines.append(f"Synced at {cell(found['last_synced_at'])}")
    if found["next_run_at"]:
        lines.append(f"Next run at {cell(found['next_run_at'])}")
    return lines


def counts_of(run: Mapping[str, Any]) -> str:
    """'3 added, 1 refused, 2.1 MB fetched'."""
    said = [f"{run[key]} {key.replace('_', ' ')}" for key in _COUNTS if run[key]]
    if run["files"]:
        said.append(f"{size_text(run['bytes'])} fetched")
    return ", ".join(said) or "nothing changed"


@click.command()
@click.argument("name")
@click.argument("number", metavar="[RUN]", type=int, required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--full", is_flag=True, help="Of one run: every item of its report.")
@remote
def runs(session: Session, name: str, number: int | None, limit: int, full: bool) -> None:
    """The runs of the mirror NAME, the newest first; or one RUN with its report."""
    place = f"mirrors/{segment(name)}/runs"
    with session.connect() as hub:
        if number is None:
            rows = [row for row, _ in zip(hub.pages(place), range(limit), strict=False)]
        else:
            _show_run(session, hub.get(f"{place}/{number}", full=full))
            return
    columns = [("RUN", "id"), ("STATE", "state"), ("BY", "requested_by"), ("STARTED", "started_at"), ("ENDED", "ended_at")]
    shown = rows if session.as_json else [{**row, "did": counts_of(row)} for row in rows]
    session.table(shown, [*columns, ("DID", "did"), ("REASON", "reason")], empty="It has not run yet.")


def _show_run(session: Session, run: dict[str, Any]) -> None:
    if session.as_json:
        session.print_json(run)
        return
    click.echo(f"Run {run['id']}: {run['state']}, {counts_of(run)}")
    for key, value in run["report"].items():
        for item in value if isinstance(value, list) else ():
            click.echo(f"{key.replace('_', ' ')}  {_item(item)}")
    if run["report"].get("attested"):
        click.echo(f"attestations brought: {run['report']['attested']}")
    if run["reason"]:
        click.echo(run["reason"])


def _item(item: Any) -> str:
    if isinstance(item, dict):
        place = "/".join(str(item[key]) for key in ("subdir", "filename") if item.get(key))
        return f"{place}: {item['reason']}" if item.get("reason") else place or cell(item)
    return "/".join(str(part) for part in item) if isinstance(item, list) else str(item)


@click.command()
@click.argument("name")
@remote
def refused(session: Session, name: str) -> None:
    """Packages that the last run of the mirror NAME could not bring, and why."""
    with session.connect() as hub:
        rows = list(hub.pages(f"mirrors/{segment(name)}/refusals"))
    columns = [("SUBDIR", "subdir"), ("FILE", "filename"), ("REASON", "reason"), ("SINCE", "since")]
    session.table(rows, columns, empty="None.")
