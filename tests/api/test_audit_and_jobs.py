"""The audit and the jobs over the REST API."""

from __future__ import annotations

import pytest

from condahub.audit import chain
from condahub.jobs.models import Job, JobLog
from condahub.jobs.states import JobState
from tests.api.conftest import ROOT, Api, World
from tests.queries import counted

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(world: World) -> Job:
    from django.utils import timezone

    made = Job.objects.create(kind="channels.render", lane="quick", organization=world.acme, actor_label="owner", payload={"channel": 1})
    for sequence in (1, 2):
        JobLog.objects.create(job=made, sequence=sequence, at=timezone.now(), level="info", text=f"line {sequence}")
    return made


def test_the_audit_is_for_staff_and_an_organizations_own_for_its_owners(world: World) -> None:
    whole = world.api("staff").get("audit", action="channel.create")
    assert [row["target"] for row in whole["results"]] == ["channel:outer", "channel:inner"]
    assert whole["results"][0]["actor"] == "it"
    assert world.api("owner")("GET", "audit").status_code == 403
    own = world.api("owner").get("organizations/acme/audit", ordering="id")
    assert own["count"] > 3
    assert {row["organization_id"] for row in own["results"]} == {world.acme.pk}
    assert world.api("maintainer")("GET", "organizations/acme/audit").status_code == 403
    assert world.api("staff").client.get(f"{ROOT}audit?since=yesterday").status_code == 400
    assert Api()("GET", "audit").status_code == 401


def test_the_chain_is_verified(world: World) -> None:
    chain.seal()
    report = world.api("staff").get("audit/verify")
    assert report["ok"] is True
    assert report["count"] > 3
    assert world.api("owner")("GET", "audit/verify").status_code == 403


def test_jobs_are_shown_to_their_organization(world: World, job: Job) -> None:
    assert world.api("outsider").get("jobs")["count"] == 0
    mine = world.api("reader").get("jobs", kind="channels.render", organization="acme")
    assert [row["id"] for row in mine["results"]] == [job.pk]
    one = world.api("reader").get(f"jobs/{job.pk}")
    assert (one["state"], one["organization"], one["error"], one["actor"]) == ("waiting", "acme", None, "owner")
    assert "payload" not in one
    log = world.api("reader").get(f"jobs/{job.pk}/log", after=1)
    assert [row["text"] for row in log["results"]] == ["line 2"]
    hidden, unknown = (world.api("outsider")("GET", f"jobs/{pk}") for pk in (job.pk, 999_999))
    assert hidden.status_code == unknown.status_code == 403
    assert hidden.content == unknown.content
    assert world.api("reader").client.get(f"{ROOT}jobs?state=lazy").status_code == 400


def test_maintainers_cancel_jobs(world: World, job: Job) -> None:
    assert world.api("contributor")("POST", f"jobs/{job.pk}/cancel").status_code == 403
    assert world.api("maintainer").do("POST", f"jobs/{job.pk}/cancel")["state"] == "cancelled"
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE, cancel_requested=False)
    assert world.api("maintainer").do("POST", f"jobs/{job.pk}/cancel", status=409)["code"] == "job_ended"


def test_the_hubs_own_jobs_are_for_staff(world: World) -> None:
    own = Job.objects.create(kind="audit.seal", lane="quick")
    assert world.api("owner")("GET", f"jobs/{own.pk}").status_code == 403
    assert world.api("staff").get(f"jobs/{own.pk}")["organization"] is None


def test_lists_take_the_same_queries_however_long_they_are(world: World, job: Job) -> None:
    for _ in range(2):
        for key, who, path in (("audit", "staff", "audit"), ("jobs", "staff", "jobs"), ("job log", "reader", f"jobs/{job.pk}/log")):
            world.api(who).do("GET", path)
            with counted(f"api {key}"):
                world.api(who).do("GET", path)
        for _ in range(3):
            Job.objects.create(kind="channels.render", lane="quick", organization=world.acme)
