"""Who may make, run and see mirrors; secrets stay secret; runs come by the clock, one at a time, and can be stopped."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels_app.models import Channel, ChannelKind
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from condahub.accounts.services import grant
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, Forbidden, HubError
from condahub.jobs.models import Job, JobLog
from condahub.jobs.runner import drain
from mirrors_app import selectors
from mirrors_app.models import Mirror, SyncRun, Upstream
from mirrors_app.services import mirrors, runs, schedules, syncing
from mirrors_app.services.mirrors import UpstreamSpec
from tests.mirrors_app.core.faults import Status
from tests.mirrors_app.core.upstream_server import Channel as Upstreamed
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import downloadable, job_of, make_mirror, run, shown

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]
SECRET = "s3cr3t-of-the-upstream"


@pytest.fixture
def mirror(hub: None, staff: Actor, organization: Organization, server: UpstreamServer) -> Mirror:
    return make_mirror(staff, organization, server.url, visibility="public")


def person(staff: Actor, organization: Organization, name: str, role: str | None) -> Actor:
    user = User.objects.create(username=name)
    if role is not None:
        grant(actor=staff, on=organization, user=user, role=role)
    return Actor.of(user)


def test_who_may_do_what(staff: Actor, organization: Organization, mirror: Mirror, server: UpstreamServer) -> None:
    outsider = person(staff, organization, "mallory", None)
    reader = person(staff, organization, "rea", "reader")
    keeper = person(staff, organization, "max", "maintainer")
    verbs = (
        lambda actor: make_mirror(actor, organization, server.url, name=f"more-{actor.label}"),
        lambda actor: mirrors.update_mirror(actor=actor, mirror=mirror, changes={"max_packages": 7}),
        lambda actor: mirrors.pause_mirror(actor=actor, mirror=mirror),
        lambda actor: mirrors.resume_mirror(actor=actor, mirror=mirror),
        lambda actor: runs.run_now(actor=actor, mirror=mirror),
        lambda actor: runs.ask_plan(actor=actor, mirror=mirror),
        lambda actor: runs.cancel_run(actor=actor, mirror=mirror),
    )
    for verb in verbs:
        for actor in (outsider, reader):
            with pytest.raises(Forbidden):
                verb(actor)
        verb(keeper)
    # Packages of an open channel are for everybody; where they come from is not.
    with pytest.raises(Forbidden):
        selectors.mirror_for(outsider, "conda-inside")
    assert list(Mirror.objects.visible_to(outsider)) == []
    assert selectors.mirror_for(reader, "conda-inside") == mirror
    assert mirror in Mirror.objects.visible_to(reader)


def test_credentials_are_sealed_sent_to_their_upstream_and_shown_nowhere(
    staff: Actor, organization: Organization, channel: Upstreamed, server: UpstreamServer
) -> None:
    address = server.url.replace("://", f"://robot:{SECRET}@")
    mirror = make_mirror(staff, organization, address)
    row = Upstream.objects.get(mirror=mirror)
    assert (row.url, row.credential_kind, row.username) == (server.url, "basic", "robot")
    assert SECRET not in row.sealed_secret
    assert run(staff, mirror).state == "ok"
    assert all(headers["Authorization"].startswith("Basic ") for _, headers in server.headers)
    mirrors.update_mirror(actor=staff, mirror=mirror, upstreams=[UpstreamSpec(url=server.url, credential_kind="basic", username="robot")])
    assert run(staff, mirror).state == "ok"
    other = [UpstreamSpec(url="https://1.1.1.1/x", credential_kind="basic", username="robot")]
    with pytest.raises(HubError, match="no secret"):
        mirrors.update_mirror(actor=staff, mirror=mirror, upstreams=other)
    server.faults = [Status(500, lambda path: True, times=0)]
    mirrors.update_mirror(actor=staff, mirror=mirror, changes={"ca_bundle": ""})
    told = [
        *map(json.dumps, Job.objects.values_list("payload", flat=True)),
        *JobLog.objects.values_list("text", flat=True),
        *Job.objects.values_list("error_sentence", flat=True),
        *(json.dumps(one) for one in AuditEvent.objects.values_list("details", flat=True)),
        *(json.dumps(one) for one in SyncRun.objects.values_list("report", flat=True)),
    ]
    assert not [text for text in told if SECRET in text]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://169.254.169.254/x", "file:///etc", "ftp://a.org/x"])
def test_an_upstream_is_where_the_operator_allows(staff: Actor, organization: Organization, settings: Settings, url: str) -> None:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = []
    with pytest.raises(HubError) as refused:
        make_mirror(staff, organization, url)
    assert refused.value.status == 422
    assert not Channel.objects.exists()


def test_a_local_folder_is_an_upstream_where_a_setting_lists_it(
    staff: Actor, organization: Organization, channel: Upstreamed, settings: Settings
) -> None:
    settings.CONDAHUB_MIRROR_LOCAL_FOLDERS = [str(channel.folder)]
    mirror = make_mirror(staff, organization, channel.folder.as_uri())
    assert run(staff, mirror).added == 4
    settings.CONDAHUB_MIRROR_LOCAL_FOLDERS = []
    assert run(staff, mirror).state == "failed"


@pytest.mark.parametrize(
    "settings_given",
    [
        {"schedule": "61 * * * *"},
        {"schedule": "* * * *"},
        {"schedule": "0 0 30 2 *"},
        {"time_zone": "Mars/Olympus"},
        {"windows": ["25:00-26:00"]},
        {"filters": {"include": ["==="]}, "mode": "filtered"},
        {"filters": {"nonsense": 1}, "mode": "filtered"},
        {"filters": {"include": ["x"]}},
        {"mode": "lock"},
        {"mode": "lock", "lock": "no lock at all"},
        {"subdirs": ["../etc"]},
        {"subdirs": []},
        {"shrink_share": 2},
        {"connections": 0},
        {"proxy": 5},
        {"surprise": True},
    ],
)
def test_settings_that_can_not_be_followed_are_refused_whole(
    staff: Actor, organization: Organization, server: UpstreamServer, settings_given: dict[str, object]
) -> None:
    with pytest.raises(HubError) as refused:
        make_mirror(staff, organization, server.url, **settings_given)
    assert refused.value.status in (400, 422)
    assert not Channel.objects.exists()


def test_it_runs_by_the_clock_of_its_zone(staff: Actor, mirror: Mirror) -> None:
    # Two nights of the year in which the clock is changed lie between these two.
    winter = schedules.next_time("30 2 * * *", "Europe/Berlin", after=datetime(2026, 1, 10, 12, tzinfo=UTC))
    summer = schedules.next_time("30 2 * * *", "Europe/Berlin", after=datetime(2026, 7, 10, 12, tzinfo=UTC))
    assert (winter, summer) == (datetime(2026, 1, 11, 1, 30, tzinfo=UTC), datetime(2026, 7, 11, 0, 30, tzinfo=UTC))
    mirror = mirrors.update_mirror(actor=staff, mirror=mirror, changes={"schedule": "*/5 * * * *"})
    assert mirror.next_run_at is not None
    assert timezone.now() < mirror.next_run_at <= timezone.now() + timedelta(minutes=5)
    assert schedules.enqueue_due() == []
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=timezone.now() - timedelta(hours=3))
    assert schedules.enqueue_due() == [mirror.pk]
    assert schedules.enqueue_due() == []
    drain("heavy")
    entry = SyncRun.objects.get(mirror=mirror)
    assert (entry.state, entry.trigger) == ("ok", "schedule")
    assert mirrors.pause_mirror(actor=staff, mirror=mirror).next_run_at is None
    assert schedules.enqueue_due() == []
    assert mirrors.resume_mirror(actor=staff, mirror=mirror).next_run_at is not None


def test_asked_twice_it_runs_once_and_a_dry_run_changes_nothing(staff: Actor, mirror: Mirror, server: UpstreamServer) -> None:
    job = runs.ask_plan(actor=staff, mirror=mirror, filters={"exclude": ["tool >=2"]})
    drain("heavy")
    job.refresh_from_db()
    assert job.state == "done", job.error_sentence
    assert job.result is not None
    assert job.result["fetch"]["files"] == 3
    assert job.result["left_out"] == {"files": 1, "reasons": {"excluded by 'tool >=2'": 1}}
    assert (shown(mirror), server.packages(), SyncRun.objects.count()) == ({}, {}, 0)
    first, second = (runs.run_now(actor=staff, mirror=mirror) for _ in range(2))
    assert first.pk == second.pk


def test_a_run_is_cancelled_and_what_it_fetched_is_kept(staff: Actor, mirror: Mirror, server: UpstreamServer) -> None:
    came = threading.Event()

    def slow(request: object, path: object) -> None:
        if str(path).endswith("tool-2.0-0.tar.bz2"):
            came.set()
            time.sleep(3)

    server.faults = [slow]
    mirrors.update_mirror(actor=staff, mirror=mirror, changes={"connections": 1})
    job = runs.run_now(actor=staff, mirror=mirror)

    def cancel() -> None:
        from django.db import connection

        came.wait(20)
        runs.cancel_run(actor=staff, mirror=mirror)
        connection.close()

    thread = threading.Thread(target=cancel)
    thread.start()
    drain("heavy")
    thread.join()
    job.refresh_from_db()
    entry = SyncRun.objects.get(job=job)
    assert (job.state, entry.state) == ("cancelled", "cancelled")
    assert shown(mirror) == {}
    server.faults = []
    before = sum(server.packages().values())
    again = run(staff, mirror)
    assert (again.state, again.added) == ("ok", 4)
    assert sum(server.packages().values()) - before < 4
    with pytest.raises(Conflict):
        runs.cancel_run(actor=staff, mirror=mirror)


def test_the_books_of_a_run_whose_worker_is_gone_are_closed(staff: Actor, mirror: Mirror) -> None:
    entry = run(staff, mirror)
    lost = SyncRun.objects.create(mirror=mirror, job=job_of(entry), started_at=timezone.now())
    assert syncing.close_lost_runs() == [lost.pk]
    lost.refresh_from_db()
    assert (lost.state, lost.reason) == ("failed", "The worker stopped answering in the middle of this run.")


@pytest.mark.parametrize("keep", [True, False])
def test_a_mirror_ends_and_its_channel_stays_or_goes(staff: Actor, mirror: Mirror, keep: bool) -> None:
    run(staff, mirror)
    channel_id = mirror.channel_id
    waiting = runs.run_now(actor=staff, mirror=mirror)
    mirrors.delete_mirror(actor=staff, mirror=mirror, keep_packages=keep)
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"
    left = Channel.objects.get(pk=channel_id)
    assert (left.deleted_at is None, left.kind) == (keep, ChannelKind.HOSTED if keep else ChannelKind.MIRROR)
    assert Mirror.objects.existing().count() == 0
    if keep:
        assert downloadable(mirror, "base-1.0-0.conda")
