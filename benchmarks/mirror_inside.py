"""Runs of a mirror in a channel of the hub, as a worker makes them, in a process of its own; prints one line of JSON.

`python -m benchmarks.mirror_inside first NAME URL` or `... again NAME RUNS`. The packages themselves do not exist: the first run
is a proxy's, which takes the index alone, and from then on the mirror counts as one that holds its bytes.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import django

django.setup(set_prefix=False)

from benchmarks.packages import SUBDIR  # noqa: E402
from benchmarks.processes import peak_bytes  # noqa: E402
from channels_app.index import maps  # noqa: E402
from channels_app.models import Channel, Revision  # noqa: E402
from condahub.accounts.models import Organization, User  # noqa: E402
from condahub.accounts.policy import Actor, Visibility  # noqa: E402
from condahub.jobs.runner import run_one  # noqa: E402
from condahub.jobs.services import enqueue  # noqa: E402
from condahub.ops.first_start import prepare  # noqa: E402
from mirrors_app.filling.publishing import decode_state  # noqa: E402
from mirrors_app.models import SYNC_KIND, Mirror, MirrorMode, MirrorSubdir, SyncRun  # noqa: E402
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror  # noqa: E402

ORGANIZATION = "bench"
LANE = "heavy"
GETS = 5


def first(name: str, url: str) -> dict[str, Any]:
    """A new mirror and its first run. shown_seconds: until the shards of the channel show all of the index; seconds: until lists and
    searches do too, and the run is told.
    """
    prepare(demo=False)
    organization, _ = Organization.objects.get_or_create(name=ORGANIZATION)
    mirror = create_mirror(
        actor=Actor.of(User.objects.filter(is_superuser=True).order_by("pk").first()),
        organization=organization,
        name=name,
        visibility=Visibility.PUBLIC,
        upstreams=[UpstreamSpec(url=url)],
        settings={"mode": "lazy", "subdirs": [SUBDIR]},
    )
    began = time.time()
    found = _measured(lambda: run_one(LANE))
    head = Revision.objects.filter(channel_id=mirror.channel_id).latest("number")
    found["shown_seconds"] = head.created_at.timestamp() - began
    Mirror.objects.filter(pk=mirror.pk).update(mode=MirrorMode.FULL)
    return {**found, "names": _names(mirror), "added": SyncRun.objects.latest("pk").added}


def again(name: str, runs: str) -> dict[str, Any]:
    """So many further runs; seconds and CPU seconds of each, and of the request that none of them can do without."""
    mirror = Mirror.objects.get(channel__name=name)
    found: dict[str, Any] = {"seconds": [], "cpu": [], "changed": []}
    for _ in range(int(runs)):
        enqueue(kind=SYNC_KIND, payload={"mirror": mirror.pk, "trigger": "schedule"}, coalesce_key=f"mirror:{mirror.pk}")
        one = _measured(lambda: run_one(LANE))
        entry = SyncRun.objects.latest("pk")
        assert entry.state == "ok", entry.reason
        found["seconds"].append(one["seconds"])
        found["cpu"].append(one["cpu"])
        found["changed"].append(entry.changed)
    return {**found, "get_seconds": min(_conditional_get(mirror) for _ in range(GETS)), "peak_bytes": peak_bytes()}


def _conditional_get(mirror: Mirror) -> float:
    """Seconds of the bare request by which a run learns that nothing has changed."""
    state = decode_state(bytes(MirrorSubdir.objects.get(mirror=mirror, subdir=SUBDIR).state))
    parts = urlsplit(state.url)
    begun = time.perf_counter()
    line = http.client.HTTPConnection(parts.netloc)
    line.request("GET", parts.path, headers={"If-None-Match": state.etag})
    answer = line.getresponse()
    answer.read()
    line.close()
    assert answer.status == 304, answer.status
    return time.perf_counter() - begun


def _names(mirror: Mirror) -> int:
    head = Channel.objects.values_list("head", flat=True).get(pk=mirror.channel_id)
    return len(maps.load(mirror.channel_id, head).get(SUBDIR, {}))


def _measured(step: Callable[[], object]) -> dict[str, Any]:
    begun, cpu = time.perf_counter(), time.process_time()
    step()
    return {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "peak_bytes": peak_bytes()}


STEPS: dict[str, Callable[..., dict[str, Any]]] = {"first": first, "again": again}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
