"""What happens to a job: asked for, claimed, kept, ended, given back, cancelled, reaped, pruned.

Every move is one conditional UPDATE that names the state it leaves, and the fencing number where a lease is needed: the
same on SQLite and PostgreSQL, and nobody who lost the lease can write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Least
from django.utils import timezone

from condahub.errors import Conflict
from condahub.jobs.doorbell import ring_on_commit
from condahub.jobs.models import MAX_SENTENCE_CHARS, Job
from condahub.jobs.registry import kind_named, kind_names
from condahub.jobs.states import FINAL_STATES, JobState, Lane, check_transition
from condahub.jobs.turns import in_turn

FIRST_RETRY_SECONDS = 5
MAX_RETRY_SECONDS = 600
CLAIM_CANDIDATES = 8
CLAIM_ROUNDS = 3
JOIN_TRIES = 10
REAP_AT_ONCE = 100
KEEP_FINISHED_DAYS = 30
PRUNE_AT_ONCE = 500


_holds: list[Callable[[], bool]] = []


def register_hold(is_held: Callable[[], bool]) -> None:
    """While `is_held()` says so, no job of the heavy lane is claimed; those that run go on. From `AppConfig.ready`; it must be cheap."""
    _holds.append(is_held)


class LeaseLost(Exception):
    """This worker's lease on the job has ended; another may have it. Nothing was written."""


class Labelled(Protocol):
    @property
    def label(self) -> str: ...


def enqueue(
    *,
    kind: str,
    payload: Mapping[str, Any],
    lane: str | None = None,
    coalesce_key: str = "",
    organization_id: int | None = None,
    actor_label: str = "",
    max_attempts: int | None = None,
    run_after: datetime | None = None,
) -> Job:
    """Ask for work; it starts after the caller's transaction is committed, and no earlier than `run_after`.

    With a `coalesce_key`, a job of the same kind and key that still waits is returned instead (moved earlier if need be):
    the payload must follow from the key. One that already runs does not count: it may have read before this change.
    A broker that does not answer never fails the caller.
    """
    known = kind_named(kind)
    due = run_after or timezone.now()
    wanted = Job(
        kind=kind,
        lane=Lane(lane or known.lane),
        payload=dict(payload),
        coalesce_key=coalesce_key,
        organization_id=organization_id,
        actor_label=actor_label[:200],
        max_attempts=max_attempts or known.max_attempts,
        run_after=due,
    )
    job = _join_or_create(wanted)
    if job.run_after <= timezone.now():
        ring_on_commit(job.lane)
    return job


def _join_or_create(wanted: Job) -> Job:
    for tries_left in reversed(range(JOIN_TRIES)):
        joined = _join_waiting(wanted) if wanted.coalesce_key else None
        if joined is not None:
            return joined
        try:
            # A savepoint, so that losing the race to another caller leaves this caller's transaction usable.
            with transaction.atomic():
                wanted.save(force_insert=True)
            return wanted
        except IntegrityError:
            wanted.pk = None
            if not wanted.coalesce_key or not tries_left:
                raise
    raise AssertionError("unreachable")


def _join_waiting(wanted: Job) -> Job | None:
    """The waiting job of that key, locked by an update until the caller commits: so its run will see the caller's change."""
    waiting = Job.objects.filter(kind=wanted.kind, coalesce_key=wanted.coalesce_key, state=JobState.WAITING)
    pk = waiting.values_list("pk", flat=True).first()
    if pk is None or not waiting.filter(pk=pk).update(run_after=Least(F("run_after"), wanted.run_after)):
        return None
    return Job.objects.get(pk=pk)


def _move(pk: int, source: JobState, target: JobState, *guards: Q, **values: Any) -> bool:
    """The one place where a state changes. False when the job was not (any more) as the guards say."""
    check_transition(source, target)
    return bool(Job.objects.filter(*guards, pk=pk, state=source).update(state=target, **values))


def _held(job: Job) -> Q:
    return Q(fencing=job.fencing)


def _must(moved: bool, job: Job) -> None:
    if not moved:
        raise LeaseLost(str(job))


def claim(lane: str, worker: str) -> Job | None:
    """Take the job that is due longest, with a lease; None when there is none. A job goes to one claimer only.

    In the heavy lane, whose jobs run long, organizations take turns.
    """
    for _ in range(CLAIM_ROUNDS):
        if lane == Lane.HEAVY:
            candidates = in_turn(claimable(lane), lane, CLAIM_CANDIDATES)
        else:
            candidates = list(claimable(lane).values_list("pk", "kind")[:CLAIM_CANDIDATES])
        for pk, kind in candidates:
            if _take(pk, worker, timezone.now(), timedelta(seconds=kind_named(kind).lease_seconds)):
                return Job.objects.get(pk=pk)
        if len(candidates) < CLAIM_CANDIDATES:
            break
    return None


def claimable(lane: str) -> QuerySet[Job]:
    """Jobs of that lane that could start now in this process, the longest due first. One key never runs twice at once."""
    if lane == Lane.HEAVY and any(is_held() for is_held in _holds):
        return Job.objects.none()
    same_key_running = Job.objects.filter(kind=OuterRef("kind"), coalesce_key=OuterRef("coalesce_key"), state=JobState.RUNNING)
    due = Job.objects.filter(lane=lane, state=JobState.WAITING, run_after__lte=timezone.now(), kind__in=kind_names())
    return due.filter(Q(coalesce_key="") | ~Exists(same_key_running)).order_by("run_after", "id")


def _take(pk: int, worker: str, now: datetime, lease: timedelta) -> bool:
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # A row that an enqueue has just joined is locked until it commits: pass on to the next instead of waiting.
            free = Job.objects.select_for_update(skip_locked=True).filter(pk=pk, state=JobState.WAITING).values_list("pk", flat=True)
            if not list(free):
                return False
        return _move(
            pk,
            JobState.WAITING,
            JobState.RUNNING,
            worker=worker[:200],
            fencing=F("fencing") + 1,
            attempts=F("attempts") + 1,
            started_at=now,
            heartbeat_at=now,
            lease_until=now + lease,
            phase="",
            done=0,
            total=None,
            unit="",
            message="",
            rate=None,
        )


def heartbeat(job: Job, **progress: Any) -> bool:
    """Prolong the lease, with progress fields if given; returns whether somebody asked to cancel. LeaseLost if it is gone."""
    now = timezone.now()
    lease = timedelta(seconds=kind_named(job.kind).lease_seconds)
    held = Job.objects.filter(_held(job), pk=job.pk, state=JobState.RUNNING)
    _must(bool(held.update(heartbeat_at=now, lease_until=now + lease, **progress)), job)
    return cancel_was_requested(job)


def cancel_was_requested(job: Job) -> bool:
    """Whether somebody asked to cancel this run. LeaseLost if it is not this worker's any more."""
    asked = Job.objects.filter(_held(job), pk=job.pk, state=JobState.RUNNING).values_list("cancel_requested", flat=True).first()
    if asked is None:
        raise LeaseLost(str(job))
    return asked


def finish(job: Job, result: Mapping[str, Any] | None = None) -> None:
    """The run succeeded. LeaseLost if it was not this worker's any more."""
    ended = {"finished_at": timezone.now(), "lease_until": None, "error_code": "", "error_sentence": "", "error_hint": ""}
    _must(_move(job.pk, JobState.RUNNING, JobState.DONE, _held(job), result=dict(result) if result is not None else None, **ended), job)
    _look_again(job)


def fail(job: Job, *, code: str, sentence: str, hint: str = "", retry: bool) -> None:
    """The run failed: with `retry` it waits for its next attempt as long as it has one, else it has failed for good."""
    error = {"error_code": code[:64], "error_sentence": sentence[:MAX_SENTENCE_CHARS], "error_hint": hint[:MAX_SENTENCE_CHARS]}
    if retry and job.attempts < job.max_attempts:
        pause = min(FIRST_RETRY_SECONDS * 4 ** (job.attempts - 1), MAX_RETRY_SECONDS)
        _must(_give_back(job, _held(job), run_after=timezone.now() + timedelta(seconds=pause), **error), job)
    else:
        _must(_move(job.pk, JobState.RUNNING, JobState.FAILED, _held(job), finished_at=timezone.now(), lease_until=None, **error), job)
    _look_again(job)


def release(job: Job) -> None:
    """The worker stops in good order: the job waits again, and this attempt does not count."""
    _must(_give_back(job, _held(job), run_after=timezone.now(), attempts=F("attempts") - 1), job)
    ring_on_commit(job.lane)


def postpone(job: Job, seconds: float) -> None:
    """The run could not begin yet: the job waits so long, or until `hasten`, and this attempt does not count."""
    _must(_give_back(job, _held(job), run_after=timezone.now() + timedelta(seconds=seconds), attempts=F("attempts") - 1), job)


def hasten(jobs: QuerySet[Job], lane: str) -> int:
    """Have those of them that wait, all of this lane, looked at now. Returns how many."""
    now = timezone.now()
    count = jobs.filter(state=JobState.WAITING, run_after__gt=now).update(run_after=now)
    if count:
        ring_on_commit(lane)
    return count


def stop_cancelled(job: Job) -> None:
    """The run has stopped because it was cancelled."""
    _must(_move(job.pk, JobState.RUNNING, JobState.CANCELLED, _held(job), finished_at=timezone.now(), lease_until=None), job)
    _look_again(job)


def _look_again(job: Job) -> None:
    # The next one of this key was passed over while this one ran.
    if job.coalesce_key:
        ring_on_commit(job.lane)


def _give_back(job: Job, *guards: Q, **values: Any) -> bool:
    """Running -> waiting; when a newer one of the same key waits already, that one stands for both."""
    try:
        with transaction.atomic():
            return _move(job.pk, JobState.RUNNING, JobState.WAITING, *guards, lease_until=None, **values)
    except IntegrityError:
        return _move(
            job.pk,
            JobState.RUNNING,
            JobState.CANCELLED,
            *guards,
            lease_until=None,
            finished_at=timezone.now(),
            error_code="superseded",
            error_sentence="A newer job for the same work was already waiting.",
        )


def cancel(actor: Labelled, job: Job) -> Job:
    """Cancel a waiting job at once, ask a running one to stop. Conflict when it has ended.

    Whether the actor may is for the calling service to settle: it knows what the job is about.
    """
    label = actor.label[:200]
    if not _move(job.pk, JobState.WAITING, JobState.CANCELLED, finished_at=timezone.now(), cancel_requested=True, cancelled_by=label):
        Job.objects.filter(pk=job.pk, state=JobState.RUNNING, cancel_requested=False).update(cancel_requested=True, cancelled_by=label)
    fresh = Job.objects.get(pk=job.pk)
    if fresh.is_final and not fresh.cancel_requested:
        raise Conflict(f"The job has already ended ({fresh.state}).", code="job_ended")
    return fresh


def long_work_of(labels: Collection[str]) -> QuerySet[Job]:
    """What these asked for and that has not ended, of the heavy lane: what is quick finishes what was done already, as an index."""
    return Job.objects.filter(
        actor_label__in=labels, lane=Lane.HEAVY, state__in=(JobState.WAITING, JobState.RUNNING), cancel_requested=False
    )


def cancel_long_work_of(actor: Labelled, label: str) -> int:
    """Cancel all of it; returns how much."""
    count = 0
    for job in long_work_of([label]):
        with suppress(Conflict):
            cancel(actor, job)
            count += 1
    return count


def reap() -> int:
    """Take expired leases from silent workers: their jobs wait again, or end when all attempts are used. Returns how many."""
    now = timezone.now()
    expired = Q(lease_until__lt=now)
    count = 0
    for job in Job.objects.filter(expired, state=JobState.RUNNING).order_by("lease_until")[:REAP_AT_ONCE]:
        guards = (_held(job), expired)
        if job.cancel_requested:
            count += _move(job.pk, JobState.RUNNING, JobState.CANCELLED, *guards, finished_at=now, lease_until=None)
        elif job.attempts >= job.max_attempts:
            count += _move(
                job.pk,
                JobState.RUNNING,
                JobState.FAILED,
                *guards,
                finished_at=now,
                lease_until=None,
                error_code="worker_lost",
                error_sentence=f"The worker stopped answering in the middle of this job, {job.attempts} times in all.",
                error_hint="The operator finds the reason in the worker's log; out of memory is a common one.",
            )
        elif _give_back(job, *guards, run_after=now):
            count += 1
            ring_on_commit(job.lane)
    return count


def prune(*, keep_days: int = KEEP_FINISHED_DAYS) -> int:
    """Delete jobs that ended more than `keep_days` ago, with their logs, in small transactions. Returns how many."""
    before = timezone.now() - timedelta(days=keep_days)
    count = 0
    while True:
        old = Job.objects.filter(state__in=FINAL_STATES, finished_at__lt=before).values_list("pk", flat=True)[:PRUNE_AT_ONCE]
        pks = list(old)
        if not pks:
            return count
        with transaction.atomic():
            Job.objects.filter(pk__in=pks).delete()
        count += len(pks)
