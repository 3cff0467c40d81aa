"""A proxy shows its upstream's index, whole and in all forms, from the last good copy; nobody who asks for it waits for a refresh."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels_app.models import Channel, FileState, PackageFile
from channels_app.services.channels import create_channel
from channels_app.services.copying import copy
from channels_app.services.states import PURGE, change_state
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import Conflict
from condahub.events.models import Event
from condahub.jobs.models import Job
from condahub.jobs.runner import drain
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.run import sync
from mirrors_app.filling.first import FirstFill
from mirrors_app.lazy.source import SOURCE
from mirrors_app.lazy.target import LazyTarget
from mirrors_app.models import Mirror, MirroredFile, SyncRun
from mirrors_app.services.configuring import core_config
from mirrors_app.services.mirrors import delete_mirror, update_mirror
from tests.channels_app.doors_of import Reply, ask
from tests.channels_app.index_states import check_variants_agree, snapshot
from tests.mirrors_app.core import faults, upstream_server
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.lazy.conftest import MakeProxy, refresh, until

REPODATA = "/channels/proxy/linux-64/repodata.json"


def _names(subdir: str = "linux-64") -> set[str]:
    document = ask(f"/channels/proxy/{subdir}/repodata.json", data=True).json()
    return {*document["packages"], *document["packages.conda"]}


def _waiting() -> int:
    return Job.objects.filter(kind="mirrors.refresh", state="waiting").count()


def _older(mirror: Mirror, seconds: float) -> None:
    Mirror.objects.filter(pk=mirror.pk).update(last_synced_at=timezone.now() - timedelta(seconds=seconds))
    SOURCE.forget_all()


def _index() -> Reply:
    return ask(REPODATA, data=True)


def test_all_of_it_is_shown_and_nothing_fetched(proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer) -> None:
    assert _names() == set(channel.records["linux-64"])
    assert _names("noarch") == set(channel.records["noarch"])
    check_variants_agree(snapshot(proxy.channel_id, 2))
    assert not server.packages()
    assert not PackageFile.objects.filter(blob__isnull=False).exists()
    found = Channel.objects.get()
    assert (found.kind, found.used_bytes, found.head) == ("proxy", 0, 2)


def test_before_there_is_an_index_clients_are_told_to_come_again(make_proxy: MakeProxy) -> None:
    mirror = make_proxy()
    reply = _index()
    assert (reply.status, reply.json()["code"], reply.headers["Retry-After"]) == (503, "index_not_ready", "5")
    assert _waiting() == 1
    refresh(mirror)
    assert _index().status == 200


def test_a_refresh_is_asked_for_once_when_it_is_due_and_nobody_waits_for_it(
    proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    assert (_index().status, _waiting()) == (200, 0)
    _older(proxy, 301)
    channel.add("fresh")
    for _ in range(5):
        assert "fresh-1.0-0.conda" not in _names()
    assert _waiting() == 1
    assert not server.requests
    refresh(proxy)
    assert "fresh-1.0-0.conda" in _names()
    assert not server.packages()


def test_while_the_upstream_is_down_the_last_good_copy_is_served_and_marked_when_it_is_stale(
    proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    assert ask("/channels/proxy/linux-64/base-1.0-0.conda", data=True).status == 200
    server.faults.append(faults.Status(500, where=lambda path: True, times=0))
    _older(proxy, 3000)
    refresh(proxy)
    assert "X-Condahub-Stale" not in _index().headers
    _older(proxy, 4000)
    for path in (REPODATA, f"{REPODATA}.zst", "/channels/proxy/linux-64/repodata_shards.msgpack.zst"):
        reply = ask(path, data=True)
        assert reply.status == 200
        assert 4000 <= int(reply.headers["X-Condahub-Stale"]) < 4100
        assert reply.headers["Warning"].startswith("110 ")
        assert ask(path, data=True, If_None_Match=reply.headers["ETag"]).headers["X-Condahub-Stale"]
    assert _names() == set(channel.records["linux-64"])
    assert ask("/channels/proxy/linux-64/base-1.0-0.conda", data=True).status == 200
    server.faults.clear()
    refresh(proxy)
    assert "X-Condahub-Stale" not in _index().headers


def test_a_trouble_that_lasts_is_told_of_once(proxy: Mirror, server: UpstreamServer) -> None:
    server.faults.append(faults.Status(500, where=lambda path: True, times=0))
    for _ in range(3):
        refresh(proxy)
    assert list(SyncRun.objects.order_by("id").values_list("state", flat=True)) == ["ok", "failed"]
    assert Event.objects.filter(type="mirror.failed").count() == 1
    server.faults.clear()
    for _ in range(3):
        refresh(proxy)
    assert list(SyncRun.objects.order_by("id").values_list("state", flat=True)) == ["ok", "failed", "ok"]


def test_what_changes_upstream_changes_here_and_what_was_fetched_stays(
    proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    path = "/channels/proxy/linux-64/base-1.0-0.conda"
    body = ask(path, data=True).body
    channel.records["linux-64"]["base-1.0-0.conda"]["license"] = "BSD"
    channel.remove("tool-1.0-0.conda")
    channel.add("later")
    refresh(proxy)
    document = _index().json()["packages.conda"]
    assert document["base-1.0-0.conda"]["license"] == "BSD"
    assert {"later-1.0-0.conda", "tool-1.0-0.conda"} <= document.keys()
    asked = sum(server.packages().values())
    assert ask(path, data=True).body == body
    assert sum(server.packages().values()) == asked


@pytest.mark.parametrize("fetched", [True, False])
def test_other_bytes_under_the_same_name_are_told_and_followed_only_where_the_old_ones_are_nowhere(
    fetched: bool, proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    path = "/channels/proxy/linux-64/base-1.0-0.conda"
    old = (channel.folder / "linux-64/base-1.0-0.conda").read_bytes()
    if fetched:
        assert ask(path, data=True).body == old
    channel.add("base", files={"share/other": b"other"})
    refresh(proxy)
    assert Event.objects.filter(type="mirror.same_name_new_bytes").count() == 1
    new = (channel.folder / "linux-64/base-1.0-0.conda").read_bytes()
    assert ask(path, data=True).body == (old if fetched else new)
    for _ in range(2):
        refresh(proxy)
    assert ask(path, data=True).body == (old if fetched else new)
    assert PackageFile.objects.filter(filename="base-1.0-0.conda", state=FileState.LIVE).count() == 1


def test_filters_apply_to_the_index(make_proxy: MakeProxy, staff: Actor, server: UpstreamServer) -> None:
    mirror = make_proxy(filters={"exclude": ["tool >=2"]})
    refresh(mirror)
    assert _names() == {"base-1.0-0.conda", "tool-1.0-0.conda"}
    assert ask("/channels/proxy/linux-64/tool-2.0-0.tar.bz2", data=True).status == 404
    assert not server.packages()


@pytest.mark.parametrize("forms", [{"json"}, {"json", "zst"}, {"json", "shards"}], ids=lambda forms: "+".join(sorted(forms)))
def test_each_form_of_an_upstreams_index_will_do(
    forms: set[str], make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    for path in channel.folder.rglob("repodata*"):
        path.unlink()
    channel.forms = forms
    channel.write()
    refresh(make_proxy())
    assert _names() == set(channel.records["linux-64"])
    assert ask("/channels/proxy/linux-64/base-1.0-0.conda", data=True).status == 200


def test_an_index_that_vanishes_is_not_followed(proxy: Mirror, channel: upstream_server.Channel) -> None:
    for path in channel.folder.rglob("repodata*"):
        path.write_text(json.dumps({"info": {}, "packages": {}, "packages.conda": {}}))
    refresh(proxy)
    assert SyncRun.objects.latest("id").state in ("held", "failed")
    assert _names() == set(channel.records["linux-64"])


def test_a_hosted_channels_doors_cost_what_they_did(proxy: Mirror) -> None:
    ask(REPODATA, data=True)
    with CaptureQueriesContext(connection) as asked:
        ask(REPODATA, data=True)
    assert len(asked) == 1
    path = "/channels/proxy/linux-64/base-1.0-0.conda"
    ask(path, data=True)
    until(lambda: PackageFile.objects.filter(blob__isnull=False).exists())
    ask(path, data=True)
    with CaptureQueriesContext(connection) as asked:
        ask(path, data=True)
    assert len(asked) == 0


def test_a_paused_proxy_serves_and_asks_nobody(proxy: Mirror, server: UpstreamServer) -> None:
    Mirror.objects.update(paused=True)
    refresh(proxy)
    assert not server.requests
    assert _index().status == 200


def test_a_proxy_that_ends_keeps_what_was_fetched_and_shows_nothing_else(proxy: Mirror, staff: Actor) -> None:
    path = "/channels/proxy/linux-64/base-1.0-0.conda"
    body = ask(path, data=True).body
    until(lambda: PackageFile.objects.filter(blob__isnull=False).exists())
    delete_mirror(actor=staff, mirror=proxy, keep_packages=True)
    assert (_names(), _names("noarch")) == ({"base-1.0-0.conda"}, set())
    assert ask(path, data=True).body == body
    assert ask("/channels/proxy/linux-64/tool-1.0-0.conda", data=True).status == 404
    assert Channel.objects.get().used_bytes == len(body)


def test_a_proxy_does_not_turn_into_a_mirror_that_holds_nothing(proxy: Mirror, staff: Actor) -> None:
    with pytest.raises(BadConfiguration):
        update_mirror(actor=staff, mirror=proxy, changes={"mode": "full"})


def test_other_settings_bring_another_index(proxy: Mirror, staff: Actor, server: UpstreamServer) -> None:
    update_mirror(actor=staff, mirror=proxy, changes={"filters": {"include": ["base"]}, "removed": "drop"})
    assert _waiting() == 1
    drain("heavy")
    assert _names() == {"base-1.0-0.conda"}


def test_what_was_not_fetched_is_not_copied_and_frees_nothing(proxy: Mirror, staff: Actor, organization: Organization) -> None:
    target = create_channel(actor=staff, organization=organization, name="kept", visibility="public")
    with pytest.raises(Conflict, match="not come"):
        copy(actor=staff, source=proxy.channel, target=target, files=[("linux-64", "base-1.0-0.conda")])
    change_state(actor=staff, channel=proxy.channel, verb=PURGE, files=[("linux-64", "base-1.0-0.conda")], reason="a test")
    assert Channel.objects.get(name="proxy").used_bytes == 0
    assert ask("/channels/proxy/linux-64/base-1.0-0.conda", data=True).status == 410


class _Killed(BaseException):
    """As a process that is gone."""


@pytest.mark.parametrize("step", ["show", "note"])
def test_a_first_run_that_is_killed_is_gone_on_with_from_what_is_there(
    make_proxy: MakeProxy, channel: upstream_server.Channel, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object) -> None:
        raise _Killed

    mirror = make_proxy()
    with monkeypatch.context() as patch, core_config(mirror) as config:
        patch.setattr(f"mirrors_app.filling.first.FirstFill.{step}", killed)
        with pytest.raises(_Killed):
            asyncio.run(sync(config, LazyTarget(mirror, check=lambda: None)))
    count = len(channel.records["linux-64"]) + len(channel.records["noarch"])
    assert PackageFile.objects.filter(state=FileState.ASIDE if step == "show" else FileState.LIVE).count() == count
    assert Channel.objects.get().head == (1 if step == "show" else 2)
    channel.records["linux-64"]["base-1.0-0.conda"]["license"] = "BSD-3-Clause"
    channel.write()
    refresh(mirror)
    assert _names() == set(channel.records["linux-64"])
    found = ask(REPODATA, data=True).json()["packages.conda"]
    assert found["base-1.0-0.conda"]["license"] == "BSD-3-Clause"
    assert PackageFile.objects.count() == MirroredFile.objects.filter(role="shown").count() == count
    check_variants_agree(snapshot(mirror.channel_id, Channel.objects.get().head))


def test_what_a_person_put_there_during_the_first_run_stands_beside_what_the_upstream_has(
    make_proxy: MakeProxy, channel: upstream_server.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = make_proxy()
    staged = FirstFill.stage

    def stage(self: FirstFill, *given: Any) -> None:
        staged(self, *given)
        twin = PackageFile.objects.get(filename="base-1.0-0.conda")
        other = {"pk": None, "filename": "base-2.0-0.conda", "version": "2.0", "state": FileState.LIVE}
        for name, value in {**other, "record": twin.record.replace('"version":"1.0"', '"version":"2.0"')}.items():
            setattr(twin, name, value)
        twin.save()

    monkeypatch.setattr(FirstFill, "stage", stage)
    refresh(mirror)
    assert _names() == {*channel.records["linux-64"], "base-2.0-0.conda"}
