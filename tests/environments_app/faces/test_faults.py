"""What conda-store is known to get wrong, and is right here: what other tests do not show already.

Those show: hundreds of queries for a list (test_conda_store: ..._takes_the_same_few_queries_however_long; the rate, and a build's time
beside bare py-rattler's: `make bench`). A broker that wedges, lost builds that wait for ever (jobs/test_services, test_workers;
test_build_lifecycle: a_build_whose_job_ended_without_it...; test_build_real: a_worker_that_is_killed...; test_locked_builds). No time
limit, no cancelling (test_build_real: ..._takes_too_much..., ..._cancelled_in_any_phase). Deleted environments that answer, an active
build that can be deleted, `_` in a search, any origin let in, who signs in becomes an administrator (test_conda_store). Folders and
caches that can be written to (engine/test_install: a_prefix_and_its_cache_are_read_only...). Logs rewritten at each line
(jobs/test_context: the_log_is_appended...).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from condahub.engine.lock import HubLock, LockedChannel, PlatformLock
from condahub.jobs import services as jobs
from condahub.jobs.context import JobContext
from condahub.jobs.registry import kind_named
from environments_app.building import links
from environments_app.building.outcome import Made, complete, keep_lock
from environments_app.models import Build, BuildState, Environment
from environments_app.services.builds import BUILD_KIND, move
from tests.api.conftest import World
from tests.environments_app.building import SPEC, Submit, finish
from tests.environments_app.faces.conftest import Store

pytestmark = pytest.mark.django_db
Stores = Callable[..., Store]
LOCK = HubLock.of(channels=[LockedChannel("outer", 1)], platforms={"linux-64": PlatformLock()})


def test_no_file_of_a_build_is_had_without_being_somebody(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit("owner", text="name: secret\nchannels: [inner]\ndependencies: [inside]\n"), {"inside": "1.0"})
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(LOCK))
    files = ("logs", "yaml", "lockfile", "conda-lock.yml", "archive", "installer", "packages")
    paths = [f"build/{build.pk}/{file}" for file in files] + ["environment/acme/secret/lockfile", "environment/acme/secret/conda-lock.yml"]
    for client in (store(), store("outsider")):
        assert {client("GET", path).status_code for path in paths} <= {401, 403, 404}
    assert store("owner")("GET", f"build/{build.pk}/lockfile/").status_code == 200
    for path in ("/storage/", f"/storage/logs/{build.pk}", f"/conda-store/storage/{build.pk}/lockfile", "/conda-store/api/v1/storage/"):
        assert Client().get(path).status_code in (401, 403, 404), path


def test_a_token_that_was_made_there_is_listed_and_ended_by_its_owner(world: World, store: Stores) -> None:
    secret = store("contributor")("POST", "token/", {}).json()["data"]["token"]
    assert Store(secret).data("permission")["authenticated"] is True
    api = Client(headers={"Authorization": f"Bearer {world.secret('contributor')}"})
    listed = {row["name"]: row["id"] for row in api.get("/api/hub/v1/tokens").json()["results"]}
    assert api.delete(f"/api/hub/v1/tokens/{listed['conda-store token']}").status_code == 204
    assert Store(secret)("GET", "permission/").status_code == 401


def test_nobody_is_given_a_token_without_being_somebody(store: Stores) -> None:
    for body in ({}, {"primary_namespace": "default", "role_bindings": {"*/*": ["admin"]}}):
        told = store()("POST", "token/", body)
        assert told.status_code == 401 and "token" not in (told.json().get("data") or {})


def test_an_older_specification_that_ends_later_does_not_become_the_active_one(world: World, submit: Submit) -> None:
    builds = [submit(), submit(text=SPEC + "description: newer\n")]
    contexts = {}
    for _ in builds:
        job = jobs.claim("heavy", "worker")
        assert job is not None
        contexts[job.pk] = JobContext(job, kind_named(BUILD_KIND))
    for build in reversed(builds):
        assert move(build, BuildState.RUNNING)
        complete(build, contexts[build.job_id], Made(LOCK, "", 1), {})  # type: ignore[index]  # a queued build has one
    assert {build.state for build in Build.objects.all()} == {BuildState.COMPLETED}
    current = Environment.objects.select_related("current_build").get().current_build
    assert current is not None and current.number == 2


def test_the_link_that_people_use_is_there_at_every_moment_while_it_is_replaced(tmp_path: Path, settings: Settings) -> None:
    settings.CONDAHUB_ENVIRONMENTS_DIR = tmp_path
    (tmp_path / "acme").mkdir()
    link = tmp_path / "acme" / "tools"
    links.point(link, "a")
    missing: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            if not os.path.islink(link):
                missing.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(2000):
            links.point(link, f"build-{number}")
    finally:
        stop.set()
        watcher.join()
    assert missing == [] and os.readlink(link).endswith("build-1999") and os.listdir(tmp_path / "acme") == ["tools"]


def test_variables_are_kept_and_a_name_too_long_never_reaches_a_worker(world: World, store: Stores) -> None:
    text = SPEC + "variables: {OMP_NUM_THREADS: 4}\n"
    number = store("contributor")("POST", "specification/", {"namespace": "acme", "specification": text}).json()["data"]["build_id"]
    assert store("reader").data(f"build/{number}")["specification"]["spec"]["variables"] == {"OMP_NUM_THREADS": "4"}
    told = store("contributor")("POST", "specification", {"namespace": "acme", "specification": SPEC, "environment_name": "x" * 300})
    assert told.status_code == 422 and told.json()["message"] and Build.objects.count() == 1


def test_an_artifact_that_can_not_be_made_fails_no_build(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit())
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(LOCK))
    build.artifacts.create(kind="archive", platform="linux-64", state="failed", error="No room.")
    told = store("reader").data(f"build/{build.pk}")
    types = {row["artifact_type"] for row in told["build_artifacts"]}
    assert told["status"] == "COMPLETED" and "CONDA_PACK" not in types and {"LOCKFILE", "YAML", "CONSTRUCTOR_INSTALLER"} <= types
    refused = store("reader")("GET", f"build/{build.pk}/archive/")
    assert refused.status_code == 422 and "No room." in json.loads(refused.content)["message"]
    assert store("reader")("GET", f"build/{build.pk}/lockfile/").status_code == 200
