"""conda-store's own command, as it is published, against a running hub."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.environments_app.faces.client import call, run
from tests.hub import RunningHub

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def home(running_hub: RunningHub) -> str:
    """An organization with two environments."""
    with httpx.Client(base_url=f"{running_hub.url}/api/hub/v1", headers=running_hub.headers, timeout=30) as api:
        made = api.post("/organizations", json={"name": "store-team"})
        assert made.status_code == 201, made.text
        for name in ("alpha", "beta"):
            assert api.post("/organizations/store-team/environments", json={"name": name}).status_code == 201
        assert api.post("/tokens", json={"name": "client", "scopes": ["full"]}).status_code == 201
        token: str = api.post("/tokens", json={"name": "client", "scopes": ["full"]}).json()["secret"]
    return token


def test_info_tells_who_one_is(command: str, running_hub: RunningHub, home: str) -> None:
    told = run(command, running_hub, "info", token=home)
    assert "Authenticated True" in told and "environment::update" in told
    assert "Authenticated False" in run(command, running_hub, "info")


def test_lists_are_whole(command: str, running_hub: RunningHub, home: str) -> None:
    names = [row["name"] for row in json.loads(run(command, running_hub, "list", "namespace", "--output", "json", token=home))]
    assert "store-team" in names
    found = json.loads(run(command, running_hub, "list", "environment", "--output", "json", token=home))
    assert [row["name"] for row in found if row["namespace"]["name"] == "store-team"] == ["alpha", "beta"]
    assert "alpha" in run(command, running_hub, "list", "environment", token=home)
    assert "alpha" not in run(command, running_hub, "list", "environment"), "it is private"
    # Other tests may have built what is theirs on the same hub.
    own = {row["id"] for row in found if row["namespace"]["name"] == "store-team"}
    for more in ((), ("--status", "COMPLETED", "--package", "a")):
        builds = json.loads(run(command, running_hub, "list", "build", *more, "--output", "json", token=home))
        assert [row for row in builds if row["environment_id"] in own] == []


def test_a_token_is_made_that_has_less_power(command: str, running_hub: RunningHub, home: str) -> None:
    asked = ("token", "--namespace", "store-team", "--expiration", "600", "--permission", "store-team/*:viewer")
    narrow = run(command, running_hub, *asked, token=home)
    told = run(command, running_hub, "info", token=narrow)
    assert "environment::read" in told and "environment::update" not in told
    same = run(command, running_hub, "token", token=home)
    assert "environment::update" in run(command, running_hub, "info", token=same)


def test_a_name_and_a_password_sign_in(command: str, running_hub: RunningHub, home: str) -> None:
    # By its name: the command keeps no cookie of a bare address.
    address = running_hub.url.replace("127.0.0.1", "localhost") + "/conda-store"
    mine = {"CONDA_STORE_URL": address, "CONDA_STORE_AUTH": "basic", "CONDA_STORE_USERNAME": "admin"}
    assert "Authenticated True" in run(command, running_hub, "info", **mine, CONDA_STORE_PASSWORD=running_hub.admin_password)
    assert call(command, running_hub, "info", **mine, CONDA_STORE_PASSWORD="wrong").returncode == 1
