"""Whatever an upstream does wrong, a run ends with the right state, says so, and the next one mends what can be mended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mirrors_app.core.run import RunReport
from tests.mirrors_app.core.conftest import served
from tests.mirrors_app.core.faults import CarelessDropped, Dropped, Html, Short, Status, WrongBytes, is_package, named
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

Mirror = Callable[..., RunReport]


def shows_all(folder: Path, channel: Channel) -> bool:
    return all(served(folder, subdir) == channel.records[subdir] for subdir in channel.records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.mark.parametrize("fault", [Status(500), Status(503, retry_after="0"), Status(429), WrongBytes(), Short(), Html(), Dropped()])
def test_what_passes_is_asked_again_and_comes(
    fault: Callable[..., object], server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path
) -> None:
    server.faults = [fault]
    report = mirror()
    assert (report.status, report.refused) == ("ok", [])
    assert shows_all(folder, channel)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Status(500, named("tool-1"), times=0), "4 attempts"),
        (Status(404, named("tool-1"), times=0), "not there"),
        (Status(403, named("tool-1"), times=0), "refused"),
        (WrongBytes(named("tool-1"), times=0), "sha256"),
        (Short(named("tool-1"), times=0), "bytes"),
        (Html(named("tool-1"), times=0), "bytes"),
    ],
)
def test_one_bad_package_never_stops_the_rest(
    fault: Callable[..., object], says: str, server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path
) -> None:
    server.faults = [fault]
    report = mirror()
    assert report.status == "partial"
    assert [one.filename for one in report.refused] == ["tool-1.0-0.conda"]
    assert says in report.refused[0].reason
    assert served(folder) == {name: one for name, one in channel.records["linux-64"].items() if name != "tool-1.0-0.conda"}
    assert not (folder / "linux-64" / "tool-1.0-0.conda").exists()
    server.faults = []
    server.requests.clear()
    assert mirror().status == "ok"
    assert list(server.packages()) == ["/linux-64/tool-1.0-0.conda"]
    assert shows_all(folder, channel)


def test_retry_after_is_waited_for_by_all(server: UpstreamServer, mirror: Mirror, folder: Path, channel: Channel) -> None:
    server.faults = [Status(429, named("base"), retry_after="1")]
    started = time.monotonic()
    assert mirror(fetch_connections_per_host=1).status == "ok"
    assert time.monotonic() - started >= 1
    assert shows_all(folder, channel)


def test_a_broken_connection_goes_on_where_it_broke(server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path) -> None:
    name = channel.add("large", files={"share/large": os.urandom(300_000)})
    fault = Dropped(named("large"))
    server.faults = [fault]
    report = mirror()
    assert report.status == "ok"
    assert shows_all(folder, channel)
    (wanted, condition) = fault.ranges[0]
    assert condition == '"one"'
    assert 0 < int(wanted.removeprefix("bytes=").rstrip("-")) < channel.records["linux-64"][name]["size"]


@pytest.mark.parametrize("kind", [Dropped, CarelessDropped])
def test_a_file_that_changed_between_two_parts_starts_over(
    kind: type[Dropped], server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path
) -> None:
    channel.add("large", files={"share/large": os.urandom(300_000)})
    server.faults = [kind(named("large"), etag=lambda part: '"one"' if part == 0 else '"two"')]
    assert mirror().status == "ok"
    assert shows_all(folder, channel)


@pytest.mark.parametrize("where", [named("repodata"), named("repodata.json.zst")])
def test_a_web_page_in_place_of_the_index(
    where: Callable[[str], bool], server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path
) -> None:
    mirror()
    before = served(folder)
    channel.add("later")
    server.faults = [Html(where, times=0)]
    report = mirror()
    if report.status == "held":
        assert [one.verdict for one in report.held] == ["not_an_index", "not_an_index"]
        assert served(folder) == before
        server.faults = []
        report = mirror()
    assert report.status == "ok"
    assert shows_all(folder, channel)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"error": "down"}', b'{"packages": 3}', b'{"packages": {"a-1-0.conda"', b"\xff\xfe", b"null"]
)
def test_what_is_no_index_is_held(body: bytes, server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path) -> None:
    mirror()
    before = served(folder)
    (channel.folder / "linux-64" / "repodata.json.zst").unlink()
    (channel.folder / "linux-64" / "repodata.json").write_bytes(body)
    report = mirror()
    assert report.status == "held"
    assert [(one.subdir, one.verdict) for one in report.held] == [("linux-64", "not_an_index")]
    assert served(folder) == before


@pytest.mark.parametrize("form", ["zst", "shards"])
def test_an_index_that_shrinks_or_is_empty_is_held_until_approved(form: str, channel: Channel, mirror: Mirror, folder: Path) -> None:
    channel.forms = {"json", form}
    channel.write()
    mirror()
    before = served(folder)
    whole = dict(channel.records["linux-64"])
    for verdict, left in (("shrunken", ["base-1.0-0.conda"]), ("empty", [])):
        channel.records["linux-64"] = {name: whole[name] for name in left}
        channel.write()
        report = mirror()
        assert (report.status, [one.verdict for one in report.held]) == ("held", [verdict])
        assert served(folder) == before
    approved = mirror(approved=frozenset({report.held[0].approval}), removed="drop")
    assert approved.status == "ok"
    assert served(folder) == {}
    assert not list((folder / "linux-64").glob("*.conda"))


def test_a_subdir_that_is_gone_is_held(channel: Channel, mirror: Mirror, folder: Path) -> None:
    mirror()
    before = served(folder)
    for path in (channel.folder / "linux-64").glob("repodata*"):
        path.unlink()
    report = mirror()
    assert (report.status, report.held[0].verdict) == ("held", "missing")
    assert served(folder) == before


def test_an_upstream_that_is_down_changes_nothing(server: UpstreamServer, mirror: Mirror, folder: Path) -> None:
    mirror()
    before = served(folder)
    server.faults = [Status(500, lambda path: True, times=0)]
    report = mirror()
    assert report.status == "failed"
    assert "500" in report.reason
    assert served(folder) == before


def test_an_upstream_of_which_no_package_comes_fails(server: UpstreamServer, mirror: Mirror) -> None:
    server.faults = [Status(404, times=0)]
    assert mirror().status == "failed"


def test_an_index_that_changes_in_the_middle_is_noticed_and_followed(
    server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path
) -> None:
    """While the first packages come, the upstream takes one away and publishes another: the run ends with the later state."""
    changed = threading.Event()

    def change(request: object, path: Path) -> None:
        if is_package(str(path)) and not changed.is_set():
            changed.set()
            channel.add("newcomer", write=False)
            (channel.folder / "linux-64" / "tool-1.0-0.conda").unlink()
            del channel.records["linux-64"]["tool-1.0-0.conda"]
            channel.write()

    server.faults = [change]
    report = mirror(fetch_connections_per_host=1)
    assert report.status == "ok"
    assert shows_all(folder, channel)


def test_a_shard_that_is_not_what_the_index_promised(server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path) -> None:
    channel.forms = {"json", "shards"}
    channel.write()
    bad = next(path for path in (channel.folder / "linux-64" / "shards").iterdir())
    good = bad.read_bytes()
    other = next(path for path in (channel.folder / "linux-64" / "shards").iterdir() if path != bad)
    bad.write_bytes(other.read_bytes())
    report = mirror()
    assert report.status == "partial"
    assert "promised" in report.refused[0].reason
    assert len({one["name"] for one in served(folder).values()}) == 1
    bad.write_bytes(good)
    assert mirror().status == "ok"
    assert shows_all(folder, channel)


def test_a_host_that_is_down_is_not_asked_for_ever(server: UpstreamServer, channel: Channel, mirror: Mirror) -> None:
    for number in range(60):
        channel.add(f"many{number}", write=False)
    channel.write()
    server.faults = [Status(500, times=0)]
    report = mirror(fetch_breaker_failures=5, fetch_breaker_seconds=0.1, fetch_breaker_trips=1, fetch_connections_per_host=4)
    assert report.status == "failed"
    assert sum(server.packages().values()) < 40


def test_a_run_that_is_cancelled_keeps_what_came(server: UpstreamServer, channel: Channel, mirror: Mirror, folder: Path) -> None:
    report = mirror(cancelled=lambda: sum(server.packages().values()) >= 2, fetch_connections_per_host=1)
    assert report.status == "failed"
    assert "cancelled" in report.reason
    server.requests.clear()
    assert mirror().status == "ok"
    assert 0 < sum(server.packages().values()) < 4
    assert shows_all(folder, channel)
