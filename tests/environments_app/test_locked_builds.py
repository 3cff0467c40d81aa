"""Builds of lock files that name wheels: fetched from the index of the settings, and ended right when a worker dies in the pip phase."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.utils import timezone
from pytest_django import Settings

from channels_app.models import PackageFile
from condahub.accounts.policy import Actor
from condahub.engine.lock import HubLock
from condahub.engine.lock_writing import addresses_at, conda_lock, pixi_lock
from condahub.engine.protocol import LinkWheelsAnswer
from condahub.engine.records import LockedChannel, PlatformLock, PypiRecord, record_of
from condahub.errors import HubError
from condahub.jobs import services as jobs
from condahub.jobs.context import JobContext
from condahub.jobs.models import Job
from condahub.jobs.registry import kind_named
from environments_app.building import folders, phases, pipeline
from environments_app.building.context import BuildContext
from environments_app.models import Build, BuildPackage, BuildState, Environment, Wheel
from environments_app.pip.protocol import Fetched, Resolved
from environments_app.services.policies import change_settings
from tests.api.conftest import World
from tests.environments_app.building import Submit

pytestmark = pytest.mark.django_db
INDEX = "https://wheels.example/simple"
DATA = b"the bytes of a wheel"
WHEEL = PypiRecord(name="wheely", version="1.0", filename="wheely-1.0-py3-none-any.whl", sha256=hashlib.sha256(DATA).hexdigest())


class Killed(BaseException):
    """What SIGKILL is to a worker: nothing of it runs any more."""


class Children:
    """In place of the child processes: fetches and links a wheel. With the child of that number its worker is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.killed_at = folder, list[str](), -1

    def __call__(self, job: JobContext, argv: list[str], *, stdin: Any, **more: Any) -> dict[str, Any]:
        verb = "fetch" if argv[-1] == "environments_app.pip.child" else stdin["kind"]
        self.asked.append(verb)
        if len(self.asked) == self.killed_at:
            raise Killed
        if verb == "fetch":
            assert (stdin["index"], stdin["requirements"]) == (INDEX, ())
            path = self.folder / "fetched.whl"
            path.write_bytes(DATA)
            facts = {"sha256": WHEEL.sha256, "filename": WHEEL.filename, "name": WHEEL.name, "version": WHEEL.version, "size": len(DATA)}
            fetched = Fetched(address="https://wheels.example/w.whl", path=str(path), **facts)  # type: ignore[arg-type]
            lock = msgspec.convert(stdin["lock"], HubLock)
            return dict(msgspec.to_builtins(Resolved(lock=lock, wheels=(fetched,))))
        (Path(stdin["staging"]) / "wheely").write_text("linked")
        return dict(msgspec.to_builtins(LinkWheelsAnswer(packages=1, files=1, total_bytes=6)))


@pytest.fixture
def children(world: World, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    settings.CONDAHUB_ENVIRONMENTS_DIR = tmp_path / "e"
    settings.CONDAHUB_COMPILE_BYTECODE = False
    values = {"pip_index": INDEX, "allowed_pip_indexes": [INDEX]}
    change_settings(actor=Actor.of(world.people["staff"]), on=None, changes=values)

    def install(context: BuildContext) -> None:
        context.staging.mkdir(parents=True)
        (context.staging / "open").write_text("linked")

    @contextlib.contextmanager
    def engine(max_memory_bytes: int) -> Iterator[None]:
        yield None

    made = Children(tmp_path)
    monkeypatch.setattr(phases, "install", install)
    monkeypatch.setattr(pipeline, "Engine", engine)
    monkeypatch.setattr(JobContext, "run_child", lambda job, argv, **more: made(job, list(argv), **more))
    return made


def lock_text(write: Callable[..., str]) -> str:
    file = PackageFile.objects.get(channel__name="outer")
    record = record_of(json.loads(file.record), channel="outer", subdir=file.subdir, filename=file.filename)
    platform = PlatformLock(conda=(record,), pypi=(WHEEL,))
    lock = HubLock.of(channels=[LockedChannel("outer")], platforms={folders.current_platform(): platform})
    return write(lock, addresses_at(lambda name: f"https://conda.example/{name}", lambda name: "https://files.example"))


def run(build: Build) -> None:
    """A worker takes the job and runs it as far as it gets."""
    job = jobs.claim("heavy", "worker")
    assert job is not None and job.pk == build.job_id
    result = pipeline.run(JobContext(job, kind_named(job.kind)), build.pk)
    jobs.finish(job, result)


@pytest.mark.parametrize("write", [conda_lock, pixi_lock])
@pytest.mark.parametrize("killed_at", [1, 2], ids=["while it fetches", "while it links"])
def test_a_worker_killed_in_the_pip_phase_is_replaced_and_the_build_ends(
    children: Children, submit: Submit, write: Callable[..., str], killed_at: int
) -> None:
    build = submit(name="tools", text=lock_text(write))
    children.killed_at = killed_at
    with pytest.raises(Killed):
        run(build)
    build.refresh_from_db()
    assert (build.state, build.phase) == (BuildState.RUNNING, "pip") and list(folders.stagings().iterdir())
    Job.objects.filter(pk=build.job_id).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert jobs.reap() == 1
    run(build)
    build.refresh_from_db()
    assert build.state == BuildState.COMPLETED and not list(folders.stagings().iterdir())
    assert Environment.objects.get().current_build_id == build.pk
    # What the first worker had kept is not fetched again.
    assert children.asked == (["fetch", "fetch", "link_wheels"] if killed_at == 1 else ["fetch", "link_wheels", "link_wheels"])
    rows = BuildPackage.objects.filter(build=build).values_list("kind", "name", "sha256")
    assert {(kind, name) for kind, name, _ in rows} == {("conda", "open"), ("pypi", "wheely")}
    assert Wheel.objects.get().sha256 == WHEEL.sha256
    assert (folders.prefix(build.prefix) / "wheely").read_text() == "linked" == (folders.prefix(build.prefix) / "open").read_text()


def test_wheels_of_a_lock_file_need_an_index_that_is_allowed(children: Children, world: World, submit: Submit) -> None:
    change_settings(actor=Actor.of(world.people["staff"]), on=None, changes={"allowed_pip_indexes": None})
    build = submit(name="tools", text=lock_text(conda_lock))
    with pytest.raises(HubError):
        run(build)
    build.refresh_from_db()
    assert (build.state, build.error_code, children.asked) == (BuildState.FAILED, "no_pip_index", [])
    assert not list(folders.stagings().iterdir())
