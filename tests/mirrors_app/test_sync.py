"""A mirror brings an upstream into a channel: whole, once, atomically, honestly."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels_app.models import SEEN_LONG_AGO, Channel, ChannelKind, Package, PackageFile
from channels_app.services.channels import create_channel
from channels_app.services.policies import set_policy
from channels_app.services.scopes import Scope
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import Conflict
from condahub.events.models import Event
from condahub.jobs.models import Job
from condahub.jobs.runner import drain
from condahub.ops import gc
from condahub.storage.blobs import blobs
from mirrors_app import selectors
from mirrors_app.core.run import sync
from mirrors_app.filling.target import ChannelTarget
from mirrors_app.models import Mirror, MirroredFile, MirrorRefusal, SyncRun, UpstreamRevision
from mirrors_app.services import mirrors, runs
from mirrors_app.services.configuring import core_config
from tests.channels_app.conftest import push_file
from tests.makers import make_package
from tests.mirrors_app.core.faults import Status, WrongBytes, named
from tests.mirrors_app.core.upstream_server import Channel as Upstream
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import downloadable, expected, job_of, make_mirror, run, shown, states

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]


@pytest.fixture
def mirror(hub: None, staff: Actor, organization: Organization, server: UpstreamServer) -> Mirror:
    return make_mirror(staff, organization, server.url)


def test_a_first_run_brings_all_as_one_revision(staff: Actor, mirror: Mirror, channel: Upstream, server: UpstreamServer) -> None:
    before = Channel.objects.get(pk=mirror.channel_id).head
    entry = run(staff, mirror)
    assert (entry.state, entry.added, entry.files, entry.refused) == ("ok", 4, 4, 0), entry.reason
    assert entry.revision == before + 1 == Channel.objects.get(pk=mirror.channel_id).head
    for subdir in ("linux-64", "noarch"):
        assert shown(mirror, subdir) == expected(channel.records[subdir])
        for filename, record in channel.records[subdir].items():
            assert downloadable(mirror, filename, subdir) == record["sha256"]
            assert blobs().read_bytes(record["sha256"]) == (channel.folder / subdir / filename).read_bytes()
    assert set(PackageFile.objects.values_list("first_seen_at", flat=True)) == {SEEN_LONG_AGO}
    assert set(server.packages().values()) == {1}
    assert {one.name for one in Package.objects.filter(channel=mirror.channel_id)} == {"base", "tool", "pure"}
    made = Channel.objects.get(pk=mirror.channel_id)
    assert made.used_bytes == sum(one["size"] for records in channel.records.values() for one in records.values())
    assert job_of(entry).state == "done"


def test_nothing_new_asks_only_whether_there_is_something_new(staff: Actor, mirror: Mirror, server: UpstreamServer) -> None:
    head = run(staff, mirror).revision
    server.requests.clear()
    entry = run(staff, mirror)
    assert (entry.state, entry.revision) == ("ok", head)
    assert not server.packages()
    assert entry.received_bytes == 0


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_a_hotfix_downloads_nothing_and_unknown_keys_survive(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, form: str
) -> None:
    channel.forms = {form}
    (channel.folder / "linux-64" / "repodata.json").unlink()
    channel.write()
    mirror = make_mirror(staff, organization, server.url)
    first = run(staff, mirror)
    channel.records["linux-64"]["tool-1.0-0.conda"] |= {
        "depends": ["base >=1,<2"],
        "novel": {"key": [1, None]},
        "url": "https://elsewhere/x",
    }
    channel.write()
    server.requests.clear()
    entry = run(staff, mirror)
    assert (entry.state, entry.changed, entry.added, entry.revision) == ("ok", 1, 0, (first.revision or 0) + 1), entry.report
    assert not server.packages()
    assert shown(mirror) == expected(channel.records["linux-64"])


def test_what_the_upstream_removes_is_kept_or_dropped_and_comes_back_without_a_download(
    staff: Actor, mirror: Mirror, channel: Upstream, server: UpstreamServer
) -> None:
    run(staff, mirror)
    record = channel.records["linux-64"]["tool-1.0-0.conda"]
    channel.remove("tool-1.0-0.conda")
    kept = run(staff, mirror)
    assert (kept.state, kept.kept_though_gone, kept.removed) == ("ok", 1, 0)
    assert "tool-1.0-0.conda" in shown(mirror)
    mirrors.update_mirror(actor=staff, mirror=mirror, changes={"removed": "drop"})
    dropped = run(staff, mirror)
    assert (dropped.state, dropped.removed) == ("ok", 1)
    assert shown(mirror) == expected(channel.records["linux-64"])
    assert downloadable(mirror, "tool-1.0-0.conda") is None
    server.requests.clear()
    channel.records["linux-64"]["tool-1.0-0.conda"] = record
    channel.write()
    assert run(staff, mirror).added == 1
    assert not server.packages()
    assert downloadable(mirror, "tool-1.0-0.conda") == record["sha256"]


def test_new_bytes_under_an_old_name_are_an_alert_and_both_are_kept(
    staff: Actor, mirror: Mirror, channel: Upstream, server: UpstreamServer
) -> None:
    run(staff, mirror)
    old = channel.records["linux-64"]["base-1.0-0.conda"]["sha256"]
    channel.add("base", extra_index={"license": "BSD"})
    new = channel.records["linux-64"]["base-1.0-0.conda"]["sha256"]
    assert old != new
    entry = run(staff, mirror)
    assert (entry.state, entry.replaced) == ("partial", 1)
    assert downloadable(mirror, "base-1.0-0.conda") == old == shown(mirror)["base-1.0-0.conda"]["sha256"]
    assert states(mirror)["base-1.0-0.conda"] == ["aside", "live"]
    assert blobs().exists(old)
    assert blobs().exists(new)
    assert Event.objects.filter(type="mirror.same_name_new_bytes").count() == 1
    server.requests.clear()
    mirrors.update_mirror(actor=staff, mirror=mirror, changes={"replaced": "follow"})
    run(staff, mirror)
    assert not server.packages()
    assert downloadable(mirror, "base-1.0-0.conda") == new == shown(mirror)["base-1.0-0.conda"]["sha256"]
    assert states(mirror)["base-1.0-0.conda"] == ["aside", "live"]
    list(gc.collect(dry_run=False, grace=timedelta(0)))
    assert blobs().exists(old)


def test_an_index_that_shrinks_is_held_until_it_is_approved(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    mirrors.update_mirror(actor=staff, mirror=mirror, changes={"removed": "drop"})
    head = run(staff, mirror).revision
    kept = channel.records["linux-64"]
    channel.records["linux-64"] = {"base-1.0-0.conda": kept["base-1.0-0.conda"]}
    channel.write()
    entry = run(staff, mirror)
    assert (entry.state, entry.revision) == ("held", head)
    assert [one["verdict"] for one in entry.held] == ["shrunken"]
    assert (job_of(entry).state, job_of(entry).attempts, job_of(entry).error_code) == ("failed", 1, "sync_held")
    assert set(shown(mirror)) == set(kept)
    assert Event.objects.filter(type="mirror.held").count() == 1
    runs.approve(actor=staff, mirror=mirror)
    again = run(staff, mirror)
    assert (again.state, again.removed) == ("ok", 2), again.reason
    assert set(shown(mirror)) == {"base-1.0-0.conda"}
    mirror.refresh_from_db()
    assert mirror.approved == []
    with pytest.raises(Conflict):
        runs.approve(actor=staff, mirror=mirror)


def test_a_page_in_place_of_an_index_is_held_and_can_not_be_approved(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    run(staff, mirror)
    channel.forms = {"json"}
    (channel.folder / "linux-64" / "repodata.json.zst").unlink()
    (channel.folder / "linux-64" / "repodata.json").write_text("<!DOCTYPE html><html>Please sign in</html>")
    entry = run(staff, mirror)
    assert [one["verdict"] for one in entry.held] == ["not_an_index"]
    with pytest.raises(Conflict) as refused:
        runs.approve(actor=staff, mirror=mirror)
    assert refused.value.code == "not_an_index"


def test_one_bad_package_never_stops_the_rest(staff: Actor, mirror: Mirror, server: UpstreamServer) -> None:
    server.faults = [WrongBytes(named("base-"), times=0)]
    entry = run(staff, mirror)
    assert (entry.state, entry.added, entry.refused) == ("partial", 3, 1)
    refusal = MirrorRefusal.objects.get(mirror=mirror)
    assert refusal.filename == "base-1.0-0.conda"
    assert "sha256" in refusal.reason
    assert Event.objects.get(type="mirror.partial").sentence.startswith("The sync of conda-inside left out 1 packages: base-1.0-0.conda")
    server.faults = []
    server.requests.clear()
    again = run(staff, mirror)
    assert (again.state, again.added) == ("ok", 1)
    assert sum(server.packages().values()) == 1
    assert not MirrorRefusal.objects.exists()


def test_a_failed_run_changes_nothing_and_says_why(staff: Actor, mirror: Mirror, server: UpstreamServer) -> None:
    head = run(staff, mirror).revision
    server.faults = [Status(404, lambda path: True, times=0)]
    mirrors.update_mirror(actor=staff, mirror=mirror, upstreams=[mirrors.UpstreamSpec(url=f"{server.url}nothing/")])
    entry = run(staff, mirror)
    assert (entry.state, entry.revision) in {("failed", head), ("held", head)}
    assert entry.reason
    assert job_of(entry).attempts == 1


def test_the_bytes_of_another_organization_are_not_used_and_those_of_the_same_are(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer
) -> None:
    """A hash that somebody knows is no key: who fetches it shows that he may."""
    others = create_channel(actor=staff, organization=Organization.objects.create(name="rival"), name="theirs", visibility="private")
    own = create_channel(actor=staff, organization=organization, name="ours", visibility="private")
    public = create_channel(actor=staff, organization=others.organization, name="open", visibility="public")
    folder = channel.folder / "linux-64"
    push_file(staff, others, folder / "base-1.0-0.conda")
    push_file(staff, own, folder / "tool-1.0-0.conda")
    push_file(staff, public, folder / "tool-2.0-0.tar.bz2")
    server.requests.clear()
    entry = run(staff, make_mirror(staff, organization, server.url))
    assert entry.state == "ok"
    assert sorted(path.rpartition("/")[2] for path in server.packages()) == ["base-1.0-0.conda", "pure-1.0-0.conda"]
    assert entry.added == 4
    rows = PackageFile.objects.filter(channel__name="conda-inside")
    assert {one.filename for one in rows.filter(blob__isnull=False, state="live")} == {one.filename for one in rows}


class _Killed(BaseException):
    """As a process that is gone."""


def bring(mirror: Mirror, target: ChannelTarget) -> Any:
    with core_config(mirror) as config:
        return asyncio.run(sync(config, target))


def test_what_a_killed_run_fetched_is_found_and_seen_by_nobody_before(
    staff: Actor, mirror: Mirror, channel: Upstream, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Channel.objects.get(pk=mirror.channel_id).head

    def killed(*_: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr("mirrors_app.filling.target.Publishing.publish", killed)
        with pytest.raises(_Killed):
            bring(mirror, ChannelTarget(mirror, SyncRun.objects.create(mirror=mirror, started_at=timezone.now())))
    assert MirroredFile.objects.filter(role="staged").count() == 4
    assert Channel.objects.get(pk=mirror.channel_id).head == head
    assert shown(mirror) == {}
    assert not Package.objects.exists()
    assert all(downloadable(mirror, filename) is None for filename in channel.records["linux-64"])
    list(gc.collect(dry_run=False))
    server.requests.clear()
    entry = run(staff, mirror)
    assert (entry.state, entry.added) == ("ok", 4), entry.reason
    assert not server.packages()
    assert shown(mirror) == expected(channel.records["linux-64"])


def test_what_no_run_came_back_for_is_collected_after_the_grace_period(
    staff: Actor, mirror: Mirror, channel: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr("mirrors_app.filling.target.Publishing.publish", killed)
        with pytest.raises(_Killed):
            bring(mirror, ChannelTarget(mirror, SyncRun.objects.create(mirror=mirror, started_at=timezone.now())))
    digest = channel.records["linux-64"]["base-1.0-0.conda"]["sha256"]
    list(gc.collect(dry_run=False, grace=timedelta(0)))
    list(gc.collect(dry_run=False, grace=timedelta(0)))
    assert not PackageFile.objects.exists()
    assert Channel.objects.get(pk=mirror.channel_id).used_bytes == 0
    assert not blobs().exists(digest)
    assert run(staff, mirror).added == 4


def test_a_quota_stops_what_does_not_fit_and_says_so(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    size = channel.records["linux-64"]["base-1.0-0.conda"]["size"]
    Channel.objects.filter(pk=mirror.channel_id).update(quota_bytes=int(2.5 * size))
    entry = run(staff, mirror)
    assert entry.state == "partial"
    assert entry.added == 2
    assert all("quota" in one.reason for one in MirrorRefusal.objects.all())
    assert Channel.objects.get(pk=mirror.channel_id).used_bytes <= int(2.5 * size)


def test_policy_judges_what_comes_before_anybody_sees_it(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(mirror.channel), rules={"names": {"denied": ["tool"]}})
    run(staff, mirror)
    assert set(shown(mirror)) == {"base-1.0-0.conda"}
    channel.records["linux-64"]["tool-1.0-0.conda"]["constrains"] = ["x"]
    channel.write()
    run(staff, mirror)
    assert set(shown(mirror)) == {"base-1.0-0.conda"}


def test_nobody_uploads_into_a_mirror(staff: Actor, mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(Conflict) as refused:
        push_file(staff, mirror.channel, make_package(tmp_path, "mine"))
    assert refused.value.code == "not_hosted"


def test_a_hosted_channel_becomes_a_mirror_and_keeps_what_it_has(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, tmp_path: Path
) -> None:
    hosted = create_channel(actor=staff, organization=organization, name="ours", visibility="private")
    push_file(staff, hosted, make_package(tmp_path, "mine"))
    push_file(staff, hosted, channel.folder / "linux-64" / "base-1.0-0.conda")
    other = push_file(staff, hosted, make_package(tmp_path, "tool", "1.0", subdir="linux-64", depends=["mine"]))
    mirror = mirrors.mirror_channel(
        actor=staff, channel=hosted, upstreams=[mirrors.UpstreamSpec(url=server.url)], settings={"subdirs": ["linux-64", "noarch"]}
    )
    assert Channel.objects.get(pk=hosted.pk).kind == ChannelKind.MIRROR
    server.requests.clear()
    entry = run(staff, mirror)
    assert (entry.state, entry.replaced) == ("partial", 1), entry.report
    assert "/linux-64/base-1.0-0.conda" not in server.packages()
    assert "mine-1.0-0.conda" in shown(mirror) | shown(mirror, "noarch")
    assert downloadable(mirror, "tool-1.0-0.conda", other.file.subdir) == other.file.sha256


def test_what_a_person_deleted_stays_deleted(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    from channels_app.services import states as verbs

    run(staff, mirror)
    verbs.change_state(actor=staff, channel=mirror.channel, verb=verbs.DELETE, files=[("linux-64", "base-1.0-0.conda")])
    channel.records["linux-64"]["base-1.0-0.conda"]["constrains"] = ["x"]
    channel.write()
    assert run(staff, mirror).state == "ok"
    assert "base-1.0-0.conda" not in shown(mirror)


def test_raw_indexes_are_kept_for_the_newest_few_revisions(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    came = []
    for number in range(6):
        channel.records["linux-64"]["base-1.0-0.conda"]["constrains"] = [f"x >={number}"]
        channel.write()
        assert run(staff, mirror).state == "ok"
        came.append(UpstreamRevision.objects.filter(mirror=mirror, subdir="linux-64").latest("id").stored)
    kept = UpstreamRevision.objects.filter(mirror=mirror, subdir="linux-64").exclude(stored="")
    assert [one.stored for one in kept.order_by("id")] == came[3:]
    assert UpstreamRevision.objects.filter(mirror=mirror, subdir="linux-64").count() == 6
    assert [blobs("upstream").exists(digest) for digest in came] == [False, False, False, True, True, True]
    newest = kept.order_by("-id")[0]
    assert blobs("upstream").read_bytes(newest.stored) == (channel.folder / "linux-64" / "repodata.json.zst").read_bytes()


def test_a_second_mirror_of_the_same_upstream_downloads_nothing(
    staff: Actor, mirror: Mirror, server: UpstreamServer, channel: Upstream
) -> None:
    run(staff, mirror)
    server.requests.clear()
    second = make_mirror(staff, mirror.channel.organization, server.url, name="again", mode="filtered", filters={"include": ["tool"]})
    entry = run(staff, second)
    assert (entry.state, entry.added) == ("ok", 2), entry.reason
    assert not server.packages()
    assert set(shown(second)) == {"tool-1.0-0.conda", "tool-2.0-0.tar.bz2"}


def test_lock_mode_brings_exactly_what_the_lock_names(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, settings: Settings
) -> None:
    record = channel.records["linux-64"]["base-1.0-0.conda"]
    text = f"@EXPLICIT\n{server.url}linux-64/base-1.0-0.conda#sha256:{record['sha256']}\n"
    mirror = mirrors.create_mirror(
        actor=staff, organization=organization, name="locked", upstreams=[], settings={"mode": "lock", "lock": text}
    )
    entry = run(staff, mirror)
    assert (entry.state, entry.added) == ("ok", 1), entry.reason
    assert set(shown(mirror)) == {"base-1.0-0.conda"}


def test_the_channels_own_number_of_builds_is_kept_to_after_a_run(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    Channel.objects.filter(pk=mirror.channel_id).update(keep_builds=1)
    entry = run(staff, mirror)
    assert entry.report["retired"] == [["linux-64", "tool-1.0-0.conda"]]
    assert set(shown(mirror)) == {"base-1.0-0.conda", "tool-2.0-0.tar.bz2"}
    assert entry.revision == Channel.objects.get(pk=mirror.channel_id).head
    channel.add("base", "3.0")
    entry = run(staff, mirror)
    assert (entry.added, entry.report["retired"]) == (1, [["linux-64", "base-1.0-0.conda"]])
    # The mirror does not bring them back.
    entry = run(staff, mirror)
    assert (entry.added, entry.files, entry.report["retired"]) == (0, 0, [])
    assert set(shown(mirror)) == {"base-3.0-0.conda", "tool-2.0-0.tar.bz2"}


def test_builds_that_policy_holds_push_none_out(staff: Actor, mirror: Mirror, channel: Upstream) -> None:
    run(staff, mirror)
    Channel.objects.filter(pk=mirror.channel_id).update(keep_builds=1)
    set_policy(actor=staff, scope=Scope.of_channel(mirror.channel), rules={"cooldown": {"days": 5}})
    drain("quick")
    channel.add("base", "3.0")
    entry = run(staff, mirror)
    assert (entry.added, entry.report["retired"]) == (1, [])
    assert "base-1.0-0.conda" in shown(mirror) and "base-3.0-0.conda" not in shown(mirror)


def test_the_newest_versions_take_the_place_of_older_ones_where_they_are_dropped(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer
) -> None:
    dropping = make_mirror(staff, organization, server.url, mode="filtered", filters={"newest_versions": 1}, removed="drop")
    keeping = make_mirror(staff, organization, server.url, mode="filtered", filters={"newest_versions": 1}, name="keeps")
    assert run(staff, dropping).added == run(staff, keeping).added == 3
    channel.add("base", "3.0")
    entry = run(staff, dropping)
    assert (entry.added, entry.report["removed"]) == (1, [["linux-64", "base-1.0-0.conda"]])
    assert run(staff, keeping).kept_though_gone == 1
    assert set(shown(dropping)) == {"base-3.0-0.conda", "tool-2.0-0.tar.bz2"}
    assert set(shown(keeping)) == {"base-1.0-0.conda", "base-3.0-0.conda", "tool-2.0-0.tar.bz2"}


@pytest.mark.parametrize("mode", ["full", "lazy"])
def test_what_an_index_cannot_show_is_told_and_kept_raw(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, mode: str
) -> None:
    newer = channel.add("newer", write=False)
    record = channel.records["linux-64"].pop(newer)
    channel.info = {"channel_relations": {"base": ["https://elsewhere.example/x"]}}
    channel.extra = {"v3": {"conda": {"newer-1.0-0": record}}, "unknown": {"key": 1}}
    channel.write()
    mirror = make_mirror(staff, organization, server.url, mode=mode)
    if mode == "lazy":
        runs.enqueue_refresh(mirror)
        drain("heavy")
    else:
        run(staff, mirror)
    entry = SyncRun.objects.latest("id")
    assert entry.state == "partial"
    assert "v3" in MirrorRefusal.objects.get(subdir="linux-64", filename=newer).reason
    # Old clients take what stands among the others for something that they understand.
    assert newer not in shown(mirror) and len(shown(mirror)) == 3
    assert f"/linux-64/{newer}" not in server.packages()
    assert selectors.unshown_keys(mirror)["linux-64"] == ["info.channel_relations", "unknown"]
    raw = ChannelTarget(mirror).pinned("linux-64")
    assert raw is not None and b'"unknown"' in zstandard.decompress(raw)


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_what_policy_denies_is_left_out_where_the_mirror_says_so(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, form: str
) -> None:
    channel.forms = {form}
    for path in (channel.folder / "linux-64").glob("repodata*"):
        path.unlink()
    channel.records["linux-64"]["tool-1.0-0.conda"]["license"] = "LicenseRef-Ours"
    channel.write()
    mirror = make_mirror(staff, organization, server.url, denied="leave")
    deny = {"licenses": {"denied": ["LicenseRef-*"]}}
    set_policy(actor=staff, scope=Scope.of_channel(mirror.channel), rules=deny)
    job = runs.ask_plan(actor=staff, mirror=mirror, filters=None)
    drain("heavy")
    planned = Job.objects.get(pk=job.pk).result
    assert planned["left_out"] == {"files": 1, "reasons": {"denied by policy (licenses)": 1}} and planned["fetch"]["files"] == 3
    entry = run(staff, mirror)
    assert (entry.state, entry.added, entry.report["left_out"]) == ("ok", 3, {"denied by policy (licenses)": 1})
    assert "/linux-64/tool-1.0-0.conda" not in server.packages()
    # Once nothing denies it any more it comes, though the upstream is as it was.
    set_policy(actor=staff, scope=Scope.of_channel(mirror.channel), rules={})
    entry = run(staff, mirror)
    assert (entry.state, entry.added) == ("ok", 1) and "tool-1.0-0.conda" in shown(mirror)
    # What is here stays, hidden.
    set_policy(actor=staff, scope=Scope.of_channel(mirror.channel), rules=deny)
    drain("quick")
    assert run(staff, mirror).removed == 0 and states(mirror)["tool-1.0-0.conda"] == ["live"]
    assert "tool-1.0-0.conda" not in shown(mirror)


@pytest.mark.parametrize("form", ["shards", "json"])
@pytest.mark.parametrize("removed", ["keep", "drop"])
def test_a_record_that_moved_to_v3_is_gone_from_where_it_was(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, form: str, removed: str
) -> None:
    channel.forms = {form}
    for path in (channel.folder / "linux-64").glob("repodata*"):
        path.unlink()
    moving = "tool-1.0-0.conda"
    record = channel.records["linux-64"][moving]
    channel.extra = {"v3": {"conda": {"tool-1.0-0": record}}}
    channel.write()
    mirror = make_mirror(staff, organization, server.url, removed=removed)
    # In both it is for everybody.
    assert run(staff, mirror).state == "ok" and moving in shown(mirror)
    channel.remove(moving)
    for _ in range(2):
        entry = run(staff, mirror)
        assert entry.state == "partial" and [one[1] if isinstance(one, list) else one["filename"] for one in entry.report["refused"]] == [
            moving
        ]
        assert (moving in shown(mirror)) == (removed == "keep")
    kept = MirroredFile.objects.filter(mirror=mirror, filename=moving).values_list("role", flat=True)
    assert list(kept) == (["left"] if removed == "keep" else [])
    channel.records["linux-64"][moving] = record
    channel.extra = {}
    channel.write()
    assert run(staff, mirror).state == "ok" and moving in shown(mirror)


@pytest.mark.parametrize("removed", ["keep", "drop"])
def test_what_comes_back_comes_with_todays_metadata(
    staff: Actor, organization: Organization, channel: Upstream, server: UpstreamServer, removed: str
) -> None:
    mirror = make_mirror(staff, organization, server.url, removed=removed)
    run(staff, mirror)
    filename = "tool-1.0-0.conda"
    record = channel.records["linux-64"][filename]
    channel.remove(filename)
    run(staff, mirror)
    channel.records["linux-64"][filename] = {**record, "depends": ["base >=1,<7"]}
    channel.write()
    server.requests.clear()
    run(staff, mirror)
    assert shown(mirror)[filename]["depends"] == ["base >=1,<7"]
    assert not server.packages()
