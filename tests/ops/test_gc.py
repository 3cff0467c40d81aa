"""Garbage collection takes what nobody refers to and nothing else, also when it is killed, and when somebody publishes meanwhile."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from channels_app import checkups, doors
from channels_app.index import answers, maps, stage2
from channels_app.index.publish import mark_dirty
from channels_app.models import Blob, Channel, FileState, IndexFile, PackageFile, Revision, Shard
from channels_app.services import collect, publish, states, thinning
from channels_app.services.channels import create_channel, delete_channel
from channels_app.services.publish import Published, Upload
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.audit.models import AuditEvent
from condahub.jobs.models import Job
from condahub.jobs.runner import run_one
from condahub.jobs.services import enqueue
from condahub.ops import gc
from condahub.packages.maker import make_package
from condahub.storage.blobs import BlobStore, blobs, initialise
from condahub.storage.disk import DiskStore

pytestmark = pytest.mark.django_db(transaction=True)

GRACE = timedelta(days=7)


@pytest.fixture(autouse=True)
def _empty_store() -> Iterator[None]:
    initialise()
    forget()
    for namespace in ("packages", "index"):
        for entry in list(blobs(namespace).iterate()):
            blobs(namespace).delete(entry.sha256)
    yield
    forget()


def forget() -> None:
    """As a process that has just started."""
    maps.forget_all()
    doors.forget_all()
    answers._memory = answers._Memory(answers.REMEMBERED_BYTES)
    answers._views.clear()


@pytest.fixture
def staff(db: None) -> Actor:
    return Actor.of(User.objects.create(username="it", is_staff=True, is_superuser=True))


@pytest.fixture
def channel(staff: Actor) -> Channel:
    return create_channel(actor=staff, organization=Organization.objects.create(name="acme"), name="tools", visibility="public")


@pytest.fixture
def hub(staff: Actor, channel: Channel, tmp_path: Path) -> Hub:
    return Hub(staff, channel, tmp_path)


class Hub:
    """A channel, and the shortest ways to change it and to let time pass."""

    def __init__(self, staff: Actor, channel: Channel, folder: Path) -> None:
        self.staff, self.channel, self.folder = staff, channel, folder

    def push(self, name: str, version: str = "1.0", channel: Channel | None = None) -> Published:
        return self.push_path(make_package(self.folder, name=name, version=version), channel)

    def push_path(self, path: Path, channel: Channel | None = None) -> Published:
        where = (channel or self.channel).name
        permit = publish.permit_upload(actor=self.staff, channel_name=where, filename=path.name)
        with blobs().temporary() as temporary:
            temporary.write(path.read_bytes())
            return publish.publish(actor=self.staff, permit=permit, uploads=[Upload(path.name, temporary)])[0]

    def change(self, verb: states.Verb, filename: str) -> None:
        states.change_state(actor=self.staff, channel=self.channel, verb=verb, files=[("noarch", filename)], reason="a test")

    @property
    def head(self) -> int:
        return Channel.objects.values_list("head", flat=True).get(pk=self.channel.pk)

    def age(self, number: int, days: float) -> None:
        """A revision was made so many days ago."""
        Revision.objects.filter(channel=self.channel, number=number).update(created_at=timezone.now() - timedelta(days=days))

    def age_everything(self, days: float) -> None:
        then = timezone.now() - timedelta(days=days)
        Revision.objects.update(created_at=then)
        age_files_and_bytes(days)

    def index(self, number: int) -> tuple[bytes, ...]:
        """Every variant of the index of a revision."""
        forget()
        client = Client()
        names = ("repodata.json", "repodata_shards.msgpack.zst", "run_exports.json", "current_repodata.json")
        return tuple(self.read(client, number, f"noarch/{name}") for name in names)

    def read(self, client: Client, number: int, path: str) -> bytes:
        response = client.get(f"/channels/tools@{number}/{path}")
        assert response.status_code == 200, (number, path, response.content[:300])
        return b"".join(response.streaming_content) if response.streaming else response.content

    def kept(self) -> list[int]:
        return list(Revision.objects.filter(channel=self.channel).order_by("number").values_list("number", flat=True))


def age_files_and_bytes(days: float) -> None:
    then = timezone.now() - timedelta(days=days)
    PackageFile.objects.update(changed_at=then)
    Blob.objects.update(created_at=then)
    IndexFile.objects.update(created_at=then)
    for namespace in ("packages", "index"):
        for entry in blobs(namespace).iterate():
            path = blobs(namespace).local_path(entry.sha256)
            assert path is not None
            os.utime(path, (then.timestamp(), then.timestamp()))


def run_gc(*, dry_run: bool = False) -> dict[str, int]:
    return {one.what: one.count for one in gc.collect(dry_run=dry_run, grace=GRACE)}


def assert_all_whole() -> None:
    forget()
    for walk in (checkups.verify_rows, checkups.verify_bytes, checkups.verify_index):
        assert [problem for problem in walk() if problem is not None] == []


# -- the past -------------------------------------------------------------------------------------------------------


def test_all_of_thirty_days_is_kept_then_the_last_of_each_day(hub: Hub) -> None:
    for version in range(9):
        hub.push("a", f"{version}.0")
    # Revision 1 made the channel. 2 to 4 on one day long ago, 5 and 6 on another, 7 to 10 lately.
    noon = datetime.now(UTC).replace(hour=12)
    for number, days, hour in ((1, 60, 1), (2, 50, 1), (3, 50, 2), (4, 50, 3), (5, 40, 1), (6, 40, 2), (7, 29, 1), (8, 29, 2)):
        Revision.objects.filter(number=number).update(created_at=noon.replace(hour=hour) - timedelta(days=days))
    before = {number: hub.index(number) for number in hub.kept()}
    assert run_gc()["revisions"] == 3
    assert hub.kept() == [1, 4, 6, 7, 8, 9, 10]
    assert {number: hub.index(number) for number in hub.kept()} == {number: before[number] for number in hub.kept()}
    assert Client().get("/channels/tools@3/noarch/repodata.json").status_code == 404
    assert_all_whole()


def test_what_is_pinned_or_tagged_stays(hub: Hub) -> None:
    for version in range(4):
        hub.push("a", f"{version}.0")
    hub.age_everything(90)
    Revision.objects.filter(number=2).update(pinned=True)
    Revision.objects.filter(number=3).update(tag="release-1")
    before = hub.index(2), hub.index(3)
    run_gc()
    assert hub.kept() == [2, 3, 5]
    assert (hub.index(2), hub.index(3)) == before


def test_a_long_past_gets_checkpoints_so_that_reading_it_stays_cheap(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "CHECKPOINT_EVERY", 3)
    for version in range(16):
        hub.push("a", f"{version}.0")
        hub.age(hub.head, 80 - (hub.head // 2))
    hub.age(1, 100)
    Revision.objects.filter(number__gt=1).update(checkpoint=None)
    before = {number: hub.index(number) for number in hub.kept()}
    run_gc()
    kept = hub.kept()
    assert len(kept) < 12
    since = 0
    for has in Revision.objects.order_by("number").values_list("checkpoint", flat=True):
        since = 0 if has is not None else since + 1
        assert since <= 4
    assert {number: hub.index(number) for number in kept} == {number: before[number] for number in kept}
    assert_all_whole()


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 30))])
def test_after_any_history_every_kept_revision_is_as_it_was_and_the_index_is_what_the_files_make(hub: Hub, seed: int) -> None:
    chance = random.Random(seed)
    day = 100.0
    for _ in range(24):
        live = list(PackageFile.objects.filter(state=FileState.LIVE).values_list("filename", flat=True))
        away = list(PackageFile.objects.filter(state__in=(FileState.YANKED, FileState.DELETED)).values_list("filename", flat=True))
        action = chance.choice(("push", "push", "delete", "delete", "yank", "restore", "purge"))
        if action == "push" or not live or (action == "restore" and not away):
            hub.push(chance.choice("abc"), f"{chance.randrange(6)}.0") if not purged() else hub.push(
                chance.choice("de"), f"{time.time_ns()}"
            )
        else:
            hub.change(states.VERBS[action], chance.choice(away if action == "restore" else live))
        day -= chance.choice((0.0, 0.1, 0.3, 2.0, 9.0))
        hub.age(hub.head, max(day, 0))
    PackageFile.objects.update(changed_at=timezone.now() - timedelta(days=8))
    age_files_and_bytes(8)
    before = {number: hub.index(number) for number in hub.kept()}
    expected = run_gc(dry_run=True)
    assert {number: hub.index(number) for number in hub.kept()} == before
    head = hub.head
    done = run_gc()
    assert (done["revisions"], done["deleted files"]) == (expected["revisions"], expected["deleted files"])
    for number in hub.kept():
        if number <= head:
            assert hub.index(number) == before[number]
            shown = json.loads(before[number][0])
            for filename in {**shown["packages"], **shown["packages.conda"]}:
                assert Client().get(f"/channels/tools@{number}/noarch/{filename}").status_code in (200, 410)
    assert_all_whole()
    again = run_gc()
    assert again["revisions"] == again["deleted files"] == 0


def purged() -> bool:
    return PackageFile.objects.filter(state=FileState.PURGED).exists()


def test_a_revision_that_is_pinned_while_it_is_about_to_go_stays(hub: Hub) -> None:
    for version in range(3):
        hub.push("a", f"{version}.0")
    hub.age_everything(90)
    sweep = gc.Sweep(now=timezone.now(), grace=GRACE, dry_run=False, check=lambda: None)
    steps = thinning.plan(hub.channel.pk, sweep)
    Revision.objects.filter(number=2).update(pinned=True)
    before = hub.index(2)
    thinning._thin(hub.channel.pk, steps, sweep)
    assert hub.index(2) == before


# -- deleted files --------------------------------------------------------------------------------------------------


def test_a_deleted_file_stays_as_long_as_a_kept_revision_shows_it(hub: Hub) -> None:
    hub.push("a")
    hub.change(states.DELETE, "a-1.0-0.conda")
    age_files_and_bytes(90)
    run_gc()
    assert Client().get("/channels/tools@2/noarch/a-1.0-0.conda").status_code == 200


def test_a_deleted_file_that_no_revision_shows_goes_with_its_bytes_and_its_share_of_the_quota(hub: Hub) -> None:
    sha256 = hub.push("a").file.sha256
    hub.push("b")
    hub.change(states.DELETE, "a-1.0-0.conda")
    held = Channel.objects.get().used_bytes
    hub.age_everything(90)
    done = run_gc()
    assert done["deleted files"] == done["package bytes"] == 1
    assert not PackageFile.objects.filter(name="a").exists()
    assert not blobs().exists(sha256) and not Blob.objects.filter(sha256=sha256).exists()
    assert 0 < Channel.objects.get().used_bytes < held
    assert json.loads(hub.index(hub.head)[0])["removed"] == []
    assert AuditEvent.objects.filter(action="channel.collect").count() == 1
    assert_all_whole()


def test_a_file_deleted_just_now_can_still_be_restored(hub: Hub) -> None:
    hub.push("a")
    hub.change(states.DELETE, "a-1.0-0.conda")
    Revision.objects.update(created_at=timezone.now() - timedelta(days=90))
    run_gc()
    hub.change(states.RESTORE, "a-1.0-0.conda")
    assert_all_whole()


def test_shards_that_a_publish_has_rendered_ahead_are_left_alone(hub: Hub) -> None:
    hub.push("a")
    hub.change(states.DELETE, "a-1.0-0.conda")
    hub.age_everything(90)
    mark_dirty(hub.channel.pk, [("noarch", "a")])
    assert run_gc()["shards"] == 0
    assert Shard.objects.filter(name="a").count() == 2


# -- bytes ----------------------------------------------------------------------------------------------------------


def test_purged_bytes_go_and_those_that_another_channel_holds_stay(hub: Hub) -> None:
    other = create_channel(actor=hub.staff, organization=hub.channel.organization, name="other")
    shared = hub.push("shared").file.sha256
    alone = hub.push("alone").file.sha256
    hub.push("shared", channel=other)
    for filename in ("shared-1.0-0.conda", "alone-1.0-0.conda"):
        hub.change(states.PURGE, filename)
    age_files_and_bytes(8)
    run_gc()
    assert blobs().exists(shared) and not blobs().exists(alone)


def test_bytes_of_a_deleted_channel_stay_as_long_as_it_can_be_restored(hub: Hub) -> None:
    sha256 = hub.push("a").file.sha256
    delete_channel(actor=hub.staff, channel=hub.channel)
    hub.age_everything(90)
    run_gc()
    assert blobs().exists(sha256)
    Channel.objects.all().delete()
    run_gc()
    assert not blobs().exists(sha256)


def test_bytes_younger_than_the_grace_period_stay_whoever_holds_them(hub: Hub) -> None:
    sha256 = blobs().put_bytes(b"an upload that is about to be recorded")
    age_files_and_bytes(6.9)
    assert run_gc()["package bytes"] == 0
    assert blobs().exists(sha256)
    age_files_and_bytes(7.1)
    assert run_gc(dry_run=True)["package bytes"] == 1 and blobs().exists(sha256)
    assert run_gc()["package bytes"] == 1 and not blobs().exists(sha256)


def test_no_setting_makes_the_grace_period_shorter_than_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDAHUB_GC_GRACE_DAYS", "0")
    assert gc.grace_from_settings() == timedelta(days=7)
    monkeypatch.setenv("CONDAHUB_GC_GRACE_DAYS", "30")
    assert gc.grace_from_settings() == timedelta(days=30)


def garbage(hub: Hub) -> tuple[Path, str]:
    """A package's file on a disk of its publisher, whose bytes the store holds for nobody, for long."""
    path = make_package(hub.folder, name="a")
    sha256 = hub.push_path(path).file.sha256
    PackageFile.objects.all().delete()
    Shard.objects.all().delete()
    hub.age_everything(90)
    Revision.objects.filter(number__gt=1).delete()
    Channel.objects.update(head=1)
    forget()
    return path, sha256


def test_a_collection_between_keep_and_record_of_the_same_bytes_breaks_no_publish(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha256 = garbage(hub)
    keep = DiskStore.keep

    def keep_then_collect(store: DiskStore, temporary: object) -> None:
        keep(store, temporary)  # type: ignore[arg-type]
        run_gc()

    monkeypatch.setattr(DiskStore, "keep", keep_then_collect)
    done = hub.push_path(path)
    monkeypatch.undo()
    assert done.created and blobs().exists(sha256)
    assert Client().get("/channels/tools/noarch/a-1.0-0.conda").status_code == 200
    assert_all_whole()


def test_bytes_that_were_collected_after_all_are_stored_again_when_their_row_is_claimed(hub: Hub) -> None:
    path, sha256 = garbage(hub)
    with blobs().temporary() as temporary:
        temporary.write(path.read_bytes())
        blobs().keep(temporary)
        # The collector looked at the time of the bytes just before they were kept, and takes them just after.
        Blob.objects.filter(sha256=sha256).delete()
        assert blobs().delete(sha256)
        with transaction.atomic():
            claimed = collect.claim_blobs([temporary])
    assert blobs().read_bytes(sha256) == path.read_bytes()
    assert claimed[sha256] == Blob.objects.get(sha256=sha256)


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


def test_a_collection_killed_between_the_row_and_the_bytes_is_finished_by_the_next(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha256 = garbage(hub)

    def killed(store: BlobStore, sha256: str, **_: object) -> bool:
        raise Killed

    monkeypatch.setattr(DiskStore, "delete", killed)
    with pytest.raises(Killed):
        run_gc()
    monkeypatch.undo()
    assert blobs().exists(sha256)
    hub.push_path(path)
    assert_all_whole()
    path, sha256 = garbage(hub)
    run_gc()
    assert not blobs().exists(sha256) and not Blob.objects.exists()


def test_a_collection_killed_after_the_bytes_leaves_a_row_that_harms_nobody_and_goes_with_the_next(hub: Hub) -> None:
    path, sha256 = garbage(hub)
    blobs().delete(sha256)
    assert_all_whole()
    assert run_gc(dry_run=True)["rows without bytes or files"] == 1
    assert run_gc()["rows without bytes or files"] == 1
    assert not Blob.objects.exists()
    hub.push_path(path)
    assert_all_whole()


def test_publishers_and_collectors_of_the_same_bytes_at_once_never_leave_a_file_without_bytes(hub: Hub) -> None:
    path, sha256 = garbage(hub)
    data = path.read_bytes()
    sweep = gc.Sweep(now=timezone.now(), grace=timedelta(seconds=-60), dry_run=False, check=lambda: None)
    broken: list[str] = []
    stop = threading.Event()

    def sweep_all() -> None:
        try:
            while not stop.is_set():
                # Of a grace period that has always passed: only the rows keep it from taking the bytes.
                collect._drop_blob(blobs(), sha256, sweep)
                time.sleep(0.002)
        finally:
            connection.close()

    collectors = [threading.Thread(target=sweep_all) for _ in range(2)]
    for one in collectors:
        one.start()
    try:
        row = {"channel": hub.channel, "subdir": "noarch", "filename": "x-1-0.conda", "name": "x", "version": "1", "build": "0"}
        row |= {"sha256": sha256, "size": len(data), "record": "{}", "indexed_at": timezone.now()}
        tried = 0
        while tried < 20:
            blobs().put_bytes(data)
            with blobs().temporary() as temporary:
                temporary.write(data)
                blobs().keep(temporary)
                if temporary.kept:
                    # Taken before it was kept again: new bytes, which are safe by their time.
                    continue
                tried += 1
                with transaction.atomic():
                    blob = collect.claim_blobs([temporary])[sha256]
                    file = PackageFile.objects.create(blob=blob, **row)
            if not blobs().exists(sha256):
                broken.append("a recorded file has no bytes")
            file.delete()
    finally:
        stop.set()
        for one in collectors:
            one.join()
    assert broken == []


# -- index files, the job --------------------------------------------------------------------------------------------


def test_superseded_index_files_go_and_the_newest_of_each_kind_stays(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage2, "SMALL_BYTES", 0)
    for version in ("1.0", "2.0", "3.0"):
        hub.push("a", version)
        stage2.render_head(hub.channel.pk, "noarch")
    assert IndexFile.objects.count() == 9
    before = hub.index(2), hub.index(4)
    age_files_and_bytes(8)
    done = run_gc()
    assert done["superseded index files"] >= 6
    assert set(IndexFile.objects.exclude(kind__contains=" ").values_list("revision", flat=True)) == {4}
    # What belongs to a kept revision is made anew when somebody asks for it.
    assert (hub.index(2), hub.index(4)) == before


def test_an_index_file_whose_bytes_were_lost_is_made_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage2, "SMALL_BYTES", 0)
    hub.push("a")
    before = hub.index(2)
    for entry in list(blobs("index").iterate()):
        blobs("index").delete(entry.sha256)
    assert run_gc()["index files without bytes"] > 0
    assert hub.index(2) == before


def test_the_collection_runs_as_a_job_and_says_what_went(hub: Hub) -> None:
    hub.push("a")
    Job.objects.all().delete()
    job = enqueue(kind=gc.GC_KIND, payload={})
    assert run_one("heavy")
    job.refresh_from_db()
    assert job.state == "done", job.error_sentence
    assert job.result is not None and {one["what"] for one in job.result["collected"]} >= {"package bytes", "revisions"}


def test_unfinished_uploads_go_after_the_grace_period(hub: Hub) -> None:
    from condahub.storage.temporary import temporary_folder

    old, young = temporary_folder() / "1-old.part", temporary_folder() / "1-young.part"
    for path, days in ((old, 8), (young, 1)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - days * 86400,) * 2)
    assert run_gc()["unfinished uploads"] == 1
    assert young.exists() and not old.exists()
    young.unlink()
