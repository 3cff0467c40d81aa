"""What a running job says reaches the row: progress, log, child output; and it stops when it should."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction

from condahub.jobs import registry, selectors, services
from condahub.jobs.context import JobContext
from condahub.jobs.models import Job, JobLog
from condahub.jobs.registry import job_kind
from condahub.jobs.runner import drain, run_one

Body = Callable[[JobContext], "dict[str, Any] | None"]


@pytest.fixture
def run_as_job() -> Iterator[Callable[..., Job]]:
    """`run_as_job(body, **limits)` runs the function as a job's run and returns the job as it is afterwards."""
    names = []

    def run(body: Body, *, max_attempts: int = 1, **limits: Any) -> Job:
        name = f"test.{len(names)}"
        names.append(name)

        def call(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any] | None:
            return body(context)

        job_kind(name, lane="quick", **limits)(call)
        job = services.enqueue(kind=name, payload={}, max_attempts=max_attempts)
        run_one("quick")
        job.refresh_from_db()
        return job

    yield run
    for name in names:
        del registry._kinds[name]


@pytest.mark.django_db
def test_the_last_progress_is_kept_with_its_phase(run_as_job: Callable[..., Job]) -> None:
    def body(context: JobContext) -> None:
        context.progress(0, 10, unit="packages", phase="reading")
        for number in range(1, 11):
            context.progress(number)
        context.progress(phase="writing", message="almost")

    job = run_as_job(body)
    assert job.state == "done"
    assert (job.phase, job.done, job.total, job.unit, job.message) == ("writing", 0, None, "packages", "almost")


@pytest.mark.django_db
def test_the_log_is_appended_in_chunks_across_attempts(run_as_job: Callable[..., Job]) -> None:
    def body(context: JobContext) -> None:
        for number in range(1000):
            context.log(f"line {number}")
        context.log("careful \x00", "warning")
        raise RuntimeError

    job = run_as_job(body, max_attempts=2)
    Job.objects.filter(pk=job.pk).update(run_after=job.created_at)
    first = list(selectors.log_of(job).values_list("sequence", "level", "text"))
    assert [row[:2] for row in first] == [(1, "info"), (2, "warning")], "a thousand lines are one row"
    assert first[0][2].splitlines()[999] == "line 999"
    drain("quick")
    again = list(selectors.log_of(job).values_list("sequence", "level", "text"))
    assert again[:2] == first
    assert [row[0] for row in again] == [1, 2, 3, 4]
    assert selectors.log_of(job, after=2).count() == 2


@pytest.mark.django_db
def test_a_log_without_an_end_is_cut(run_as_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("condahub.jobs.context.MAX_LOG_CHARS", 10_000)

    def body(context: JobContext) -> None:
        for _ in range(1000):
            context.log("x" * 100)

    texts = "".join(selectors.log_of(run_as_job(body)).values_list("text", flat=True))
    assert len(texts) < 11_000
    assert "reached its limit" in texts


@pytest.mark.django_db(transaction=True)
def test_progress_inside_a_transaction_of_the_run_is_written_after_it(run_as_job: Callable[..., Job]) -> None:
    seen = []

    def body(context: JobContext) -> None:
        with transaction.atomic():
            context.progress(1, phase="inside")
            context.log("inside")
            seen.append(Job.objects.get(pk=context.job.pk).phase)
            transaction.set_rollback(True)

    job = run_as_job(body)
    assert seen == [""]
    assert job.phase == "inside"
    assert JobLog.objects.get(job=job).text == "inside"


@pytest.mark.django_db(transaction=True)
def test_a_run_that_does_not_speak_keeps_its_lease(run_as_job: Callable[..., Job]) -> None:
    def body(context: JobContext) -> dict[str, Any]:
        time.sleep(1.6)
        return {"reaped": services.reap()}

    assert run_as_job(body, lease_seconds=1).result == {"reaped": 0}


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_run_leaves_and_is_cancelled(run_as_job: Callable[..., Job]) -> None:
    def body(context: JobContext) -> None:
        services.cancel(SimpleNamespace(label="ada"), context.job)
        while True:
            context.check_cancelled()
            time.sleep(0.02)

    job = run_as_job(body)
    assert (job.state, job.cancelled_by) == ("cancelled", "ada")


@pytest.mark.django_db
def test_a_run_past_its_time_that_looks_fails_at_once(run_as_job: Callable[..., Job]) -> None:
    def body(context: JobContext) -> None:
        while True:
            context.check_cancelled()
            time.sleep(0.02)

    job = run_as_job(body, timeout_seconds=0.1)
    assert (job.state, job.error_code) == ("failed", "timed_out")


@pytest.mark.django_db(transaction=True)
def test_a_run_past_its_time_that_never_looks_is_taken_from_its_thread(
    run_as_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("condahub.jobs.context.OVERDUE_GRACE_SECONDS", 0.2)
    gone = threading.Event()

    def body(context: JobContext) -> dict[str, Any]:
        while not context.lost:
            time.sleep(0.02)
        gone.set()
        return {"too": "late"}

    job = run_as_job(body, timeout_seconds=0.1)
    assert gone.is_set()
    assert (job.state, job.error_code, job.result) == ("failed", "timed_out", None)


@pytest.mark.django_db
def test_a_childs_lines_become_the_jobs(run_as_job: Callable[..., Job]) -> None:
    code = (
        "import json\nfor said in ({'progress': {'done': 3, 'total': 4, 'phase': 'solving'}}, {'log': 'solved'}, {'own': 1}, "
        "{'result': {'packages': 2}}): print(json.dumps(said))"
    )
    others: list[dict[str, Any]] = []
    job = run_as_job(lambda context: context.run_child([sys.executable, "-c", code], stdin=None, env={}, on_output=others.append))
    assert (job.state, job.result, job.phase, job.done, job.total) == ("done", {"packages": 2}, "solving", 3, 4)
    assert JobLog.objects.get(job=job).text == "solved"
    assert others == [{"own": 1}]


@pytest.mark.django_db
def test_a_childs_error_line_is_the_jobs_error_and_a_silent_end_is_a_failure(run_as_job: Callable[..., Job]) -> None:
    said = 'print(\'{"error": {"code": "unsolvable", "detail": "numpy 99 is not there."}}\')'
    job = run_as_job(lambda context: context.run_child([sys.executable, "-c", said], stdin=None, env={}))
    assert (job.state, job.error_code, job.error_sentence) == ("failed", "unsolvable", "numpy 99 is not there.")
    job = run_as_job(lambda context: context.run_child([sys.executable, "-c", "import os; os.abort()"], stdin=None, env={}))
    assert (job.state, job.error_code) == ("failed", "child_failed")
