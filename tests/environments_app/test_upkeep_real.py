"""On a real hub: a watched file is built at once, rebuilt when something is newer, archived, and had back without its packages."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.environments_app.site import Site, site

pytestmark = [pytest.mark.real]
SPEC = "name: watched\nchannels: [forge]\ndependencies: [tool]\n"
WITHIN_SECONDS = 60.0
# The scan alone would take up to a minute.
SOON_SECONDS = 25.0


@pytest.fixture(scope="module")
def specs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ch-specs-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def hub(specs: Path) -> Iterator[Site]:
    with site(CONDAHUB_WATCH=f"{specs}=acme@acme+contributor") as running:
        running.channel("forge")
        running.add("forge", "tool", "1.0")
        running.robot("acme")
        yield running


def until(ask: Callable[[], Any], holds: Callable[[Any], bool], within_seconds: float = WITHIN_SECONDS) -> Any:
    deadline = time.monotonic() + within_seconds
    while not holds(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def listed(hub: Site) -> list[dict[str, Any]]:
    answer: httpx.Response = hub.call("GET", "organizations/acme/environments/watched/builds")
    return list(answer.json()["results"]) if answer.is_success else []


def test_a_file_that_is_dropped_into_the_folder_is_built_at_once(hub: Site, specs: Path) -> None:
    (specs / "watched.yml").write_text(SPEC)
    assert until(lambda: listed(hub), bool, SOON_SECONDS)[0]["number"] == 1
    assert hub.wait("watched", 1)["state"] == "completed"
    assert hub.folder("watched").is_dir()


def test_a_look_builds_anew_when_a_channel_has_a_newer_version_and_else_not(hub: Site) -> None:
    path = "organizations/acme/environments/watched"
    hub.do("PATCH", f"{path}/settings", {"values": {"rebuild": "when_newer"}})

    def look() -> str:
        job = hub.do("POST", f"{path}/schedule")["job"]
        ended = until(lambda: hub.do("GET", f"jobs/{job}"), lambda row: row["state"] in ("done", "failed"))
        assert ended["state"] == "done", ended
        return str(ended["result"]["outcome"])

    assert look() == "nothing_newer" and len(listed(hub)) == 1
    hub.add("forge", "other", "1.0")
    assert look() == "nothing_newer"
    hub.add("forge", "tool", "2.0")
    assert look() == "built"
    assert hub.wait("watched", 2)["state"] == "completed"
    packages = hub.do("GET", f"{path}/builds/2/packages")["results"]
    assert [(row["name"], row["version"]) for row in packages] == [("tool", "2.0")]
    assert look() == "nothing_newer" and hub.do("GET", f"{path}/schedule")["next_run_at"]


def test_an_archived_build_is_had_back_when_its_packages_are_deleted(hub: Site) -> None:
    path = "organizations/acme/environments/watched"
    file = hub.folder("watched-1") / "share" / "tool" / "made"
    before = file.read_bytes()
    hub.do("PATCH", f"{path}/settings", {"values": {"retention_keep_last": 1}})
    assert [row["number"] for row in hub.do("POST", f"{path}/retention", {"dry_run": False})["builds"]] == [1]
    until(file.exists, lambda there: not there)
    hub.do("DELETE", "channels/forge/files/noarch/tool-1.0-0.conda")
    hub.do("POST", f"{path}/builds/1/restore")
    until(lambda: hub.build("watched", 1)["archived_at"], lambda at: at is None)
    assert file.read_bytes() == before


def test_a_file_that_is_removed_archives_its_environment(hub: Site, specs: Path) -> None:
    (specs / "watched.yml").unlink()
    until(lambda: hub.do("GET", "organizations/acme/environments/watched")["archived_at"], bool, SOON_SECONDS)
