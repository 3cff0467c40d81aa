"""A verb on many rows asks first, goes through the service for each, tells each refusal, and is in the audit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from channels_app.models import Channel, FileState, PackageFile
from channels_app.services.channels import delete_channel
from condahub.accounts import services
from condahub.accounts.models import ApiToken, Grant, Organization
from condahub.accounts.policy import SYSTEM, Actor
from condahub.audit.models import AuditEvent
from condahub.jobs.models import Job
from condahub.jobs.runner import run_one
from condahub.jobs.services import enqueue
from condahub.jobs.states import JobState
from environments_app.models import Build
from environments_app.services.builds import submit_specification
from mirrors_app.models import Mirror
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from tests.api.conftest import World

pytestmark = pytest.mark.django_db


def ask(client: Client, model: str, verb: str, rows: Sequence[Model]) -> str:
    """The page that asks."""
    path = reverse(f"admin:{model}_changelist")
    keys = [row.pk for row in rows]
    response = client.post(path, {"action": verb, ACTION_CHECKBOX_NAME: keys, "index": "0"})
    assert response.status_code == 200, response.content[-500:]
    return response.content.decode()


def do(client: Client, model: str, verb: str, rows: Sequence[Model], status: int = 302, **said: object) -> str:
    """Ask, confirm, and read what the list says then."""
    page = ask(client, model, verb, rows)
    assert f"({len(rows)})" in page
    path = reverse(f"admin:{model}_changelist")
    keys = [row.pk for row in rows]
    response = client.post(path, {"action": verb, ACTION_CHECKBOX_NAME: keys, "confirmed": "yes", **said})
    assert response.status_code == status, response.content[-800:]
    return client.get(path).content.decode()


def audited(action: str) -> int:
    return AuditEvent.objects.filter(action=action, actor_label="it").count()


def test_nothing_is_done_before_it_is_confirmed(world: World, staff: Client) -> None:
    files = list(PackageFile.objects.filter(channel=world.inner))
    page = ask(staff, "channels_packagefile", "purge", files)
    assert "inside-1.0" in page
    assert "Purge" in page
    assert not PackageFile.objects.filter(state=FileState.PURGED).exists()


def test_files_are_quarantined_released_yanked_restored_and_purged(world: World, staff: Client) -> None:
    files = list(PackageFile.objects.filter(channel=world.inner))
    head = Channel.objects.get(pk=world.inner.pk).head
    for verb, reason, state in (
        ("quarantine", "looked at", FileState.HELD),
        ("release", "", FileState.LIVE),
        ("yank", "", FileState.YANKED),
        ("restore", "", FileState.LIVE),
        ("purge", "a secret in it", FileState.PURGED),
    ):
        do(staff, "channels_packagefile", verb, files, reason=reason)
        assert set(PackageFile.objects.filter(pk__in=[file.pk for file in files]).values_list("state", flat=True)) == {state}
        assert audited(f"package.{verb}") == 2
        # Two files of one channel are one change, and so one revision.
        assert Channel.objects.get(pk=world.inner.pk).head == head + 1
        head += 1


def test_a_reason_is_asked_for(world: World, staff: Client) -> None:
    files = list(PackageFile.objects.filter(channel=world.inner))
    do(staff, "channels_packagefile", "quarantine", files, status=200)
    assert not PackageFile.objects.filter(state=FileState.HELD).exists()


def test_each_refusal_is_told_and_keeps_no_other_from_being_done(world: World, staff: Client) -> None:
    one, other = PackageFile.objects.filter(channel=world.inner).order_by("pk")
    do(staff, "channels_packagefile", "quarantine", [one], reason="looked at")
    page = do(staff, "channels_packagefile", "yank", [one, other])
    assert "1 done" in page
    assert "is held" in page
    other.refresh_from_db()
    assert other.state == FileState.YANKED


def test_a_channel_gets_a_quota_and_another_owner(world: World, staff: Client) -> None:
    do(staff, "channels_channel", "quota", [world.inner, world.outer], gigabytes="2.5")
    assert set(Channel.objects.values_list("quota_bytes", flat=True)) == {2_500_000_000}
    other = services.create_organization(actor=SYSTEM, name="umbrella", owner=world.people["outsider"])
    services.grant(actor=SYSTEM, on=world.inner.access_target, role="reader", user=world.people["reader"])
    do(staff, "channels_channel", "change_owner", [world.inner], organization=other.pk)
    moved = Channel.objects.get(pk=world.inner.pk)
    assert moved.organization == other
    assert set(moved.names.values_list("organization", flat=True)) == {other.pk}
    assert not Grant.objects.filter(channel_id=moved.pk).exists()
    # Both organizations read of it.
    told = AuditEvent.objects.filter(action="channel.change_owner")
    assert set(told.values_list("organization_id", flat=True)) == {world.acme.pk, other.pk}
    # Who read it by the old organization reads it no more, and the new owner does.
    assert not Channel.objects.visible_to(Actor.of(world.people["reader"])).filter(pk=moved.pk).exists()
    assert Channel.objects.visible_to(Actor.of(world.people["outsider"])).filter(pk=moved.pk).exists()


def test_a_channel_does_not_go_where_it_finds_no_room(world: World, staff: Client) -> None:
    small = services.create_organization(actor=SYSTEM, name="small", owner=world.people["outsider"])
    services.set_quota(actor=SYSTEM, organization=small, quota_bytes=1)
    page = do(staff, "channels_channel", "change_owner", [world.inner], organization=small.pk)
    assert "1 done" not in page
    assert Channel.objects.get(pk=world.inner.pk).organization == world.acme


def test_a_channel_is_made_anew_and_verified_by_jobs(world: World, staff: Client) -> None:
    do(staff, "channels_channel", "reindex", [world.inner])
    do(staff, "channels_channel", "verify", [world.inner])
    while run_one("heavy"):
        pass
    jobs = {job.kind: job for job in Job.objects.filter(lane="heavy")}
    assert jobs["channels.reindex"].state == JobState.DONE, jobs["channels.reindex"].error_sentence
    assert jobs["channels.verify"].result == {"looked_at": 2}
    assert audited("channel.verify") == audited("channel.reindex") == 1


def test_tokens_are_revoked_and_a_user_is_disabled_with_all_that_is_theirs(world: World, staff: Client) -> None:
    world.secret("reader")
    world.secret("owner")
    token = ApiToken.objects.get(owner=world.people["reader"])
    do(staff, "accounts_apitoken", "revoke", [token])
    token.refresh_from_db()
    assert token.revoked_at is not None
    page = do(staff, "accounts_user", "disable", [world.people["owner"], world.people["staff"], world.people["admin"]])
    assert "1 done" in page
    assert ApiToken.objects.get(owner=world.people["owner"]).revoked_at is not None
    for name in ("owner", "staff", "admin"):
        world.people[name].refresh_from_db()
    # Neither oneself nor who is above.
    assert [world.people[name].is_active for name in ("owner", "staff", "admin")] == [False, True, True]


def test_what_ends_with_an_account_is_counted_before_and_what_is_its_organizations_stays(
    world: World, staff: Client, settings: Settings
) -> None:
    settings.CONDAHUB_EMAIL_ENABLED = True
    user = world.people["owner"]
    owner = Actor.of(user)
    services.create_token(actor=owner, name="laptop", scopes=["read"])
    robot = services.create_robot(actor=owner, organization=world.acme, name="bot")
    bots = services.create_token(actor=owner, name="ci", scopes=["read"], owner=robot).token
    invited = services.invite(actor=owner, organization=world.acme, email="new@example.org", role="reader")
    asked = enqueue(kind="hub.gc", payload={}, actor_label="owner")
    finishing = enqueue(kind="channels.settle", payload={}, actor_label="owner")
    another = enqueue(kind="hub.gc", payload={}, coalesce_key="another", actor_label="reader")
    page = ask(staff, "accounts_user", "disable", [user])
    assert "0 session(s), 1 token(s), 1 open invitation(s), 1 waiting or running job(s)." in page
    assert "No owner is left in: acme." in page
    do(staff, "accounts_user", "disable", [user])
    for row in (invited, asked, finishing, another, robot, bots):
        row.refresh_from_db()
    assert invited.revoked_at is not None and asked.state == JobState.CANCELLED
    assert [finishing.state, another.state] == [JobState.WAITING, JobState.WAITING]
    assert robot.is_active and bots.revoked_at is None
    kept = AuditEvent.objects.get(action="user.deactivate").details
    assert (kept["tokens_revoked"], kept["invitations_revoked"], kept["jobs_cancelled"]) == (1, 1, 1)


def test_organizations_get_a_quota(world: World, staff: Client) -> None:
    do(staff, "accounts_organization", "quota", [world.acme], gigabytes="")
    assert Organization.objects.get(pk=world.acme.pk).quota_bytes is None
    do(staff, "accounts_organization", "quota", [world.acme], gigabytes="1")
    assert Organization.objects.get(pk=world.acme.pk).quota_bytes == 10**9


def test_jobs_are_cancelled_and_asked_for_again(world: World, staff: Client) -> None:
    job = enqueue(kind="hub.gc", payload={}, actor_label="somebody")
    do(staff, "jobs_job", "cancel", [job])
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    page = do(staff, "jobs_job", "requeue", [job])
    assert "1 done" in page
    assert Job.objects.filter(kind="hub.gc", state=JobState.WAITING, actor_label="it").count() == 1
    waiting = Job.objects.get(kind="hub.gc", state=JobState.WAITING)
    assert "Only a job that failed" in do(staff, "jobs_job", "requeue", [waiting])
    assert audited("job.cancel") == audited("job.requeue") == 1


def test_mirrors_are_paused_resumed_and_synced(world: World, staff: Client, settings: Settings) -> None:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = ["127.0.0.0/8"]
    mirror = create_mirror(
        actor=Actor.of(world.people["staff"]),
        organization=world.acme,
        name="copied",
        upstreams=[UpstreamSpec(url="http://127.0.0.1:9/copied/")],
        settings={"subdirs": ["noarch"], "schedule": "0 3 * * *"},
    )
    do(staff, "mirrors_mirror", "pause", [mirror])
    assert Mirror.objects.get(pk=mirror.pk).paused
    do(staff, "mirrors_mirror", "resume", [mirror])
    assert not Mirror.objects.get(pk=mirror.pk).paused
    assert "copied" in staff.get(reverse("admin:schedules")).content.decode()
    do(staff, "mirrors_mirror", "sync", [mirror])
    assert Job.objects.filter(coalesce_key=f"mirror:{mirror.pk}", state=JobState.WAITING).count() == 1
    do(staff, "mirrors_mirror", "cancel", [mirror])
    assert not Job.objects.filter(coalesce_key=f"mirror:{mirror.pk}", state=JobState.WAITING).exists()
    assert "is not being synced" in do(staff, "mirrors_mirror", "cancel", [mirror])
    delete_channel(actor=Actor.of(world.people["staff"]), channel=mirror.channel)
    assert staff.get(reverse("admin:mirrors_mirror_change", args=[mirror.pk])).status_code == 200


def test_builds_are_cancelled_and_made_again(world: World, staff: Client) -> None:
    text = "name: science\nchannels: [inner]\ndependencies: [inside]\n"
    build = submit_specification(actor=Actor.of(world.people["staff"]), organization=world.acme, text=text)
    do(staff, "environments_build", "cancel", [build])
    assert Build.objects.get(pk=build.pk).state == "cancelled"
    do(staff, "environments_build", "rebuild", [build])
    assert Build.objects.filter(environment=build.environment).count() == 2
    assert staff.get(reverse("admin:environments_build_change", args=[build.pk])).status_code == 200


def test_an_auditor_can_not_make_a_verb_run(world: World, auditor: Client) -> None:
    path = reverse("admin:channels_channel_changelist")
    auditor.post(path, {"action": "quota", ACTION_CHECKBOX_NAME: [world.inner.pk], "confirmed": "yes", "gigabytes": "1"})
    assert Channel.objects.get(pk=world.inner.pk).quota_bytes is None


def test_garbage_is_counted_before_it_is_collected(world: World, staff: Client) -> None:
    for what in ("dry_run", "run"):
        assert staff.post(reverse("admin:collect"), {"what": what}).status_code == 302
    while run_one("heavy"):
        pass
    assert set(Job.objects.filter(kind__startswith="hub.gc").values_list("kind", "state")) == {
        ("hub.gc", "done"),
        ("hub.gc_dry_run", "done"),
    }
    assert audited("hub.gc") == 1
    assert "counted" in staff.get(reverse("admin:collect")).content.decode()


def test_lost_second_factors_are_taken_away(world: World, staff: Client) -> None:
    reader = world.people["reader"]
    for kind in ("totp", "recovery_codes"):
        Authenticator.objects.create(user=reader, type=kind, data={})
    assert "second factors: 1 done" in do(staff, "accounts_user", "second_factors", [reader])
    assert not Authenticator.objects.filter(user=reader).exists()
    assert audited("second_factor.remove_all") == 1
    # Those of administrators are kept from staff.
    Authenticator.objects.create(user=world.people["admin"], type="totp", data={})
    do(staff, "accounts_user", "second_factors", [world.people["admin"]])
    assert Authenticator.objects.filter(user=world.people["admin"]).exists()
