"""Worker processes for the tests of jobs: real Celery workers on the test's own database and queue folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

import tests.jobs.sample.tasks  # noqa: F401 - registers the sample kinds
from condahub.jobs.models import Job, WorkerBeat

ROOT = Path(__file__).parents[2]


def database_url() -> str:
    """The test database as a URL for another process."""
    own = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{own['NAME']}"
    options = "&".join(f"{name}={value}" for name, value in own["OPTIONS"].items() if isinstance(value, str))
    return f"postgres://{own['USER']}:{own['PASSWORD']}@{own['HOST']}:{own['PORT']}/{own['NAME']}?{options}"


def worker_environment(**more: str) -> dict[str, str]:
    """The environment of a process of this hub: the test's database, and the queue folder this process rings."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.jobs.worker_settings",
        "CELERY_SKIP_CHECKS": "1",
        "CONDAHUB_DATA": str(settings.CONDAHUB_DATA),
        "CONDAHUB_DATABASE_URL": database_url(),
        **more,
    }


def start_python(code: str, **environment: str) -> subprocess.Popen[str]:
    """Another process of the hub that runs `code` with Django set up."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        env=worker_environment(**environment),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


class WorkerProcess:
    """One `celery worker` process, started as the documentation of condahub.celery has it."""

    def __init__(self, lane: str, log: Path, **environment: str) -> None:
        self.lane = lane
        self.log = log
        command = ["-q", "-A", "condahub.celery", "worker", "-Q", lane, "-n", f"{lane}@%h", "--pool", "solo", "-c", "4"]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", *command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
                env=worker_environment(**environment),
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_ready(self, within_seconds: float = 20) -> None:
        until = time.monotonic() + within_seconds
        while not WorkerBeat.objects.filter(lane=self.lane, pid=self.process.pid).exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, as the machine's out-of-memory killer does it."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM, within_seconds: float = 15) -> float:
        """Stop in good order; returns the seconds it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(within_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return time.monotonic() - started


@pytest.fixture(scope="module")
def quick_worker(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: object) -> Iterator[WorkerProcess]:
    """One worker of the quick lane for the tests of a module that leave it alive."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        worker = WorkerProcess("quick", tmp_path_factory.mktemp("worker") / "log")
        try:
            worker.wait_ready()
            yield worker
        finally:
            worker.stop()
            connection.close()


@pytest.fixture
def start_worker(tmp_path: Path, transactional_db: None) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers that the test may kill."""
    workers: list[WorkerProcess] = []

    def start(lane: str, **environment: str) -> WorkerProcess:
        worker = WorkerProcess(lane, tmp_path / f"worker-{len(workers)}.log", **environment)
        workers.append(worker)
        worker.wait_ready()
        return worker

    yield start
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()


def wait_for(job: Job, *states: str, within_seconds: float = 15) -> Job:
    """The job once it is in one of the states."""
    until = time.monotonic() + within_seconds
    while job.state not in states:
        assert time.monotonic() < until, f"{job} is {job.state}, not {states}: {job.error_sentence}"
        time.sleep(0.01)
        job.refresh_from_db()
    return job
