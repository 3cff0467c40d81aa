"""A run brings a folder to what the upstream shows, and the next one only what changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from condahub.errors import Conflict
from mirrors_app.core import compressed, rendering, upstream
from mirrors_app.core.filters import Filters
from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.run import RunReport, plan
from tests.mirrors_app.core.conftest import config_for, served
from tests.mirrors_app.core.faults import Status, named
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

Mirror = Callable[..., RunReport]


@pytest.mark.parametrize("form", ["shards", "zst", "json"])
def test_everything_comes_and_then_nothing(form: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    for old in channel.folder.glob("*/repodata*"):
        old.unlink()
    channel.forms = {form}
    channel.write()
    report = mirror()
    assert (report.status, report.reason, report.refused) == ("ok", "", [])
    assert len(report.added) == 4
    for subdir in ("linux-64", "noarch"):
        assert served(tmp_path / "mirror", subdir) == channel.records[subdir]
    server.requests.clear()
    again = mirror()
    assert (again.status, again.added) == ("ok", [])
    assert not server.packages()
    assert not any("shards/" in path for path in server.requests)


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_a_hotfix_downloads_nothing(form: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    channel.forms = {"json", form}
    channel.write()
    mirror()
    server.requests.clear()
    channel.records["linux-64"]["tool-1.0-0.conda"]["depends"] = ["base >=1,<2"]
    channel.records["linux-64"]["tool-1.0-0.conda"]["strange"] = {"kept": [1, 2.5, None]}
    channel.write()
    report = mirror()
    assert (report.status, report.changed, report.added) == ("ok", [("linux-64", "tool-1.0-0.conda")], [])
    assert not server.packages()
    assert served(tmp_path / "mirror") == channel.records["linux-64"]


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_only_what_differs_is_looked_up(
    form: str, channel: Channel, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel.forms = {"json", form}
    channel.write()
    mirror()
    asked: list[object] = []
    known, spellings, holds = FolderTarget.known, FolderTarget.spellings, FolderTarget.holds
    monkeypatch.setattr(FolderTarget, "known", lambda self, subdir, names: asked.append(sorted(names)) or known(self, subdir, names))
    monkeypatch.setattr(FolderTarget, "spellings", lambda self, subdir: asked.append("all") or spellings(self, subdir))
    monkeypatch.setattr(FolderTarget, "holds", lambda self, records: asked.append(len(records)) or holds(self, records))
    assert (mirror().status, asked) == ("ok", [])
    channel.records["linux-64"]["base-1.0-0.conda"]["license"] = "Zlib"
    channel.write()
    report = mirror()
    assert (report.status, report.changed) == ("ok", [("linux-64", "base-1.0-0.conda")])
    assert [one for one in asked if one not in ("all", [])] == [["base"]]


def test_another_spelling_is_no_change(channel: Channel, mirror: Mirror) -> None:
    mirror()
    for subdir in channel.records:
        text = json.dumps(channel.document(subdir), indent=2, sort_keys=True).encode()
        (channel.folder / subdir / "repodata.json.zst").write_bytes(zstandard.compress(text))
    report = mirror()
    assert (report.status, report.changed, report.added, report.unchanged) == ("ok", [], [], 4)


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_removed_upstream_is_kept_or_dropped(form: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    channel.forms = {"json", form}
    channel.write()
    mirror()
    whole = dict(channel.records["linux-64"])
    channel.remove("tool-1.0-0.conda")
    kept = mirror()
    assert (kept.status, kept.kept_though_gone) == ("ok", [("linux-64", "tool-1.0-0.conda")])
    assert served(tmp_path / "mirror") == whole
    assert mirror().kept_though_gone == []
    dropped = mirror(removed="drop")
    assert (dropped.status, dropped.removed) == ("ok", [("linux-64", "tool-1.0-0.conda")])
    assert served(tmp_path / "mirror") == channel.records["linux-64"]
    assert not (tmp_path / "mirror" / "linux-64" / "tool-1.0-0.conda").exists()
    channel.records["linux-64"] = whole
    channel.write()
    assert mirror(removed="drop").added == [("linux-64", "tool-1.0-0.conda")]
    assert served(tmp_path / "mirror") == whole


def test_the_same_name_with_new_bytes_is_an_alert_and_both_are_kept(
    channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path
) -> None:
    mirror()
    old = dict(channel.records["linux-64"])
    channel.add("base", files={"share/other": b"quite other bytes"})
    new = channel.records["linux-64"]["base-1.0-0.conda"]
    report = mirror()
    alert = ("linux-64", "base-1.0-0.conda", old["base-1.0-0.conda"]["sha256"], new["sha256"])
    assert (report.status, report.replaced, report.added) == ("partial", [alert], [])
    assert served(tmp_path / "mirror") == old
    aside = tmp_path / "mirror" / ".condahub" / "aside"
    assert [path.name for path in aside.iterdir()] == [f"{new['sha256']}-base-1.0-0.conda"]
    server.requests.clear()
    followed = mirror(replaced="follow")
    assert (followed.status, followed.replaced) == ("ok", [alert])
    assert not server.packages()
    assert served(tmp_path / "mirror") == channel.records["linux-64"]
    assert hashlib.sha256((tmp_path / "mirror" / "linux-64" / "base-1.0-0.conda").read_bytes()).hexdigest() == new["sha256"]
    assert [path.name for path in aside.iterdir()] == [f"{old['base-1.0-0.conda']['sha256']}-base-1.0-0.conda"]


def test_an_upstream_without_noarch_gives_a_valid_empty_one(channel: Channel, mirror: Mirror, tmp_path: Path) -> None:
    shutil.rmtree(channel.folder / "noarch")
    assert mirror().status == "ok"
    assert served(tmp_path / "mirror", "noarch") == {}
    assert mirror().status == "ok"


def test_one_platform_alone_still_gives_a_valid_channel(mirror: Mirror, tmp_path: Path) -> None:
    assert mirror(subdirs=("linux-64",)).status == "ok"
    assert served(tmp_path / "mirror", "noarch") == {}


def test_a_wrong_address_fails(server: UpstreamServer, mirror: Mirror) -> None:
    report = mirror(upstreams=(f"{server.url}nothing/",))
    assert (report.status, report.reason) == ("failed", "The upstream has none of the subdirs that this mirror is for.")


@pytest.mark.parametrize("base", ["absolute", "../linux-64/", "./"])
def test_no_client_goes_past_the_mirror(base: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    """Locations are followed when packages are fetched, and are gone from what is served."""
    before = dict(channel.records["linux-64"])
    moved = channel.folder / "elsewhere"
    moved.mkdir()
    (channel.folder / "linux-64" / "tool-1.0-0.conda").rename(moved / "tool.bin")
    channel.records["linux-64"]["tool-1.0-0.conda"] = {**before["tool-1.0-0.conda"], "url": f"{server.url}elsewhere/tool.bin"}
    channel.info = {"base_url": f"{server.url}linux-64/" if base == "absolute" else base}
    channel.records.pop("noarch")
    channel.write()
    assert mirror(subdirs=("linux-64",)).status == "ok"
    assert served(tmp_path / "mirror") == before
    for path in (tmp_path / "mirror" / "linux-64").glob("*repodata*.json"):
        assert b"http" not in path.read_bytes()
        assert b"base_url" not in path.read_bytes()


HOSTILE = [
    *("../../etc/x-1-0.conda", "..%2fx-1-0.conda", "/abs-1-0.conda", "UPPER-1-0.conda", "x.conda"),
    *("x-1-0.exe", "a/b-1-0.conda", "x-1-0.conda\x00"),
]


def test_hostile_records_are_refused_one_by_one(channel: Channel, mirror: Mirror, tmp_path: Path) -> None:
    records = channel.records["linux-64"]
    good = dict(records)
    base = records["base-1.0-0.conda"]
    for filename in HOSTILE:
        records[filename] = dict(base)
    records["other-1.0-0.conda"] = dict(base)
    records["wrongdir-1.0-0.conda"] = {**base, "name": "wrongdir", "subdir": "win-64"}
    records["nohash-1.0-0.conda"] = {key: value for key, value in {**base, "name": "nohash"}.items() if key not in ("sha256", "md5")}
    records["odd-1.0-0.conda"] = {**base, "name": "odd", "sha256": "Z" * 64}
    records["list-1.0-0.conda"] = []  # type: ignore[assignment]
    records["inside-1.0-0.conda"] = {**base, "name": "inside", "url": "file:///etc/passwd"}
    channel.write()
    report = mirror()
    assert report.status == "partial"
    assert len(report.refused) == len(HOSTILE) + 6
    assert served(tmp_path / "mirror") == good
    assert not list(tmp_path.rglob("x-1-0*"))
    again = mirror()
    assert (again.status, again.refused) == ("partial", report.refused)


def test_a_package_that_is_another_than_its_record_says_is_refused_and_not_asked_for_again(
    channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path
) -> None:
    """The hash is right: the upstream's index itself lies about what is in the file."""
    fake = {**channel.records["linux-64"]["base-1.0-0.conda"], "name": "fake"}
    shutil.copy(channel.folder / "linux-64" / "base-1.0-0.conda", channel.folder / "linux-64" / "fake-1.0-0.conda")
    channel.records["linux-64"]["fake-1.0-0.conda"] = fake
    channel.write()
    report = mirror()
    assert (report.status, [one.filename for one in report.refused]) == ("partial", ["fake-1.0-0.conda"])
    assert "fake-1.0-0.conda" not in served(tmp_path / "mirror")
    channel.add("more")
    server.requests.clear()
    assert mirror().status == "partial"
    assert list(server.packages()) == ["/linux-64/more-1.0-0.conda"]


def test_what_another_tool_left_in_the_folder_is_used_when_it_is_right(
    channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path
) -> None:
    target = tmp_path / "mirror" / "linux-64"
    target.mkdir(parents=True)
    shutil.copy(channel.folder / "linux-64" / "base-1.0-0.conda", target)
    (target / "tool-1.0-0.conda").write_bytes(b"damaged")
    assert mirror().status == "ok"
    assert "/linux-64/base-1.0-0.conda" not in server.packages()
    assert served(tmp_path / "mirror") == channel.records["linux-64"]


def test_other_parts_of_the_index_survive(channel: Channel, mirror: Mirror, tmp_path: Path) -> None:
    newer = channel.add("newer", write=False)
    record = channel.records["linux-64"].pop(newer)
    channel.info = {"channel_relations": {"base": ["x"]}}
    channel.extra = {"v3": {"conda": {"newer-1.0-0": record}}, "unknown": {"key": 1}}
    channel.records.pop("noarch")
    channel.write()
    assert mirror(subdirs=("linux-64",)).status == "ok"
    document = json.loads((tmp_path / "mirror" / "linux-64" / "repodata.json").read_bytes())
    assert document["v3"] == channel.extra["v3"]
    assert document["unknown"] == {"key": 1}
    assert document["info"] == {"channel_relations": {"base": ["x"]}, "subdir": "linux-64"}
    # One that moves there moves here as well.
    channel.extra["v3"]["conda"]["tool-1.0-0"] = channel.records["linux-64"].pop("tool-1.0-0.conda")
    channel.write()
    assert mirror(subdirs=("linux-64",)).status == "ok"
    document = json.loads((tmp_path / "mirror" / "linux-64" / "repodata.json").read_bytes())
    assert document["v3"] == channel.extra["v3"] and "tool-1.0-0.conda" not in document["packages.conda"]


def test_the_second_upstream_helps_out(channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    with UpstreamServer(channel.folder) as second:
        server.faults = [Status(404, named("tool"), times=0)]
        assert mirror(upstreams=(server.url, second.url)).status == "ok"
        assert set(second.packages()) == {"/linux-64/tool-1.0-0.conda", "/linux-64/tool-2.0-0.tar.bz2"}
    server.faults = []
    channel.add("later")
    gone = f"http://127.0.0.1:{second.port}/"
    assert mirror(upstreams=(gone, server.url)).status == "ok"
    assert served(tmp_path / "mirror") == channel.records["linux-64"]


def test_a_dry_run_changes_nothing(channel: Channel, server: UpstreamServer, tmp_path: Path) -> None:
    with FolderTarget(tmp_path / "mirror") as target:
        found = asyncio.run(plan(config_for(server, filters=Filters(exclude=("tool 2.*",))), target))
    assert not server.packages()
    said = found.as_dict()
    assert said["fetch"]["files"] == 3
    wanted = [one for records in channel.records.values() for name, one in records.items() if name != "tool-2.0-0.tar.bz2"]
    assert said["fetch"]["bytes"] == sum(one["size"] for one in wanted)
    assert said["left_out"]["reasons"] == {"excluded by 'tool 2.*'": 1}
    assert not (tmp_path / "mirror" / "linux-64").exists()


def test_a_few_at_a_time(server: UpstreamServer, channel: Channel, mirror: Mirror, tmp_path: Path) -> None:
    assert [mirror(max_packages=2).status for _ in range(2)] == ["partial", "ok"]
    assert served(tmp_path / "mirror") == channel.records["linux-64"]


def test_two_runs_at_once_on_one_folder_are_refused(tmp_path: Path, mirror: Mirror) -> None:
    with FolderTarget(tmp_path / "mirror"), pytest.raises(Conflict):
        mirror()


def test_other_filters_decide_anew_though_nothing_changed_upstream(channel: Channel, mirror: Mirror, tmp_path: Path) -> None:
    mirror(filters=Filters(include=("base",)))
    assert list(served(tmp_path / "mirror")) == ["base-1.0-0.conda"]
    assert mirror(filters=Filters(include=("tool",)), removed="drop").status == "ok"
    assert sorted(served(tmp_path / "mirror")) == ["tool-1.0-0.conda", "tool-2.0-0.tar.bz2"]
    assert mirror(filters=Filters(include=("tool 2.*",), with_dependencies=True), removed="drop").status == "ok"
    assert sorted(served(tmp_path / "mirror")) == ["base-1.0-0.conda", "tool-2.0-0.tar.bz2"]
    assert list(served(tmp_path / "mirror", "noarch")) == ["pure-1.0-0.conda"]


def test_shards_do_not_wait_for_the_files_that_list_everything(
    channel: Channel, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies between the two leaves both whole; the next one brings them to the same again."""
    mirror()
    folder = tmp_path / "mirror" / "linux-64"
    before = (folder / "repodata.json").read_bytes()
    channel.add("late")

    def die(*_: object) -> list[object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "_render_whole", die)
        with pytest.raises(KeyboardInterrupt):
            mirror()
    assert "late" in shard_names(folder)
    assert (folder / "repodata.json").read_bytes() == before
    assert not list(folder.glob(".*"))
    mirror()
    assert served(tmp_path / "mirror") == channel.records["linux-64"]
    assert shard_names(folder) == {one["name"] for one in channel.records["linux-64"].values()}


@pytest.mark.parametrize("form", ["zst", "json"])
def test_the_text_of_a_large_index_need_not_stay_in_memory(
    form: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "PAGED_BYTES", 1)
    monkeypatch.setattr(upstream, "LET_GO_RECORDS", 1)
    for old in channel.folder.glob("*/repodata*"):
        old.unlink()
    channel.forms = {form}
    channel.write()
    assert mirror().status == "ok"
    channel.add("late")
    assert mirror().status == "ok"
    assert served(tmp_path / "mirror") == channel.records["linux-64"]


def shard_names(folder: Path) -> set[str]:
    return set(msgspec.msgpack.decode(zstandard.decompress((folder / "repodata_shards.msgpack.zst").read_bytes()))["shards"])
