"""conda-store's own command, as it is published, against a running hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests import parts
from tests.hub import RunningHub

pytestmark = pytest.mark.real
CLIENT = "conda-store==2025.2.2"
INSTALL_SECONDS = 240
RUN_SECONDS = 60


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command in an environment of its own, as what it needs is not what we need."""
    folder = tmp_path_factory.mktemp("conda-store")
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT]
        subprocess.run(pip, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError):
        reason = f"{parts.SKIP_PREFIX}conda-store (pip could not install {CLIENT})"
        if parts.all_required():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return str(folder / "bin" / "conda-store")


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


def run(command: str, hub: RunningHub, *arguments: str, token: str = "", folder: Path | None = None) -> str:
    """What it prints; it must succeed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CONDA_STORE")},
        "CONDA_STORE_URL": f"{hub.url}/conda-store",
        "CONDA_STORE_AUTH": "token" if token else "none",
        "CONDA_STORE_TOKEN": token,
        "COLUMNS": "200",
    }
    done = subprocess.run([command, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
    assert json.loads(run(command, running_hub, "list", "build", "--output", "json", token=home)) == []
    assert (
        json.loads(run(command, running_hub, "list", "build", "--status", "COMPLETED", "--package", "a", "--output", "json", token=home))
        == []
    )


def test_a_token_is_made_that_has_less_power(command: str, running_hub: RunningHub, home: str) -> None:
    asked = ("token", "--namespace", "store-team", "--expiration", "600", "--permission", "store-team/*:viewer")
    narrow = run(command, running_hub, *asked, token=home)
    told = run(command, running_hub, "info", token=narrow)
    assert "environment::read" in told and "environment::update" not in told
    same = run(command, running_hub, "token", token=home)
    assert "environment::update" in run(command, running_hub, "info", token=same)
