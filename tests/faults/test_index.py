"""The worker is killed while it makes a large channel's index: readers keep the last one until the next is whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import zstandard

from condahub.packages.maker import make_package
from tests.faults.hurt import job_states, open_channel, run_inside
from tests.hub import RunningHub

pytestmark = pytest.mark.real
RECORDS = 40_000
FILL = f"""
from benchmarks.big_channel import fill
from channels_app.models import Channel
print(fill(Channel.objects.get(name="tools"), {RECORDS}))
"""


def test_a_worker_killed_in_the_middle_of_a_render_is_not_noticed_by_readers(
    start_a_hub: Callable[..., RunningHub], tmp_path: Path, eventually: Callable[..., object]
) -> None:
    hub = start_a_hub()
    channel = open_channel(hub)
    url = f"{channel.base}/linux-64/repodata.json.zst"

    def revision() -> int:
        answer = httpx.get(url, timeout=20)
        assert answer.status_code == 200
        return int(answer.headers["X-Condahub-Revision"])

    filled = int(run_inside(hub, FILL))
    # The jobs that it asked for have made all three files and channeldata.json.
    eventually(lambda: len(channel.rows("SELECT 1 FROM channels_indexfile")) == 4)
    assert revision() == filled
    before = httpx.get(url, timeout=20).content
    done = channel.upload(make_package(tmp_path, "latecomer", subdir="linux-64"))
    assert done.status_code == 201 and done.json()["revision"] == filled + 1
    assert "latecomer-1.0-0.conda" in channel.recorded()
    eventually(lambda: "running" in job_states(channel, "channels.render"))
    time.sleep(0.1)
    killed = hub.kill("quick")
    assert "running" in job_states(channel, "channels.render"), "it was killed in the middle"
    answer = httpx.get(url, timeout=20)
    assert answer.status_code == 200 and answer.content == before
    assert answer.headers["X-Condahub-Revision"] == str(filled)
    eventually(lambda: hub.pids()["quick"] != killed)
    eventually(lambda: revision() == filled + 1)
    whole = zstandard.ZstdDecompressor().decompress(httpx.get(url, timeout=20).content, max_output_size=10**9)
    assert b'"latecomer-1.0-0.conda":' in whole and whole.endswith(b'"repodata_version":1}')
    assert whole.count(b'"indexed_timestamp":') == RECORDS + 1
