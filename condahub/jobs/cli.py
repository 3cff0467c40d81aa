"""`condahub admin jobs`: the lanes, what waits in them, and the workers that serve them."""

from __future__ import annotations

import click

from condahub.cli import tables
from condahub.cli.exits import Failure
from condahub.cli.server import operator, register
from condahub.jobs import selectors, services
from condahub.jobs.models import Job
from condahub.jobs.states import JobState

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@register
@click.group()
def jobs() -> None:
    """The hub's work: lanes, list, cancel."""


@jobs.command()
@_JSON
def lanes(as_json: bool) -> None:
    """How much waits in each lane, and who serves it."""
    workers = list(selectors.workers_alive())
    rows = [
        {
            "lane": lane.value,
            "waiting": depth.waiting,
            "running": depth.running,
            "oldest_seconds": None if depth.oldest_age_seconds is None else round(depth.oldest_age_seconds),
            "workers": [f"{one.hostname}:{one.pid} ({one.busy} of {one.slots})" for one in workers if one.lane == lane.value],
        }
        for lane, depth in selectors.queue_depth().items()
    ]
    columns = [("LANE", "lane"), ("WAITING", "waiting"), ("RUNNING", "running"), ("OLDEST WAITS (s)", "oldest_seconds")]
    tables.show(rows, [*columns, ("WORKERS (BUSY OF SLOTS)", "workers")], as_json=as_json)


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]))
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@_JSON
def list_jobs(state: str | None, limit: int, as_json: bool) -> None:
    """The newest jobs."""
    found = selectors.jobs_for(None)
    if state:
        found = found.filter(state=state)
    rows = [
        {
            "id": one.pk,
            "kind": one.kind,
            "lane": one.lane,
            "state": one.state,
            "created_at": one.created_at.isoformat(),
            "attempts": one.attempts,
            "worker": one.worker,
            "error": one.error_sentence,
        }
        for one in found[:limit]
    ]
    columns = [("ID", "id"), ("KIND", "kind"), ("LANE", "lane"), ("STATE", "state"), ("ASKED", "created_at"), ("TRIES", "attempts")]
    tables.show(rows, [*columns, ("WORKER", "worker"), ("ERROR", "error")], as_json=as_json)


@jobs.command()
@click.argument("job_id", metavar="ID", type=int)
def cancel(job_id: int) -> None:
    """Stop the job ID: at once when it waits, at its next look when it runs."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise Failure(f"There is no job {job_id}.", code="no_such_job")
    click.echo(f"Job {job_id} is {services.cancel(operator(), job).state}.")
