"""Waits for a mirror's run or dry run on a hub, and shows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from condahub.cli.client import Hub
from condahub.cli.exits import Failure
from condahub.cli.session import Session
from condahub.cli.wording import segment

POLL_SECONDS = 1.0
WATCH_SECONDS = 3.0
# Between the end of a job that never began a run and the word of it, so many looks may lie.
MISSING_LOOKS = 3

Step = Callable[[Mapping[str, Any] | None], None]


def wait_for_run(session: Session, hub: Hub, name: str, job: int) -> dict[str, Any]:
    """The run of this job, when it has ended. Raises Failure where it was cancelled before it began."""
    missing = 0
    with _bar(session) as step:
        while missing < MISSING_LOOKS:
            status = hub.get(f"mirrors/{segment(name)}/status")
            run, progress = status["last_run"], status["progress"]
            if run is not None and run["job"] == job and run["state"] != "running":
                return dict(run)
            begun = (run is not None and run["job"] == job) or (progress is not None and progress["job"] == job)
            missing = 0 if begun else missing + 1
            step(progress)
            time.sleep(POLL_SECONDS)
    raise Failure("The run was cancelled before it began.", hint=f"condahub mirror run {name} asks for another.", code="cancelled")


def wait_for_plan(session: Session, hub: Hub, name: str, job: int) -> dict[str, Any]:
    """The result of a dry run. Raises Failure with what went wrong."""
    with _bar(session) as step:
        while True:
            found: dict[str, Any] = hub.get(f"mirrors/{segment(name)}/plans/{job}")
            if found["state"] == "done":
                return dict(found["result"])
            if found["state"] in ("failed", "cancelled"):
                error = found["error"] or {"detail": f"The dry run was {found['state']}.", "hint": "", "code": found["state"]}
                raise Failure(error["detail"], hint=error["hint"], code=error["code"])
            step(found)
            time.sleep(POLL_SECONDS)


@contextmanager
def _bar(session: Session) -> Iterator[Step]:
    """A bar on standard error for people at a terminal; nothing for programs."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    hidden = session.as_json or not session.err.is_terminal
    with Progress(*columns, console=session.err, disable=hidden, transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("waiting", total=None, said="")

        def step(work: Mapping[str, Any] | None) -> None:
            if work is not None:
                in_bytes = work["unit"] == "bytes" and work["total"]
                label = work["phase"] or work["state"]
                bar.update(task, description=label, said=work["message"], completed=work["done"], total=work["total"] if in_bytes else None)

        yield step
