"""Mirrors over the REST API: made, tried, run, watched; secrets stay in; what was asked for is let in for a while."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily

from channels_app import origins
from channels_app.models import Missing
from channels_app.services import requests
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token, grant
from condahub.jobs.runner import drain
from mirrors_app import measures
from mirrors_app.models import Mirror, RunState, SyncRun, Upstream
from mirrors_app.services import admitting
from tests.api.conftest import Api
from tests.mirrors_app.core.faults import Status, named
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import make_mirror, run, shown
from tests.queries import counted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]
SECRET = "s3cr3t-of-the-upstream"


def person(staff: Actor, organization: Organization, name: str, role: str = "") -> Actor:
    user, is_new = User.objects.get_or_create(username=name)
    if role and is_new:
        grant(actor=staff, on=organization, user=user, role=role)
    return Actor.of(user)


@pytest.fixture
def keeper(staff: Actor, organization: Organization) -> Actor:
    return person(staff, organization, "max", "maintainer")


@pytest.fixture
def api(keeper: Actor) -> Api:
    return api_of(keeper)


def api_of(actor: Actor) -> Api:
    return Api(create_token(actor=actor, name="t", scopes=["full"]).secret)


def body(server: UpstreamServer, **more: Any) -> dict[str, Any]:
    return {"organization": "acme", "name": "inside", "subdirs": ["linux-64", "noarch"], "upstreams": [{"url": server.url}], **more}


def test_a_mirror_is_made_tried_run_watched_changed_and_ended(api: Api, server: UpstreamServer) -> None:
    made = api.do("POST", "mirrors", body(server, mode="filtered", filters={"exclude": ["tool >=2"]}), 201)
    assert (made["name"], made["state"], made["mode"], made["visibility"]) == ("inside", "never", "filtered", "private")
    plan = api.do("POST", "mirrors/inside/plan", {}, 202)
    assert api.get(f"mirrors/inside/plans/{plan['job']}")["result"] is None
    job = api.do("POST", "mirrors/inside/run", status=202)["job"]
    assert api.get("mirrors/inside/status")["progress"]["job"] == job
    drain("heavy")
    result = api.get(f"mirrors/inside/plans/{plan['job']}")
    assert result["state"] == "done" and result["result"]["left_out"]["reasons"] == {"excluded by 'tool >=2'": 1}
    status = api.get("mirrors/inside/status")
    assert (status["state"], status["progress"], status["last_run"]["added"], status["last_run"]["job"]) == ("ok", None, 3, job)
    number = status["last_run"]["id"]
    assert api.get("mirrors/inside/runs")["results"][0]["id"] == number
    for full in (False, True):
        assert len(api.get(f"mirrors/inside/runs/{number}", full=full)["report"]["added"]) == 3
    assert api("GET", "mirrors/inside/runs/999999").json()["code"] == "no_such_run"
    assert api("GET", f"mirrors/inside/plans/{job}").json()["code"] == "no_such_plan"
    assert api.do("PATCH", "mirrors/inside", {"filters": {}, "schedule": "30 2 * * *"})["next_run_at"] is not None
    assert api.do("POST", "mirrors/inside/pause")["state"] == "paused"
    assert api.do("POST", "mirrors/inside/resume")["state"] == "ok"
    assert api("POST", "mirrors/inside/cancel").json()["code"] == "no_run"
    assert api("POST", "mirrors/inside/approve").json()["code"] == "nothing_held"
    assert api("DELETE", "mirrors/inside").status_code == 204
    assert api("GET", "mirrors/inside").json()["code"] == "no_mirror"
    assert api.get("channels/inside")["kind"] == "hosted"


def test_what_could_not_be_brought_is_listed(api: Api, keeper: Actor, server: UpstreamServer) -> None:
    api.do("POST", "mirrors", body(server), 201)
    server.faults = [Status(404, named("tool-1"), times=0)]
    assert run(keeper, Mirror.objects.get()).state == "partial"
    assert [one["filename"] for one in api.get("mirrors/inside/refusals")["results"]] == ["tool-1.0-0.conda"]
    assert api.get("mirrors/inside/status")["refusals"] == 1


def test_a_hosted_channel_becomes_a_mirror(api: Api, server: UpstreamServer) -> None:
    api.do("POST", "channels", {"organization": "acme", "name": "own"}, 201)
    given = {"subdirs": ["noarch"], "upstreams": [{"url": server.url}]}
    assert api.do("POST", "channels/own/mirror", given, 201)["name"] == "own"
    assert api("POST", "channels/own/mirror", given).json()["code"] == "not_hosted"


def test_a_lazy_mirror_is_not_run(api: Api, server: UpstreamServer) -> None:
    api.do("POST", "mirrors", body(server, mode="lazy"), 201)
    for verb in ("run", "plan"):
        assert api("POST", f"mirrors/inside/{verb}", {} if verb == "plan" else None).json()["code"] == "lazy_mirror"


def test_secrets_go_in_and_never_come_out(api: Api, server: UpstreamServer) -> None:
    upstream = {"url": server.url, "credential_kind": "basic", "username": "robot", "secret": SECRET}
    told = [api.do("POST", "mirrors", body(server, upstreams=[upstream]), 201)]
    assert told[0]["upstreams"] == [
        {"url": server.url, "credential_kind": "basic", "username": "robot", "has_secret": True, "region": "", "endpoint": ""}
    ]
    del upstream["secret"]
    sealed = Upstream.objects.get().sealed_secret
    told.append(api.do("PATCH", "mirrors/inside", {"upstreams": [upstream]}))
    assert Upstream.objects.get().sealed_secret == sealed, "it is kept for the same origin"
    told += [api.get("mirrors"), api.get("mirrors/inside"), api.get("mirrors/inside/status")]
    wrong = api("PATCH", "mirrors/inside", {"upstreams": [{**upstream, "secret": SECRET, "region": 5}]})
    assert wrong.status_code == 400
    assert SECRET not in json.dumps(told) + wrong.content.decode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"upstreams": []}, 422),
        ({"subdirs": ["../etc"]}, 422),
        ({"subdirs": "noarch"}, 400),
        ({"mode": "some"}, 400),
        ({"mode": "lock"}, 422),
        ({"schedule": "61 * * * *"}, 422),
        ({"filters": {"nonsense": 1}, "mode": "filtered"}, 422),
        ({"filters": {"admitted": ["x"]}, "mode": "filtered"}, 422),
        ({"surprise": 1}, 400),
        ({"connections": 0}, 400),
        ({"proxy": "http://10.0.0.1:3128"}, 403),
        ({"upstreams": [{"url": "http://169.254.169.254/x"}]}, 422),
        ({"upstreams": [{"url": "http://["}]}, 422),
        ({"upstreams": [{"url": "ftp://user:s3cr3t-of-the-upstream@example.org/x"}]}, 422),
    ],
)
def test_what_can_not_be_followed_is_refused_whole(api: Api, server: UpstreamServer, given: dict[str, Any], status: int) -> None:
    refused = api("POST", "mirrors", body(server, **given))
    assert refused.status_code == status, refused.content
    assert refused.json()["detail"] and not Mirror.objects.exists()
    assert SECRET not in refused.content.decode()


def test_the_list_is_narrowed_and_takes_a_known_number_of_queries(
    api: Api, keeper: Actor, organization: Organization, server: UpstreamServer, staff: Actor
) -> None:
    for number in range(2):
        make_mirror(keeper, organization, server.url, name=f"copy-{number}", visibility="public")
    SyncRun.objects.create(mirror=Mirror.objects.get(channel__name="copy-0"), state=RunState.FAILED, started_at=timezone.now())
    api.get("mirrors")
    with counted("api mirrors"):
        api.get("mirrors")
    for number in range(2, 6):
        make_mirror(keeper, organization, server.url, name=f"copy-{number}", mode="filtered", filters={"include": ["x"]})
    api.get("mirrors")
    with counted("api mirrors"):
        assert api.get("mirrors")["count"] == 6

    def names(**query: str) -> list[str]:
        return [one["name"] for one in api.get("mirrors", **query)["results"]]

    assert names(state="failed") == ["copy-0"]
    assert len(names(state="never")) == 5
    assert len(names(mode="filtered")) == 4
    assert names(q="copy-3") == ["copy-3"]
    assert len(names(q="127.0.0.1")) == 6
    assert names(organization="other") == []
    assert names(ordering="-name")[0] == "copy-5"
    assert api_of(person(staff, organization, "mallory")).get("mirrors")["count"] == 0, "not even public ones"


def test_what_filters_leave_out_is_asked_for_let_in_and_taken_back(
    api: Api, keeper: Actor, staff: Actor, organization: Organization, server: UpstreamServer
) -> None:
    api.do("POST", "mirrors", body(server, mode="filtered", filters={"include": ["base"], "newest_versions": 1}, removed="drop"), 201)
    mirror = Mirror.objects.get()
    run(keeper, mirror)
    reader = person(staff, organization, "rea", "reader")
    asked, _ = requests.ask(actor=reader, channel=mirror.channel, spec="tool <2", reason="Needed.")
    absent, _ = requests.ask(actor=reader, channel=mirror.channel, spec="absent", reason="Needed.")
    assert (asked.missing, absent.missing) == (Missing.FILTERED, Missing.NOT_MIRRORED)
    requests.approve(actor=keeper, request=asked, expires_at=timezone.now() + timedelta(days=30))
    drain("heavy")
    assert sorted(shown(mirror)) == ["base-1.0-0.conda", "tool-1.0-0.conda"], "that alone, and not the newer one"
    assert api.get("mirrors/inside")["admitted"][0]["spec"] == "tool <2"
    api.do("PATCH", "mirrors/inside", {"filters": {"include": ["base"]}})
    assert run(keeper, mirror).removed == 0, "a change of the filters takes no approval back"
    mirror.refresh_from_db()
    over = [{**one, "until": (timezone.now() - timedelta(seconds=1)).isoformat()} for one in mirror.admitted]
    Mirror.objects.filter(pk=mirror.pk).update(admitted=over)
    assert admitting.end_admissions() == [mirror.pk]
    assert admitting.end_admissions() == []
    drain("heavy")
    assert sorted(shown(mirror)) == ["base-1.0-0.conda"]
    assert api.get("mirrors/inside")["admitted"] == []


def test_a_refused_request_lets_nothing_in(keeper: Actor, organization: Organization, server: UpstreamServer) -> None:
    mirror = make_mirror(keeper, organization, server.url, mode="filtered", filters={"include": ["base"]})
    run(keeper, mirror)
    asked, _ = requests.ask(actor=keeper, channel=mirror.channel, spec="tool", reason="Needed.")
    requests.refuse(actor=keeper, request=asked, answer="No.")
    mirror.refresh_from_db()
    assert mirror.admitted == [] and SyncRun.objects.count() == 1


def test_what_an_upstream_behind_a_password_has_is_told_to_readers_of_the_mirror_alone(
    staff: Actor, keeper: Actor, organization: Organization, server: UpstreamServer
) -> None:
    address = server.url.replace("http://", "http://robot:word@")
    mirror = make_mirror(keeper, organization, address, mode="filtered", filters={"include": ["base"]}, visibility="public")
    run(keeper, mirror)
    outsider = person(staff, organization, "mallory")
    assert requests.ask(actor=outsider, channel=mirror.channel, spec="tool", reason="Needed.")[0].missing == Missing.NOT_MIRRORED
    assert requests.ask(actor=keeper, channel=mirror.channel, spec="tool", reason="Needed.")[0].missing == Missing.FILTERED


def test_origins_are_told_to_those_who_may_know_them(
    staff: Actor, keeper: Actor, organization: Organization, server: UpstreamServer
) -> None:
    make_mirror(keeper, organization, server.url, name="one", visibility="public")
    make_mirror(keeper, organization, server.url, "https://1.1.1.1/x", name="two")
    known = origins.origins_of(["one", "two", "absent"], keeper)
    assert known == {"one": server.url.rstrip("/")}
    for other in (person(staff, organization, "mallory"), Actor.anonymous()):
        assert origins.origins_of(["one", "two"], other) == {}


def test_the_doctor_and_the_metrics_tell_of_mirrors(keeper: Actor, organization: Organization, server: UpstreamServer) -> None:
    assert [one.what for one in measures.check_mirrors()] == ["There are no mirrors."]
    good = make_mirror(keeper, organization, server.url, name="good", schedule="30 2 * * *")
    run(keeper, good)
    (finding,) = measures.check_mirrors()
    assert (finding.level, finding.what) == ("ok", "1 mirror, none of them failing or overdue.")
    bad = make_mirror(keeper, organization, server.url, name="bad")
    SyncRun.objects.create(mirror=bad, state=RunState.FAILED, started_at=timezone.now())
    Mirror.objects.filter(pk=good.pk).update(
        next_run_at=timezone.now() - timedelta(hours=1), last_synced_at=timezone.now() - timedelta(hours=2)
    )
    told = {finding.level: finding.what for finding in measures.check_mirrors()}
    assert "'bad' failed" in told["error"] and "'good' has passed" in told["warning"]
    count, oldest = measures.measure_mirrors()
    assert isinstance(count, GaugeMetricFamily)
    assert {one.labels["state"]: one.value for one in count.samples if one.value} == {"ok": 1, "failed": 1}
    assert 7200 <= oldest.samples[0].value < 7300
