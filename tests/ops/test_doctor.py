"""The doctor finds what is wrong with a hub, says how to mend it, and never stumbles itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django.fixtures import Settings

from channels_app.models import Channel, DirtyName
from condahub.accounts.models import Organization
from condahub.jobs import schedules
from condahub.jobs.models import Job, WorkerBeat
from condahub.ops import doctor
from condahub.ops.doctor import Finding, Level, Report
from condahub.storage.blobs import initialise

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _healthy(db: None) -> Iterator[None]:
    """Everything that a hub stands on: store, workers, beat."""
    initialise()
    now = timezone.now()
    for lane in ("quick", "heavy"):
        WorkerBeat.objects.create(worker=lane, lane=lane, hostname="h", pid=1, slots=2, version="1", started_at=now, seen_at=now)
    schedules.ensure_schedules()
    PeriodicTask.objects.update(last_run_at=now)
    known = dict(doctor._checks)
    yield
    doctor._checks.clear()
    doctor._checks.update(known)


def findings(name: str) -> list[Finding]:
    return [one.finding for one in doctor.examine() if one.name == name]


def worst(name: str) -> Finding:
    order = [Level.OK, Level.WARNING, Level.ERROR]
    return max(findings(name), key=lambda one: order.index(one.level))


def test_a_healthy_hub_has_nothing_to_mend() -> None:
    bad = [one for one in doctor.examine() if one.finding.level is not Level.OK and one.name not in ("disk space", "user")]
    assert bad == []
    assert {one.name for one in doctor.examine()} >= {"database", "journal", "store", "disk space", "broker", "workers", "beat", "index"}


def test_every_finding_says_how_to_mend_it(settings: Settings) -> None:
    WorkerBeat.objects.all().delete()
    settings.CONDAHUB_PUBLIC_URL = "hub.example"
    for one in doctor.examine():
        if one.finding.level is not Level.OK:
            assert one.finding.mend, one


def test_a_lane_that_nobody_serves_is_an_error() -> None:
    WorkerBeat.objects.filter(lane="heavy").update(seen_at=timezone.now() - timedelta(minutes=5))
    assert [one.level for one in findings("workers")] == [Level.OK, Level.ERROR]
    assert "condahub server heavy" in worst("workers").mend


def test_a_silent_beat_is_an_error_and_a_paused_schedule_a_warning() -> None:
    PeriodicTask.objects.filter(name="hub: garbage collection").update(enabled=False)
    assert worst("beat").level is Level.WARNING and "garbage collection" in worst("beat").what
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(hours=1))
    assert worst("beat").level is Level.ERROR
    # What it asked for lately says that it runs, before it has written that down.
    job = Job.objects.create(kind="channels.settle", lane="quick", coalesce_key="schedule:channels settle")
    assert worst("beat").level is Level.WARNING
    job.delete()
    PeriodicTask.objects.all().delete()
    assert "server migrate" in worst("beat").mend


def test_a_job_that_waits_long_and_names_that_are_not_indexed_are_warned_of() -> None:
    long_ago = timezone.now() - timedelta(minutes=20)
    Job.objects.create(kind="channels.settle", lane="quick", run_after=long_ago)
    assert worst("queue").level is Level.WARNING
    channel = Channel.objects.create(name="tools", organization=Organization.objects.create(name="acme"))
    DirtyName.objects.create(channel=channel, subdir="noarch", name="a")
    assert worst("index").level is Level.OK
    DirtyName.objects.update(marked_at=long_ago)
    assert worst("index").level is Level.WARNING


def test_a_store_that_is_not_mounted_is_an_error(settings: Settings, tmp_path: Path) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "blobs": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path / "empty")}},
    }
    assert worst("store").level is Level.ERROR


def test_uploads_on_another_filesystem_than_the_store_are_an_error(settings: Settings) -> None:
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(settings.CONDAHUB_STORE_DIR).st_dev:
        pytest.skip("no second filesystem here")
    settings.CONDAHUB_TEMP_DIR = Path("/dev/shm")
    assert worst("store").level is Level.ERROR and "another filesystem" in worst("store").what


def test_a_full_disk_is_seen_before_uploads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOW_SPACE_BYTES", 2**60)
    assert worst("disk space").level is Level.WARNING
    monkeypatch.setattr(doctor, "RESERVE_BYTES", 2**60)
    assert worst("disk space").level is Level.ERROR


def test_secrets_that_others_can_read_are_an_error(settings: Settings) -> None:
    folder = Path(settings.CONDAHUB_DATA) / "secrets"
    folder.mkdir(exist_ok=True)
    secret = folder / "open"
    secret.write_text("s")
    try:
        secret.chmod(0o600)
        assert worst("secrets").level is Level.OK
        secret.chmod(0o640)
        assert worst("secrets").level is Level.ERROR and str(secret) in worst("secrets").mend
    finally:
        secret.unlink()


@pytest.mark.parametrize(
    ("url", "host", "level"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", Level.OK),
        ("http://127.0.0.1:8000", "0.0.0.0", Level.WARNING),
        ("hub.example", "127.0.0.1", Level.ERROR),
        ("https://localhost/path", "127.0.0.1", Level.ERROR),
        ("https://no-such-host.invalid", "0.0.0.0", Level.WARNING),
    ],
)
def test_the_public_address_must_make_sense(settings: Settings, url: str, host: str, level: Level) -> None:
    settings.CONDAHUB_PUBLIC_URL, settings.HOST = url, host
    assert worst("address").level is level


def test_a_broker_that_is_away_is_a_warning_for_the_lanes_look_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    from condahub.celery import app

    def away(**_: object) -> object:
        raise OSError("connection refused by redis://:secret@host")

    monkeypatch.setattr(app, "connection_for_write", away)
    assert worst("broker").level is Level.WARNING and "secret" not in worst("broker").what


def test_a_journal_that_is_no_wal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_journal().level is Level.OK

    class Rollback:
        """A SQLite on a filesystem that knows no shared memory."""

        vendor = "sqlite"

        def cursor(self) -> Rollback:
            return self

        def __enter__(self) -> Rollback:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute(self, *_: object) -> None:
            pass

        def fetchone(self) -> tuple[str]:
            return ("delete",)

    monkeypatch.setattr(doctor, "connection", Rollback())
    assert doctor.check_journal().level is Level.ERROR


@pytest.mark.parametrize("failure", [DatabaseError("no such table: secret_values"), ValueError("secret_values")])
def test_a_check_that_fails_itself_is_an_error_and_keeps_no_other_from_running(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise failure

    doctor.register_check("broken", broken)
    doctor.register_check("after it", lambda: doctor.ok("fine"))
    reports: dict[str, Report] = {one.name: one for one in doctor.examine()}
    assert reports["broken"].finding.level is Level.ERROR and "secret_values" not in reports["broken"].finding.what
    assert reports["after it"].finding.level is Level.OK
