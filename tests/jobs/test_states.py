"""The automaton of a job, walked pair by pair."""

from __future__ import annotations

import itertools

import pytest
from django.db import IntegrityError, transaction

from condahub.jobs import services
from condahub.jobs.models import Job
from condahub.jobs.states import FINAL_STATES, TRANSITIONS, JobState

pytestmark = pytest.mark.django_db


def test_the_table_names_every_state_and_ends() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {JobState.DONE, JobState.FAILED, JobState.CANCELLED} == FINAL_STATES


@pytest.mark.parametrize(("source", "target"), list(itertools.product(JobState, JobState)))
def test_a_job_moves_only_as_the_table_says(source: JobState, target: JobState) -> None:
    job = services.enqueue(kind="sample.note", payload={})
    Job.objects.filter(pk=job.pk).update(state=source)
    if target in TRANSITIONS[source]:
        assert services._move(job.pk, source, target)
    else:
        with pytest.raises(ValueError, match="can't go"):
            services._move(job.pk, source, target)
    job.refresh_from_db()
    assert job.state == (target if target in TRANSITIONS[source] else source)


def test_a_move_from_a_state_that_was_left_meanwhile_does_nothing() -> None:
    job = services.enqueue(kind="sample.note", payload={})
    assert services._move(job.pk, JobState.WAITING, JobState.CANCELLED)
    assert not services._move(job.pk, JobState.WAITING, JobState.RUNNING)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_the_database_refuses_an_unknown_state() -> None:
    job = services.enqueue(kind="sample.note", payload={})
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(state="lost")
