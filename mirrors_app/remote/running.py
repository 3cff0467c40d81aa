"""`condahub mirror plan`, `run`, `pause`, `resume`, `cancel`, `approve`: a hub's mirrors at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from condahub.cli.session import Session, remote, size_text
from condahub.cli.wording import segment
from mirrors_app.remote.showing import counts_of
from mirrors_app.remote.watching import wait_for_plan, wait_for_run

# 3 and 4 are the remote commands' own: no answer, not signed in.
EXIT_STATUS = {"ok": 0, "failed": 1, "cancelled": 1, "partial": 5, "held": 6}
SHOWN_REFUSALS = 50
_EPILOG = (
    "Exit codes with --wait: 0 the channel shows what the upstream has; 5 all but what is named; 6 held, 1 failed: nothing was changed."
)


@click.command(epilog=_EPILOG)
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until it has ended, with its progress; the exit code says how.")
@remote
@click.pass_context
def run(context: click.Context, session: Session, name: str, wait: bool) -> None:
    """Bring the mirror NAME to its upstream now."""
    _go(context, session, name, "run", wait)


@click.command(epilog=_EPILOG)
@click.argument("name")
@click.option("--wait", is_flag=True, help="Until the run has ended.")
@remote
@click.pass_context
def approve(context: click.Context, session: Session, name: str, wait: bool) -> None:
    """Follow the index that the last run of NAME held, just as it was then, and run again."""
    _go(context, session, name, "approve", wait)


def _go(context: click.Context, session: Session, name: str, verb: str, wait: bool) -> None:
    with session.connect() as hub:
        job = hub.post(f"mirrors/{segment(name)}/{verb}")
        if not wait:
            session.show(job, f"Job {job['job']} is {job['state']}. To watch it: condahub mirror status {name} --watch")
            return
        ended = wait_for_run(session, hub, name, job["job"])
        refusals = list(hub.pages(f"mirrors/{segment(name)}/refusals")) if ended["refused"] and not session.as_json else []
    for one in refusals[:SHOWN_REFUSALS]:
        session.note(f"refused  {one['subdir']}/{one['filename']}: {one['reason']}")
    for one in ended["held"]:
        session.note(f"held  {one['subdir']}: {one['reason']}")
    session.show(ended, f"{ended['state']}: {ended['reason'] or counts_of(ended)}")
    if ended["hint"]:
        session.note(ended["hint"])
    context.exit(EXIT_STATUS[ended["state"]])


@click.command()
@click.argument("name")
@click.option("--include", multiple=True, metavar="SPEC", help="Try these in place of the mirror's own filters.")
@click.option("--exclude", multiple=True, metavar="SPEC")
@click.option("--newest", type=click.IntRange(1), metavar="N")
@click.option("--with-dependencies", is_flag=True)
@remote
@click.pass_context
def plan(
    context: click.Context,
    session: Session,
    name: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    newest: int | None,
    with_dependencies: bool,
) -> None:
    """What a run of the mirror NAME would do; nothing is changed."""
    given = {"include": list(include), "exclude": list(exclude), "newest_versions": newest, "with_dependencies": with_dependencies}
    filters = {key: value for key, value in given.items() if value}
    with session.connect() as hub:
        job = hub.post(f"mirrors/{segment(name)}/plan", {"filters": filters} if filters else {})
        found = wait_for_plan(session, hub, name, job["job"])
    if session.as_json:
        session.print_json(found)
    else:
        columns = [("WHAT", "what"), ("FILES", "files"), ("SIZE", "size"), ("", "remark")]
        session.table(plan_rows(found), columns, empty="Nothing.")
    context.exit(EXIT_STATUS["held"] if found["held"] else 0)


def plan_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A dry run as lines of a table: what would be done, and what is left out and why."""
    counted = (
        ("to fetch", found["fetch"]),
        ("already here", found["reuse"]),
        ("new metadata only", found["changed"]),
        ("same name, other bytes", found["replaced"]),
        ("to remove", found["removed"]),
        ("gone upstream, kept", found["kept_though_gone"]),
    )
    rows: list[dict[str, Any]] = [
        {"what": what, "files": part["files"], "size": size_text(part["bytes"]) if "bytes" in part else ""}
        for what, part in counted
        if part["files"] or what == "to fetch"
    ]
    rows.append({"what": "unchanged", "files": found["unchanged"]})
    if found["postponed"]:
        rows.append({"what": "for a later run", "files": found["postponed"], "remark": "past the number of packages of one run"})
    rows += [{"what": "left out", "files": count, "remark": reason} for reason, count in found["left_out"]["reasons"].items()]
    rows += [{"what": "refused", "files": 1, "remark": f"{one['subdir']}/{one['filename']}: {one['reason']}"} for one in found["refused"]]
    rows += [
        {"what": "broken", "files": 1, "remark": f"{one['subdir']}/{one['filename']} needs {one['depends']}: {one['reason']}"}
        for one in found["broken_dependencies"]
    ]
    return rows + [{"what": "held", "files": 1, "remark": f"{one['subdir']}: {one['reason']}"} for one in found["held"]]


@click.command()
@click.argument("name")
@remote
def pause(session: Session, name: str) -> None:
    """No runs of the mirror NAME by the clock; one that goes on is not stopped."""
    _switch(session, name, "pause", "is paused.")


@click.command()
@click.argument("name")
@remote
def resume(session: Session, name: str) -> None:
    """Let the mirror NAME run by the clock again."""
    _switch(session, name, "resume", "goes by its schedule again.")


def _switch(session: Session, name: str, verb: str, said: str) -> None:
    with session.connect() as hub:
        found = hub.post(f"mirrors/{segment(name)}/{verb}")
    session.show(found, f"{name} {said}")


@click.command()
@click.argument("name")
@remote
def cancel(session: Session, name: str) -> None:
    """Stop the run of the mirror NAME; what was fetched is kept for the next."""
    with session.connect() as hub:
        found = hub.post(f"mirrors/{segment(name)}/cancel")
    session.show(found, f"Asked to stop: job {', '.join(str(one) for one in found['jobs'])}.")
