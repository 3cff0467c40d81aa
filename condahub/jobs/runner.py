"""Runs claimed jobs: one run from claim to end, and a lane's backlog."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from condahub.errors import HubError
from condahub.jobs import services
from condahub.jobs.context import JobCancelled, JobContext, JobPostponed, JobReleased
from condahub.jobs.models import Job
from condahub.jobs.registry import kind_named

logger = logging.getLogger(__name__)

TOO_MANY_REQUESTS = 429


def worker_label() -> str:
    """host:pid:thread, for people who look for the process that runs a job."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.current_thread().name}"


def run_one(
    lane: str,
    *,
    worker: str = "",
    stop: threading.Event | None = None,
    on_start: Callable[[Job], None] | None = None,
    on_overdue: Callable[[], None] | None = None,
) -> bool:
    """Claim one job of the lane and run it to its end. False when there was none.

    stop: set when the worker is stopping; on_start is told the claimed job; on_overdue is called from another thread when
    the run is past its time limit and does not come back.
    """
    job = services.claim(lane, worker or worker_label())
    if job is None:
        return False
    if on_start is not None:
        on_start(job)
    try:
        _run(job, stop=stop, on_overdue=on_overdue)
    except services.LeaseLost:
        logger.warning("%s: the lease was lost; what this run did is not recorded.", job)
    return True


def drain(lane: str, max_jobs: int | None = None) -> int:
    """Run what is due in the lane, one after the other; returns how many ran."""
    count = 0
    while (max_jobs is None or count < max_jobs) and run_one(lane):
        count += 1
    return count


def _run(job: Job, *, stop: threading.Event | None, on_overdue: Callable[[], None] | None) -> None:
    kind = kind_named(job.kind)
    context = JobContext(job, kind, stop=stop, on_overdue=on_overdue)
    try:
        if stop is not None and stop.is_set():
            # Claimed in the very moment of stopping: a run that never looks would not leave again.
            raise JobReleased(str(job))
        with context:
            result = kind.run(context, job.payload)
    except services.LeaseLost:
        raise
    except JobCancelled:
        services.stop_cancelled(job)
    except JobReleased:
        services.release(job)
    except JobPostponed as pause:
        services.postpone(job, pause.seconds)
    except HubError as error:
        may_pass = error.status >= 500 or error.status == TOO_MANY_REQUESTS
        services.fail(job, code=error.code, sentence=error.detail, hint=error.hint, retry=may_pass)
    except Exception:
        # The traceback may hold private names: it is for the operator, not for the job's readers.
        logger.exception("%s failed.", job)
        services.fail(
            job, code="internal", sentence="Something went wrong inside the hub.", hint="The operator finds it in the log.", retry=True
        )
    else:
        services.finish(job, result)
