"""The hub's leased work: what waits, runs and has ended, and how to stop it."""

from __future__ import annotations

from typing import Any

import click

from condahub.cli.session import Session, remote

STATES = click.Choice(["waiting", "running", "done", "failed", "cancelled"])


@click.group()
def jobs() -> None:
    """The hub's work: list, show, cancel."""


@jobs.command("list")
@click.option("--state", type=STATES)
@click.option("--kind", help="For example channels.render.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@remote
def list_jobs(session: Session, state: str | None, kind: str | None, limit: int) -> None:
    """The jobs that you may see, newest first."""
    rows: list[dict[str, Any]] = []
    with session.connect() as hub:
        for row in hub.pages("jobs", state=state, kind=kind):
            rows.append(row)
            if len(rows) == limit:
                break
    columns = [("ID", "id"), ("KIND", "kind"), ("STATE", "state"), ("PHASE", "phase"), ("DONE", "done"), ("OF", "total")]
    session.table(
        [_shown(row) for row in rows] if not session.as_json else rows,
        [*columns, ("ASKED", "created_at"), ("BY", "actor"), ("ERROR", "problem")],
        empty="None.",
    )


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = job.get("error") or {}
    return {**job, "problem": error.get("detail"), "hint": error.get("hint")}


@jobs.command()
@click.argument("job_id", metavar="ID", type=int)
@click.option("--log", "with_log", is_flag=True, help="With its log.")
@remote
def show(session: Session, job_id: int, with_log: bool) -> None:
    """What became of the job ID."""
    with session.connect() as hub:
        job = hub.get(f"jobs/{job_id}")
        log = list(hub.pages(f"jobs/{job_id}/log")) if with_log else []
    if session.as_json:
        session.print_json({**job, "log": log} if with_log else job)
        return
    names = [("Job", "id"), ("Kind", "kind"), ("State", "state"), ("Phase", "phase"), ("Message", "message"), ("Asked", "created_at")]
    names += [("By", "actor"), ("Started", "started_at"), ("Ended", "finished_at"), ("Attempts", "attempts"), ("Result", "result")]
    session.fields(_shown(job), [*names, ("Error", "problem"), ("Hint", "hint")])
    for chunk in log:
        click.echo(chunk.get("text", ""))


@jobs.command()
@click.argument("job_id", metavar="ID", type=int)
@remote
def cancel(session: Session, job_id: int) -> None:
    """Stop the job ID: at once when it waits, at its next look when it runs."""
    with session.connect() as hub:
        job = hub.post(f"jobs/{job_id}/cancel")
    session.show(job, f"Job {job_id} is {job.get('state', 'asked to stop') if isinstance(job, dict) else 'asked to stop'}.")
