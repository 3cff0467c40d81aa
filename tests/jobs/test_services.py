"""What is promised about a job's life: order, coalescing, leases, retries, cancelling, reaping."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.utils import timezone

from condahub.accounts.models import Organization
from condahub.errors import Conflict
from condahub.jobs import selectors, services
from condahub.jobs.models import Job, JobLog, WorkerBeat
from condahub.jobs.runner import drain, run_one
from condahub.jobs.states import JobState, Lane
from tests.jobs.conftest import start_python

pytestmark = pytest.mark.django_db
SOMEBODY = SimpleNamespace(label="ada")


def enqueue(key: str = "", kind: str = "sample.note", **more: object) -> Job:
    return services.enqueue(kind=kind, payload={}, coalesce_key=key, **more)  # type: ignore[arg-type]


def claimed(job: Job) -> Job:
    taken = services.claim(job.lane, "w")
    assert taken is not None
    assert taken.pk == job.pk
    return taken


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def now_due(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(run_after=timezone.now())


# -- asking and claiming ---------------------------------------------------------------------------------------------


def test_what_is_due_longest_is_claimed_first_and_what_is_not_due_is_not() -> None:
    later = enqueue(run_after=timezone.now() + timedelta(hours=1))
    second = enqueue()
    first = enqueue(run_after=timezone.now() - timedelta(minutes=1))
    assert [claimed(first).pk, claimed(second).pk] == [first.pk, second.pk]
    assert services.claim("quick", "w") is None
    now_due(later)
    assert claimed(later).fencing == 1


def test_a_lane_takes_nothing_of_the_other_lane() -> None:
    heavy = enqueue(lane="heavy")
    assert services.claim("quick", "w") is None
    assert claimed(heavy).worker == "w"


def test_many_jobs_of_one_organization_never_keep_anothers_few_waiting() -> None:
    """Whether one job runs at a time or several: between two of the many comes the one, and what is the hub's own."""
    many, few = (Organization.objects.create(name=name) for name in ("many", "few"))
    queued = [enqueue(lane="heavy", organization_id=many.pk) for _ in range(20)]
    late, own = enqueue(lane="heavy", organization_id=few.pk), enqueue(lane="heavy")
    claimed(queued[0])
    # The second slot of two.
    assert {services.claim("heavy", "w"), services.claim("heavy", "w")} == {late, own}
    claimed(queued[1])
    # One slot: whoever just had it comes after who did not.
    for job in Job.objects.filter(state=JobState.RUNNING):
        services.finish(job)
    later = enqueue(lane="heavy", organization_id=few.pk)
    claimed(later)
    claimed(queued[2])


def test_a_kind_nobody_registers_is_refused_at_once() -> None:
    with pytest.raises(LookupError):
        enqueue(kind="sample.unheard")


def test_a_kind_this_worker_does_not_know_is_left_for_one_that_does() -> None:
    job = enqueue()
    Job.objects.filter(pk=job.pk).update(kind="newer.kind")
    assert services.claim("quick", "w") is None


def test_a_job_of_a_rolled_back_transaction_never_was() -> None:
    with transaction.atomic():
        enqueue()
        transaction.set_rollback(True)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_does_not_answer_never_fails_the_caller() -> None:
    code = (
        "import time; from condahub.jobs import services; started = time.monotonic()\n"
        "for _ in range(20): services.enqueue(kind='sample.note', payload={})\n"
        "print(time.monotonic() - started)"
    )
    process = start_python(code, CONDAHUB_BROKER_URL="redis://127.0.0.1:1/0")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert Job.objects.count() == 20
    assert float(output) < 4, "only the first call may wait for the broker"


# -- coalescing ------------------------------------------------------------------------------------------------------


def test_the_same_work_waits_once_and_may_move_earlier_never_later() -> None:
    soon, late = timezone.now() + timedelta(minutes=1), timezone.now() + timedelta(hours=1)
    first = enqueue("main/noarch", run_after=late)
    assert enqueue("main/noarch", run_after=soon).pk == first.pk
    assert enqueue("main/noarch", run_after=late).pk == first.pk
    first.refresh_from_db()
    assert first.run_after == soon
    assert enqueue("main/linux-64").pk != first.pk
    assert enqueue().pk != enqueue().pk, "without a key nothing is joined"


def test_work_that_runs_is_not_joined_and_its_successor_waits_for_it() -> None:
    running = claimed(enqueue("k"))
    successor = enqueue("k")
    assert successor.pk != running.pk
    assert enqueue("k").pk == successor.pk
    assert services.claim("quick", "other") is None, "one key never runs twice at once"
    services.finish(running)
    assert claimed(successor).pk == successor.pk


def test_a_retry_stands_back_for_the_newer_job_of_its_key() -> None:
    running = claimed(enqueue("k"))
    successor = enqueue("k")
    services.fail(running, code="internal", sentence="No.", retry=True)
    running.refresh_from_db()
    assert (running.state, running.error_code) == ("cancelled", "superseded")
    claimed(successor)


@pytest.mark.django_db(transaction=True)
def test_many_callers_at_once_make_one_job_of_one_key() -> None:
    gate, pks = threading.Barrier(6), []

    def call() -> None:
        gate.wait()
        with transaction.atomic():
            pks.append(enqueue("k").pk)
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pks) == 6
    assert set(pks) == {Job.objects.get().pk}


@pytest.mark.django_db(transaction=True)
def test_a_joined_job_does_not_start_before_the_caller_has_committed() -> None:
    enqueue("k")
    joined, committed_at = threading.Event(), []

    def call() -> None:
        with transaction.atomic():
            enqueue("k")
            joined.set()
            time.sleep(0.3)
            committed_at.append(time.monotonic())
        connection.close()

    caller = threading.Thread(target=call)
    caller.start()
    assert joined.wait(5)
    taken = services.claim("quick", "w")
    claimed_at = time.monotonic()
    caller.join()
    assert taken is None or claimed_at >= committed_at[0]


# -- leases ----------------------------------------------------------------------------------------------------------


def test_an_expired_lease_goes_to_the_next_worker_and_the_old_one_can_write_nothing() -> None:
    old = claimed(enqueue())
    assert services.reap() == 0, "a lease that holds is left alone"
    expire(old)
    assert services.reap() == 1
    new = claimed(old)
    assert (new.fencing, new.attempts) == (2, 2)
    for write in (
        lambda: services.heartbeat(old),
        lambda: services.cancel_was_requested(old),
        lambda: services.finish(old, {"stale": True}),
        lambda: services.fail(old, code="x", sentence="x", retry=True),
        lambda: services.release(old),
        lambda: services.stop_cancelled(old),
    ):
        with pytest.raises(services.LeaseLost):
            write()
    services.finish(new, {"fresh": True})
    new.refresh_from_db()
    assert (new.state, new.result) == ("done", {"fresh": True})


def test_a_heartbeat_prolongs_the_lease() -> None:
    job = claimed(enqueue())
    expire(job)
    assert services.heartbeat(job) is False
    assert services.reap() == 0


def test_a_job_whose_workers_always_die_fails_with_a_sentence() -> None:
    job = enqueue(max_attempts=2)
    for _ in range(2):
        expire(claimed(job))
        services.reap()
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "worker_lost")
    assert "2 times" in job.error_sentence


def test_a_released_job_has_not_used_an_attempt() -> None:
    job = claimed(enqueue())
    services.release(job)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("waiting", 0)


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_ends_done_with_its_result() -> None:
    job = enqueue()
    assert drain("quick") == 1
    job.refresh_from_db()
    assert job.state == "done"
    assert job.result is not None
    assert job.finished_at is not None


def test_a_refusal_is_final_and_keeps_its_own_words() -> None:
    job = enqueue(kind="sample.conflict")
    drain("quick")
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_sentence) == ("failed", "renaming", "The channel is being renamed.")
    assert job.attempts == 1


@pytest.mark.parametrize(("kind", "code"), [("sample.unavailable", "unavailable"), ("sample.broken", "internal")])
def test_what_may_pass_is_tried_again_with_growing_pauses_until_the_attempts_are_used(kind: str, code: str) -> None:
    job = enqueue(kind=kind)
    pauses = []
    for attempt in (1, 2):
        assert run_one("quick")
        job.refresh_from_db()
        assert (job.state, job.attempts, job.error_code) == ("waiting", attempt, code)
        pauses.append((job.run_after - timezone.now()).total_seconds())
        assert not run_one("quick"), "not before its pause is over"
        now_due(job)
    assert 0 < pauses[0] < pauses[1] <= services.MAX_RETRY_SECONDS
    run_one("quick")
    job.refresh_from_db()
    assert (job.state, job.attempts, job.error_code) == ("failed", 3, code)


def test_an_unexpected_error_is_for_the_operator_not_for_the_reader(caplog: pytest.LogCaptureFixture) -> None:
    job = enqueue(kind="sample.broken", max_attempts=1)
    drain("quick")
    job.refresh_from_db()
    shown = f"{job.error_sentence} {job.error_hint} {job.result} {list(JobLog.objects.values_list('text', flat=True))}"
    assert "secret-of-the-house" not in shown
    assert "secret-of-the-house" in caplog.text


# -- cancelling ------------------------------------------------------------------------------------------------------


def test_a_waiting_job_is_cancelled_at_once() -> None:
    job = services.cancel(SOMEBODY, enqueue())
    assert (job.state, job.cancelled_by) == ("cancelled", "ada")
    assert drain("quick") == 0


def test_a_running_job_is_asked_to_stop_and_a_dead_one_is_cancelled_by_the_reaper() -> None:
    running = claimed(enqueue())
    assert services.cancel(SOMEBODY, running).state == "running"
    assert services.heartbeat(running) is True
    expire(running)
    services.reap()
    running.refresh_from_db()
    assert running.state == "cancelled"
    assert services.cancel(SOMEBODY, running).state == "cancelled", "cancelling twice is no error"


def test_a_job_that_has_ended_cannot_be_cancelled() -> None:
    job = claimed(enqueue())
    services.finish(job)
    with pytest.raises(Conflict):
        services.cancel(SOMEBODY, job)


# -- reads -----------------------------------------------------------------------------------------------------------


def test_the_depth_of_the_lanes_counts_what_is_due() -> None:
    enqueue(run_after=timezone.now() - timedelta(seconds=90))
    enqueue(run_after=timezone.now() + timedelta(hours=1))
    claimed(enqueue(kind="sample.child"))
    depth = selectors.queue_depth()
    assert (depth[Lane.QUICK].waiting, depth[Lane.QUICK].running) == (1, 0)
    assert 89 < (depth[Lane.QUICK].oldest_age_seconds or 0) < 120
    assert (depth[Lane.HEAVY].waiting, depth[Lane.HEAVY].running, depth[Lane.HEAVY].oldest_age_seconds) == (0, 1, None)


def test_jobs_of_no_organization_are_for_staff_only() -> None:
    enqueue()
    assert selectors.jobs_for([1]).count() == 0
    assert selectors.jobs_for(None).count() == 1


def test_a_worker_that_went_silent_is_not_alive() -> None:
    now = timezone.now()
    for name, age in (("a", 1), ("b", 120)):
        WorkerBeat.objects.create(
            worker=name, lane="quick", hostname="h", pid=1, slots=1, version="0", started_at=now, seen_at=now - timedelta(seconds=age)
        )
    assert [beat.worker for beat in selectors.workers_alive()] == ["a"]


def test_old_ended_jobs_are_pruned_with_their_logs_and_nothing_else() -> None:
    old, young, waiting = enqueue(), enqueue(), enqueue()
    JobLog.objects.create(job=old, sequence=1, at=timezone.now(), level="info", text="x")
    long_ago = timezone.now() - timedelta(days=31)
    Job.objects.filter(pk=old.pk).update(state="done", finished_at=long_ago)
    Job.objects.filter(pk=young.pk).update(state="done", finished_at=timezone.now())
    Job.objects.filter(pk=waiting.pk).update(created_at=long_ago)
    assert services.prune() == 1
    assert set(Job.objects.values_list("pk", flat=True)) == {young.pk, waiting.pk}
