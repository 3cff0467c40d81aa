"""Real worker processes: each job to one only, nothing lost when one is killed, a prompt and clean stop."""

from __future__ import annotations

import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.utils import timezone

from condahub.jobs import selectors, services
from condahub.jobs.models import Job, WorkerBeat
from condahub.jobs.runner import run_one
from tests.jobs.conftest import WorkerProcess, start_python, wait_for
from tests.jobs.test_child import is_running

SOMEBODY = SimpleNamespace(label="ada")
# The poll and its slack on a busy machine; the doorbell takes tens of milliseconds.
LOOK_WITHIN_SECONDS = 30


@pytest.mark.django_db(transaction=True)
def test_concurrent_processes_and_threads_give_each_job_to_one_only(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for number in range(120):
        services.enqueue(kind="sample.note", payload={"file": str(notes), "text": number})
    code = (
        "import threading; from django.db import connection; from condahub.jobs.runner import drain\n"
        "def work():\n    drain('quick'); connection.close()\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()"
    )
    processes = [start_python(code) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert Counter(notes.read_text().split()) == Counter(map(str, range(120)))
    assert set(Job.objects.values_list("state", "attempts", "fencing")) == {("done", 1, 1)}
    assert len({job.result["pid"] for job in Job.objects.all() if job.result}) > 1, "the processes did share the work"


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_a_message_starts_a_job_at_once(quick_worker: WorkerProcess) -> None:
    delays = []
    for _ in range(15):
        asked = time.time()
        job = wait_for(services.enqueue(kind="sample.note", payload={}), "done")
        assert job.result is not None
        delays.append(job.result["started"] - asked)
        time.sleep(0.05)
    print(f"doorbell to run: median {statistics.median(delays) * 1000:.0f} ms, longest {max(delays) * 1000:.0f} ms")
    assert statistics.median(delays) < 1


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_a_job_whose_message_is_lost_runs_all_the_same(quick_worker: WorkerProcess) -> None:
    job = Job.objects.create(kind="sample.note", lane="quick", payload={})
    wait_for(job, "done", within_seconds=LOOK_WITHIN_SECONDS)


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_a_retry_and_a_later_job_need_no_message_either(quick_worker: WorkerProcess) -> None:
    job = services.enqueue(kind="sample.note", payload={}, run_after=timezone.now() + timedelta(seconds=1))
    wait_for(job, "done", within_seconds=LOOK_WITHIN_SECONDS)


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_many_jobs_share_the_slots_and_the_successor_of_a_key_follows_at_once(quick_worker: WorkerProcess, tmp_path: Path) -> None:
    release = tmp_path / "release"
    first = services.enqueue(kind="sample.hold", payload={"release": str(release)}, coalesce_key="k")
    wait_for(first, "running")
    second = services.enqueue(kind="sample.hold", payload={"release": str(release)}, coalesce_key="k")
    others = [services.enqueue(kind="sample.note", payload={}) for _ in range(20)]
    for job in others:
        wait_for(job, "done")
    second.refresh_from_db()
    assert second.state == "waiting"
    release.touch()
    wait_for(first, "done")
    wait_for(second, "done", within_seconds=LOOK_WITHIN_SECONDS)


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_a_running_job_is_cancelled_on_the_filesystem_broker(quick_worker: WorkerProcess, tmp_path: Path) -> None:
    job = wait_for(services.enqueue(kind="sample.hold", payload={"release": str(tmp_path / "never")}), "running")
    services.cancel(SOMEBODY, job)
    wait_for(job, "cancelled", within_seconds=LOOK_WITHIN_SECONDS)
    assert (job.cancelled_by, job.error_code) == ("ada", "")


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_half_a_message_does_not_stop_the_worker(quick_worker: WorkerProcess, settings: object) -> None:
    folder = Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])  # type: ignore[attr-defined]
    (folder / "1_cut.quick.msg").write_bytes(b'{"body": "W1')
    (folder / "2_empty.quick.msg").write_bytes(b"")
    time.sleep(0.5)
    wait_for(services.enqueue(kind="sample.note", payload={}), "done", within_seconds=LOOK_WITHIN_SECONDS)
    assert quick_worker.process.poll() is None, quick_worker.log.read_text()


@pytest.mark.real
def test_a_killed_workers_job_goes_to_the_next_and_its_child_dies(
    start_worker: Callable[..., WorkerProcess], tmp_path: Path, eventually: Callable[..., object]
) -> None:
    first = start_worker("heavy")
    flag, pid_file = tmp_path / "flag", tmp_path / "pid"
    code = (
        f"import json, os, time\nopen({str(pid_file)!r}, 'a').write(str(os.getpid()) + ' ')\n"
        f"while not os.path.exists({str(flag)!r}): time.sleep(0.02)\n"
        "print(json.dumps({'result': {'pid': os.getpid()}}))"
    )
    job = wait_for(services.enqueue(kind="sample.child", payload={"code": code}), "running")
    eventually(pid_file.exists)
    eventually(lambda: pid_file.read_text().endswith(" "))
    held = Job.objects.get(pk=job.pk)
    child = int(pid_file.read_text().split()[0])
    first.kill()
    eventually(lambda: not is_running(child), 5)
    assert Job.objects.get(pk=job.pk).state == "running", "until its lease ends nobody else may have it"

    start_worker("heavy")
    eventually(lambda: len(pid_file.read_text().split()) == 2, 10)
    for write in (lambda: services.heartbeat(held), lambda: services.finish(held, {"stale": True})):
        with pytest.raises(services.LeaseLost):
            write()
    flag.touch()
    wait_for(job, "done")
    assert (job.attempts, job.fencing) == (2, 2)
    assert job.result == {"pid": int(pid_file.read_text().split()[1])}


@pytest.mark.real
@pytest.mark.parametrize(
    ("number", "kinds", "within_seconds"),
    [
        (signal.SIGTERM, ["sample.hold", "sample.hold"], 15),
        (signal.SIGINT, ["sample.hold", "sample.hold"], 5),
        # One that never looks is waited for a little, then its job is taken from it.
        (signal.SIGTERM, ["sample.deaf", "sample.hold"], 25),
    ],
)
def test_a_stop_in_good_order_gives_running_jobs_back_and_is_prompt(
    start_worker: Callable[..., WorkerProcess], tmp_path: Path, number: signal.Signals, kinds: list[str], within_seconds: float
) -> None:
    worker = start_worker("heavy")
    release = tmp_path / "release"
    jobs = [services.enqueue(kind=kind, payload={"release": str(release)}, lane="heavy") for kind in kinds]
    for job in jobs:
        wait_for(job, "running")
    took = worker.stop(number)
    print(f"{number.name}: stopped in {took:.1f} s")
    # Celery ends with 1 after Ctrl-C.
    assert worker.process.returncode in (0, 1), worker.log.read_text()
    assert took < within_seconds
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.attempts) == ("waiting", 0), "not a failed attempt, and nobody waits for a lease to end"
    assert not WorkerBeat.objects.filter(lane="heavy").exists()
    assert "Traceback" not in worker.log.read_text()
    release.touch()
    while run_one("heavy"):
        pass
    assert all(wait_for(job, "done").fencing >= 2 for job in jobs)


@pytest.mark.real
def test_a_worker_whose_broker_is_away_works_and_says_that_it_lives(start_worker: Callable[..., WorkerProcess]) -> None:
    worker = start_worker("heavy", CONDAHUB_BROKER_URL="redis://127.0.0.1:1/0")
    job = wait_for(Job.objects.create(kind="sample.note", lane="heavy", payload={}), "done", within_seconds=LOOK_WITHIN_SECONDS)
    assert job.result is not None
    assert job.result["pid"] == worker.process.pid
    beat = selectors.workers_alive().get(lane="heavy")
    assert (beat.pid, beat.slots) == (worker.process.pid, 4)
    assert worker.stop() < 10
