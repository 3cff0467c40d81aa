"""After any sequence of upstream changes and interrupted runs, the channel equals a fresh mirror of the last revision plus what is kept."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings

from channels_app import checkups
from channels_app.index.publish import publish_dirty
from channels_app.models import Channel, PackageFile
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from mirrors_app.core.run import RunReport, sync
from mirrors_app.filling.target import ChannelTarget
from mirrors_app.models import Mirror, MirroredFile, SyncRun
from mirrors_app.services.configuring import core_config
from tests.mirrors_app.core.conftest import QUICK
from tests.mirrors_app.core.faults import Status
from tests.mirrors_app.core.test_properties import STEPS, PowerCut, is_hit
from tests.mirrors_app.core.upstream_server import Channel as Upstream
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.world import make_mirror, shown

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hub")]
SUBDIRS = ("linux-64", "noarch")
_numbers = count()


def bring(mirror: Mirror, **given: Any) -> RunReport:
    """One run as its job does it, with short waits between attempts."""
    cancelled, cut = given.pop("cancelled", lambda: False), given.pop("cut", 0)
    publish_dirty(mirror.channel_id, waiting=True)
    run = SyncRun.objects.create(mirror=mirror, started_at=timezone.now())
    target = ChannelTarget(mirror, run)
    try:
        with core_config(mirror) as config:
            used: Any = Cutting(target, cut) if cut else target
            return asyncio.run(sync(replace(config, fetch=QUICK), used, cancelled=cancelled))
    finally:
        target.close()
        run.delete()


class Cutting:
    """A channel's target whose run ends at its so-many-th statement, wherever that stands: what was committed before it stays."""

    def __init__(self, target: ChannelTarget, step: int) -> None:
        self._target, self._left = target, step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with connection.execute_wrapper(self._statement):
                return found(*args, **kwargs)

        return call if callable(found) and name not in ("temporary", "discard", "close") else found

    def _statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            raise PowerCut
        return execute(sql, params, many, context)


@pytest.mark.parametrize(("form", "removed"), [("shards", "keep"), ("zst", "drop")])
@settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_any_history_ends_as_a_fresh_mirror(form: str, removed: str, steps: list[tuple[str, Any]]) -> None:
    number = next(_numbers)
    staff = Actor.of(User.objects.get_or_create(username="it", is_staff=True, is_superuser=True)[0])
    one, other = (Organization.objects.create(name=f"{name}-{number}") for name in ("one", "other"))
    with tempfile.TemporaryDirectory() as scratch:
        upstream = Upstream(Path(scratch) / "upstream")
        upstream.forms = {form}
        upstream.records["linux-64"] = {}
        for always in SUBDIRS:
            upstream.add("always", "1", subdir=always)
        ever: dict[tuple[str, str], dict[str, Any]] = {}
        with UpstreamServer(upstream.folder) as server:
            mirror = make_mirror(staff, one, server.url, name=f"kept-{number}", removed=removed, shrink_share=1.0)
            for place, (what, where) in enumerate(steps):
                server.faults = []
                _step(upstream, server, mirror, what, where, place)
                ever |= {(subdir, name): record for subdir in SUBDIRS for name, record in shown(mirror, subdir).items()}
            server.faults = []
            report = bring(mirror)
            assert (report.status, report.refused) == ("ok", [])
            fresh = make_mirror(staff, other, server.url, name=f"fresh-{number}", removed=removed)
            bring(fresh)
    for subdir in SUBDIRS:
        wanted = shown(fresh, subdir)
        if removed == "keep":
            wanted = {name: record for (where, name), record in ever.items() if where == subdir} | wanted
        assert shown(mirror, subdir) == wanted
        live = PackageFile.objects.filter(channel=mirror.channel_id, subdir=subdir, state="live")
        assert set(live.values_list("filename", flat=True)) == set(wanted)
    _whole(mirror)


def _whole(mirror: Mirror) -> None:
    """The books agree with each other."""
    assert not [problem for problem in checkups.verify_index() if problem is not None]
    files = PackageFile.objects.filter(channel=mirror.channel_id, blob__isnull=False)
    assert Channel.objects.get(pk=mirror.channel_id).used_bytes == sum(files.values_list("size", flat=True))
    known = MirroredFile.objects.filter(mirror=mirror, role__in=("shown", "left"))
    assert set(known.values_list("file__state", flat=True)) <= {"live"}
    assert known.count() == PackageFile.objects.filter(channel=mirror.channel_id, state="live").count()


def _step(upstream: Upstream, server: UpstreamServer, mirror: Mirror, what: str, where: Any, number: int) -> None:
    if what == "add":
        name, version, subdir = where
        if f"{name}-{version}-0.conda" not in upstream.records[subdir]:
            upstream.add(name, version, subdir=subdir)
    elif what in ("remove", "hotfix"):
        name, version, subdir = where
        filename = f"{name}-{version}-0.conda"
        if filename in upstream.records[subdir]:
            if what == "remove":
                upstream.remove(filename, subdir)
            else:
                upstream.records[subdir][filename]["constrains"] = [f"x >={number}"]
                upstream.write()
    elif what == "run":
        assert bring(mirror).status == "ok"
    elif what == "cancelled":
        before = sum(server.packages().values())
        bring(mirror, cancelled=lambda: sum(server.packages().values()) - before >= where)
    elif what == "cut":
        with suppress(PowerCut):
            bring(mirror, cut=where)
    else:
        server.faults = [Status(500, lambda path: is_hit(path, where), times=0)]
        bring(mirror)
