"""Actions and jobs: what an action starts is a job of the hub, seen by its organization's people."""

from __future__ import annotations

import json

import pytest

from channels_app.faces.quetz import actions
from channels_app.models import Channel
from condahub.accounts.models import User
from condahub.accounts.services import grant
from condahub.jobs.models import Job
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)
ACTIONS = "/api/channels/secret/actions"


@pytest.mark.parametrize("action", ["reindex", "generate_indexes"])
def test_an_index_action_is_a_job(house: House, secret: Channel, action: str) -> None:
    response = house.call("PUT", ACTIONS, "maintainer", body={"action": action})
    assert response.status_code == 200
    job = json.loads(response.content)
    assert job["status"] == "pending" and job["manifest"] == "channels.render"
    assert house.get(f"/api/jobs/{job['id']}", "reader") == job
    listed = house.get("/api/jobs?status=pending", "reader")
    assert job in listed["result"] and listed["pagination"]["all_records_count"] == Job.objects.count()
    assert house.get(f"/api/jobs/{job['id']}/tasks", "reader")["result"][0]["job_id"] == job["id"]


@pytest.mark.parametrize("action", sorted(actions.DECLINED))
def test_what_is_declined_says_why(house: House, secret: Channel, action: str) -> None:
    response = house.call("PUT", ACTIONS, "maintainer", body={"action": action})
    assert response.status_code == 501
    said = json.loads(response.content)
    assert said["code"] == "declined" and said["detail"].endswith(".") and said["hint"]


def test_actions_are_the_maintainers(house: House, secret: Channel) -> None:
    assert house.call("PUT", ACTIONS, "contributor", body={"action": "reindex"}).status_code == 403
    assert house.call("PUT", ACTIONS, "outsider", body={"action": "synchronize"}).status_code == 403
    assert house.call("PUT", ACTIONS, body={"action": "reindex"}).status_code == 401
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "body", [{}, {"action": "dance"}, {"action": "reindex", "repeat_every_seconds": 5}, {"action": "reindex", "start_at": "soon"}]
)
def test_a_body_that_makes_no_sense_is_422(house: House, secret: Channel, body: dict[str, object]) -> None:
    assert house.call("PUT", ACTIONS, "owner", body=body).status_code == 422


def test_an_app_registers_its_own_action(house: House, secret: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "_actions", dict(actions._actions))
    actions.register_action("synchronize", actions.render_index)
    assert house.call("PUT", ACTIONS, "owner", body={"action": "synchronize"}).status_code == 200


def test_jobs_are_hidden_from_others(house: House, secret: Channel) -> None:
    job = json.loads(house.call("PUT", ACTIONS, "owner", body={"action": "reindex"}).content)["id"]
    assert house.call("GET", "/api/jobs").status_code == 401
    assert house.get("/api/jobs", "outsider")["pagination"]["all_records_count"] == 0
    hidden, unknown = (house.call("GET", f"/api/jobs/{number}", "outsider") for number in (job, 10**9))
    assert hidden.status_code == unknown.status_code == 404 and hidden.content == unknown.content
    grant(actor=house.staff, on=secret, role="reader", user=User.objects.get(username="outsider"))
    assert house.call("GET", f"/api/jobs/{job}", "outsider").status_code == 200
    assert house.get("/api/jobs", "staff")["pagination"]["all_records_count"] == Job.objects.count()


def test_a_job_is_cancelled_by_a_maintainer(house: House, secret: Channel) -> None:
    job = json.loads(house.call("PUT", ACTIONS, "owner", body={"action": "reindex"}).content)["id"]
    assert house.call("PATCH", f"/api/jobs/{job}", "reader", body={"status": "cancelled"}).status_code == 403
    assert house.call("PATCH", f"/api/jobs/{job}", "maintainer", body={"status": "running"}).status_code == 422
    response = house.call("PATCH", f"/api/jobs/{job}", "maintainer", body={"status": "cancelled"})
    assert json.loads(response.content)["status"] == "cancelled"


def test_jobs_are_not_made_from_manifests(house: House) -> None:
    assert house.call("POST", "/api/jobs", "staff", body={"manifest": "os:system"}).status_code == 501
