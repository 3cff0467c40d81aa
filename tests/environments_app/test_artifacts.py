"""Who gets which artifact, what is counted, what is collected, and that a failed one stands for itself."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels_app import origins
from condahub.accounts import services as accounts
from condahub.accounts.policy import SYSTEM, Actor
from condahub.accounts.quota import usage_by_kind
from condahub.engine.lock import HubLock
from condahub.engine.records import CondaRecord, LockedChannel, PlatformLock, PypiRecord
from condahub.errors import Conflict, HubError
from condahub.jobs.models import Job
from condahub.ops.gc import Sweep
from condahub.storage.blobs import blobs
from environments_app.artifacts import collect, making, services
from environments_app.artifacts.archiving import archive_build
from environments_app.artifacts.kinds import KINDS
from environments_app.building.outcome import keep_lock
from environments_app.models import ArtifactState, Build, BuildArtifact, Wheel
from environments_app.pip import wheels
from tests.api.conftest import World
from tests.environments_app.building import add_wheel, finish, queue

pytestmark = pytest.mark.django_db
BUILD = "organizations/acme/environments/tools/builds/1"
INNER = "name: tools\nchannels: [inner]\ndependencies:\n  - inside\nplatforms: [linux-64, win-64]\n"


def locked(build: Build, channel: str = "outer") -> Build:
    """The build with a lock of one conda package and one wheel."""
    conda = CondaRecord(
        name="open", version="1.0", build="0", subdir="noarch", channel=channel, filename="open-1.0-0.conda", sha256="a" * 64, md5="b" * 32
    )
    wheel = PypiRecord(name="wheely", version="1.0", filename="wheely-1.0-py3-none-any.whl", sha256=hashlib.sha256(b"a wheel").hexdigest())
    platforms = {one: PlatformLock(conda=(conda,), pypi=(wheel,)) for one in build.request["platforms"]}
    build.lock = keep_lock(HubLock.of(channels=[LockedChannel(channel, 1)], platforms=platforms))
    build.save(update_fields=["lock"])
    return build


@pytest.fixture
def build(world: World) -> Build:
    made = locked(finish(queue(world)))
    add_wheel(world, made)
    return made


def test_lock_files_name_the_address_of_this_hub_or_the_original_ones(
    world: World, build: Build, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    read = world.api("reader")
    explicit = f"{BUILD}/artifacts/explicit"
    assert f"\n{settings.CONDAHUB_PUBLIC_URL}/channels/outer/noarch/open-1.0-0.conda#{'b' * 32}\n" in read("GET", explicit).content.decode()
    settings.CONDAHUB_PUBLIC_URL = "https://moved.example/hub"
    assert "https://moved.example/hub/channels/outer/noarch/" in read("GET", explicit).content.decode()
    monkeypatch.setattr(origins, "_known", [lambda names, actor: {"outer": "https://upstream.example/outer/"}])
    assert (
        "https://upstream.example/outer/noarch/open-1.0-0.conda#sha256:"
        in read("GET", f"{explicit}?urls=upstream&hash=sha256").content.decode()
    )
    pixi = read("GET", f"{BUILD}/artifacts/pixi.lock?urls=upstream&version=7").content.decode()
    assert "version: 7" in pixi and "pypi: https://wheels.example/w.whl" in pixi
    assert read("GET", f"{explicit}?urls=elsewhere").status_code == 400
    assert b"://" not in bytes(build.lock.content) if build.lock else False


def test_a_member_who_may_not_read_a_channel_gets_nothing_made_of_it(world: World) -> None:
    made = locked(finish(queue(world, "owner", text=INNER)), "inner")
    wheel = add_wheel(world, made)
    owner = Actor.of(world.people["owner"])
    accounts.grant(actor=owner, on=made.environment, role="owner", user=world.people["outsider"])
    paths = [f"{BUILD}/artifacts", f"{BUILD}/wheels/{wheel}/w.whl"]
    paths += [f"organizations/acme/environments/tools/builds/current/artifacts/{kind}" for kind in KINDS]
    for path in paths:
        assert world.api("outsider")("GET", path).status_code == 404, path
        if path.rpartition("/")[2] not in ("archive", "archive-zstd", "installer"):
            assert world.api("owner")("GET", path).status_code == 200, path
    assert world.api("outsider")("POST", f"{BUILD}/artifacts/archive").status_code == 404
    assert world.api("")("GET", f"{BUILD}/artifacts/explicit").status_code == 401
    response = world.api("outsider").client.get("/conda-store/acme/tools")
    assert response.status_code == 404 and b"inner" not in response.content
    assert not Job.objects.filter(kind=services.ARTIFACT_KIND).exists(), "nobody had anything made"


def test_a_wheel_is_given_to_those_who_may_see_a_build_made_of_it(world: World, build: Build) -> None:
    wheel = Wheel.objects.get().sha256
    path = f"{BUILD}/wheels/{wheel}/wheely-1.0-py3-none-any.whl"
    found: Any = world.api("reader")("GET", path)
    assert (b"".join(found.streaming_content) if found.streaming else found.content) == b"a wheel"
    assert world.api("outsider")("GET", path).status_code == 403
    other = blobs("artifacts").put_bytes(b"another's")
    assert world.api("reader").do("GET", f"{BUILD}/wheels/{other}/x.whl", status=404)["code"] == "no_such_wheel"


def test_what_is_asked_for_twice_is_made_once(world: World, build: Build) -> None:
    read = world.api("reader")
    first: Any = read("GET", f"{BUILD}/artifacts/archive")
    assert first.status_code == 202 and first.headers["Location"].endswith(f"/{BUILD}/artifacts/archive/linux-64")
    assert first.headers["Retry-After"]
    again = read.do("POST", f"{BUILD}/artifacts/archive/linux-64", status=202)
    assert read.do("POST", f"{BUILD}/artifacts/installer", status=202)["job"] == again["job"] == first.json()["job"]
    assert Job.objects.filter(kind=services.ARTIFACT_KIND).count() == 1
    states = {(one["kind"], one["platform"]): one["state"] for one in read.get(f"{BUILD}/artifacts")}
    assert (
        states["archive", "linux-64"] == "wanted"
        and states["archive-zstd", "linux-64"] == "on_demand"
        and states["explicit", "linux-64"] == "ready"
    )


def test_a_platform_that_cant_be_packed_says_what_to_do(world: World) -> None:
    locked(finish(queue(world, "owner", text=INNER)), "inner")
    said = world.api("owner").do("GET", f"{BUILD}/artifacts/archive/win-64", status=422)
    assert said["code"] == "platform_not_packable" and "pixi.lock" in said["hint"]
    assert world.api("owner").do("GET", f"{BUILD}/artifacts/archive/osx-64", status=404)["hint"] == "It is for linux-64, win-64."
    assert b"win-64" in world.api("owner")("GET", f"{BUILD}/artifacts/explicit/win-64").content


def test_an_artifact_that_fails_says_why_and_fails_nothing_else(world: World, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    services.ask(actor=SYSTEM, build=build, kind=KINDS["archive"], platform="linux-64")

    def broken(*args: object) -> None:
        raise HubError("There was a hole in it.", hint="Mend it.", status=422)

    monkeypatch.setattr(making, "_packed", broken)
    with pytest.raises(HubError):
        making.make(FakeJob(), build.pk, "linux-64")  # type: ignore[arg-type]
    said = world.api("reader").do("GET", f"{BUILD}/artifacts/archive", status=422)
    assert (said["code"], said["detail"]) == ("artifact_failed", "There was a hole in it. Mend it.")
    build.refresh_from_db()
    assert build.state == "completed"
    assert world.api("reader").do("POST", f"{BUILD}/artifacts/archive", status=202)["state"] == "wanted"


class FakeJob:
    """As much of a job as a failing one looks at."""

    class job:
        attempts, max_attempts = 3, 3

    def log(self, *words: object) -> None:
        pass


def test_settings_have_archives_made_at_once(world: World) -> None:
    world.api("owner").do(
        "PATCH", "organizations/acme/environment-settings", {"values": {"artifacts": ["archive-zstd", "sbom", "conda-lock"]}}
    )
    made = locked(finish(queue(world)))
    services.after_build(made)
    services.after_build(made)
    assert [(row.kind, row.state) for row in BuildArtifact.objects.all()] == [("archive-zstd", "wanted")]
    assert Job.objects.filter(kind=services.ARTIFACT_KIND).count() == 1


def test_a_build_without_a_lock_has_no_artifacts_but_what_was_asked_for(world: World) -> None:
    made = queue(world)
    assert world.api("reader")("GET", f"{BUILD}/artifacts/yaml").content.decode() == made.specification.text
    assert world.api("reader").do("GET", f"{BUILD}/artifacts/conda-lock", status=409)["code"] == "build_not_completed"
    assert world.api("reader").do("POST", f"{BUILD}/artifacts/archive", status=409)["code"] == "build_not_completed"
    assert {one["kind"] for one in world.api("reader").get(f"{BUILD}/artifacts")} == {"yaml", "log"}


def test_bytes_count_against_the_quota_and_go_when_nothing_names_them(world: World, build: Build) -> None:
    kept = blobs("artifacts").put_bytes(b"archive")
    loose = blobs("artifacts").put_bytes(b"loose")
    row = BuildArtifact.objects.create(build=build, kind="archive", platform="linux-64", state=ArtifactState.READY, sha256=kept, size=7)
    before = usage_by_kind(world.acme)
    assert before["wheels"] == len(b"a wheel")
    sweep = Sweep(now=timezone.now() + timedelta(days=30), grace=timedelta(days=7), dry_run=False, check=lambda: None)
    assert next(collect.collect_artifacts(sweep)).count >= 1
    assert blobs("artifacts").exists(kept) and not blobs("artifacts").exists(loose)
    assert [one.count for one in wheels.collect_wheels(sweep)] == [0]
    row.delete()
    build.packages.all().delete()
    assert [one.count for one in wheels.collect_wheels(sweep)] == [1]
    assert next(collect.collect_artifacts(sweep)).count == 2
    assert "wheels" in usage_by_kind(world.acme) and usage_by_kind(world.acme)["wheels"] == 0


def test_archiving_lets_packed_files_go_and_keeps_the_lock(world: World, build: Build) -> None:
    BuildArtifact.objects.create(build=build, kind="archive", platform="linux-64", state=ArtifactState.READY, sha256="a" * 64, size=7)
    owner = Actor.of(world.people["owner"])
    with pytest.raises(Conflict, match="the current one"):
        archive_build(actor=owner, build=build)
    finish(queue(world, text="name: tools\nchannels: [outer]\ndependencies: [open]\n"))
    assert world.api("reader")("POST", f"{BUILD}/archive").status_code == 403
    assert world.api("owner").do("POST", f"{BUILD}/archive")["archived_at"]
    assert BuildArtifact.objects.get().state == ArtifactState.GONE
    assert world.api("reader")("GET", f"{BUILD}/artifacts/conda-lock").status_code == 200
    assert world.api("reader")("GET", f"{BUILD}/artifacts/archive").status_code == 202, "it is packed anew"
    assert world.api("owner")("POST", f"{BUILD}/restore").status_code == 202
