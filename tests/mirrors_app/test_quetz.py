"""Mirrors as Quetz's clients make, run and list them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token, grant
from condahub.jobs.runner import drain
from mirrors_app.models import Mirror, SyncRun, Upstream
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import shown

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]

Call = Callable[..., HttpResponse]


@pytest.fixture
def call(staff: Actor, organization: Organization, client: Any) -> Call:
    """`call("POST", "/api/channels", "max", {...})` with that person's key; max maintains acme, rea reads it, mallory is nobody's."""
    secrets = {}
    for name, role in (("max", "maintainer"), ("rea", "reader"), ("mallory", "")):
        user = User.objects.create(username=name)
        if role:
            grant(actor=staff, on=organization, user=user, role=role)
        secrets[name] = create_token(actor=Actor.of(user), name="key", scopes=["full"]).secret

    def send(method: str, path: str, who: str, body: Any = None) -> HttpResponse:
        return client.generic(method, path, json.dumps(body or {}), content_type="application/json", headers={"X-API-Key": secrets[who]})

    return send


def answer(response: HttpResponse) -> Any:
    return json.loads(response.content)


def make(call: Call, server: UpstreamServer, who: str = "max", **about: Any) -> HttpResponse:
    body = {"name": "copy", "private": False, "mirror_channel_url": server.url, "mirror_mode": "mirror", **about}
    return call("POST", "/api/channels?organization=acme", who, body)


def test_a_mirror_is_made_run_and_told_of(call: Call, server: UpstreamServer) -> None:
    assert make(call, server, "rea").status_code == make(call, server, "mallory").status_code == 403
    assert make(call, server, mirror_api_key="a-key-of-the-upstream").status_code == 201
    drain("heavy")
    mirror = Mirror.objects.get()
    assert sorted(shown(mirror)) == ["base-1.0-0.conda", "tool-1.0-0.conda", "tool-2.0-0.tar.bz2"]
    assert {headers.get("X-API-Key") for _, headers in server.headers} == {"a-key-of-the-upstream"}
    told = answer(call("GET", "/api/channels/copy", "max"))
    assert (told["mirror_channel_url"], told["mirror_mode"]) == (server.url, "mirror")
    assert "a-key-of-the-upstream" not in json.dumps(told) + Upstream.objects.get().sealed_secret
    for path in ("/api/channels/copy", "/api/channels", "/api/channels/search?q=copy"):
        hidden = answer(call("GET", path, "mallory"))
        one = hidden if isinstance(hidden, dict) else hidden[0]
        assert (one["mirror_channel_url"], one["mirror_mode"]) == (None, "mirror"), "a public channel does not tell where it comes from"
    again = call("PUT", "/api/channels/copy/actions", "max", {"action": "synchronize"})
    assert (again.status_code, answer(again)["manifest"]) == (200, "mirrors.sync")
    drain("heavy")
    assert SyncRun.objects.count() == 2
    assert call("PUT", "/api/channels/copy/actions", "rea", {"action": "synchronize"}).status_code == 403


def test_lists_of_beginnings_are_filters_and_actions_say_whether_it_runs(call: Call, server: UpstreamServer) -> None:
    lists = {"includelist": ["too", "pure"], "excludelist": ["pure"]}
    assert make(call, server, metadata=lists, actions=["reindex"]).status_code == 201
    mirror = Mirror.objects.get()
    assert mirror.filters == {"include": ["too*", "pure*"], "exclude": ["pure*"]}
    drain("heavy")
    assert not SyncRun.objects.exists()
    assert call("PUT", "/api/channels/copy/actions", "max", {"action": "synchronize"}).status_code == 200
    drain("heavy")
    assert sorted(shown(mirror)) == ["tool-1.0-0.conda", "tool-2.0-0.tar.bz2"]
    assert shown(mirror, "noarch") == {}


def test_a_proxy_is_lazy(call: Call, server: UpstreamServer) -> None:
    assert make(call, server, mirror_mode="proxy").status_code == 201
    assert Mirror.objects.get().mode == "lazy"
    refresh = call("PUT", "/api/channels/copy/actions", "max", {"action": "synchronize_repodata"})
    assert answer(refresh)["manifest"] == "mirrors.refresh"
    drain("heavy")
    assert not server.packages()
    assert answer(call("GET", "/api/channels/copy", "max"))["mirror_mode"] == "proxy"


@pytest.mark.parametrize(
    "about",
    [
        {"mirror_mode": "push"},
        {"mirror_mode": 1},
        {"mirror_channel_url": "nonsense://x"},
        {"metadata": {"includelist": "numpy"}},
        {"metadata": {"proxylist": ["numpy"]}},
        {"metadata": []},
        {"actions": "synchronize"},
        {"private": "no"},
        {"size_limit": "much"},
        {"name": None},
    ],
)
def test_what_can_not_be_done_is_refused_whole(call: Call, server: UpstreamServer, about: dict[str, Any]) -> None:
    refused = make(call, server, **about)
    assert refused.status_code == 422, refused.content
    assert not Mirror.objects.exists()


def test_a_hosted_channel_has_nothing_to_synchronize(call: Call) -> None:
    assert call("POST", "/api/channels?organization=acme", "max", {"name": "own"}).status_code == 201
    refused = call("PUT", "/api/channels/own/actions", "max", {"action": "synchronize"})
    assert (refused.status_code, answer(refused)["code"]) == (409, "no_mirror")


def test_others_register_as_mirrors_of_a_channel(call: Call) -> None:
    call("POST", "/api/channels?organization=acme", "max", {"name": "own", "private": True})
    path = "/api/channels/own/mirrors"
    body = {"url": "https://mirror.example/get/own", "api_endpoint": "https://mirror.example/api/channels/own"}
    assert call("POST", path, "rea", body).status_code == 403
    made = call("POST", path, "max", body)
    assert made.status_code == 201
    assert call("POST", path, "max", body).status_code == 409
    for bad in ({}, {"url": "javascript:alert(1)"}, {"url": "https://user:word@x/"}, {"url": 5}, {"url": "https://[x"}):
        assert call("POST", path, "max", bad).status_code == 422
    listed = answer(call("GET", path, "rea"))
    assert listed == [{**body, "id": answer(made)["id"], "metrics_endpoint": None}]
    assert call("GET", path, "mallory").status_code == 403
    assert call("DELETE", f"{path}/{listed[0]['id']}", "rea").status_code == 403
    assert call("DELETE", f"{path}/{listed[0]['id']}", "max").status_code == 200
    assert call("DELETE", f"{path}/{listed[0]['id']}", "max").status_code == 404
    assert answer(call("GET", path, "rea")) == []


@pytest.mark.real
def test_quetz_client_reads_a_channel_that_is_a_mirror(
    call: Call, server: UpstreamServer, live_server: Any, staff: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    quetz_client = pytest.importorskip("quetz_client")
    make(call, server)
    key = create_token(actor=Actor.of(User.objects.get(username="max")), name="client", scopes=["full"]).secret
    client = quetz_client.QuetzClient.from_token(live_server.url, key)
    found = {one.name: one for one in client.yield_channels()}
    assert (found["copy"].mirror_channel_url, found["copy"].mirror_mode) == (server.url, "mirror")
