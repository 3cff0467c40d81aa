"""Lock mode brings exactly what a lock file names, with the upstream's record or the package's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from condahub.engine.lockfiles import LockedPackage, read_lock
from condahub.errors import Unprocessable
from mirrors_app.core.run import RunReport
from tests.mirrors_app.core.conftest import served
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

Mirror = Callable[..., RunReport]


def explicit(path: Path, *lines: str) -> tuple[LockedPackage, ...]:
    path.write_text("\n".join(["# platform: linux-64", "@EXPLICIT", *lines, ""]))
    return tuple(read_lock(path))


@pytest.mark.parametrize("form", ["shards", "zst"])
def test_exactly_the_packages_of_an_explicit_file(
    form: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path
) -> None:
    channel.forms = {"json", form}
    channel.records["linux-64"]["tool-1.0-0.conda"]["depends"] = ["base >=1,<9"]
    channel.write()
    records = channel.records["linux-64"]
    lock = explicit(
        tmp_path / "explicit.txt",
        f"{server.url}linux-64/tool-1.0-0.conda#{records['tool-1.0-0.conda']['md5']}",
        f"{server.url}linux-64/base-1.0-0.conda#sha256:{records['base-1.0-0.conda']['sha256']}",
    )
    report = mirror(lock=lock, subdirs=())
    assert (report.status, len(report.added)) == ("ok", 2)
    assert served(tmp_path / "mirror") == {name: records[name] for name in ("base-1.0-0.conda", "tool-1.0-0.conda")}
    server.requests.clear()
    again = mirror(lock=lock, subdirs=())
    assert (again.status, again.added, again.changed, again.unchanged) == ("ok", [], [], 2)
    assert not server.packages()


def test_what_the_upstream_has_no_record_of_brings_its_own(
    channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path
) -> None:
    records = channel.records["linux-64"]
    digest = records["base-1.0-0.conda"]["sha256"]
    lock = explicit(tmp_path / "explicit.txt", f"{server.url}linux-64/base-1.0-0.conda#sha256:{digest}")
    for path in channel.folder.glob("*/repodata*"):
        path.unlink()
    for upstreams in ((server.url,), ()):
        folder = tmp_path / f"mirror{len(upstreams)}"
        assert mirror(folder, lock=lock, subdirs=(), upstreams=upstreams).status == "ok"
        record = served(folder)["base-1.0-0.conda"]
        assert (record["sha256"], record["build_number"], record["depends"]) == (digest, 0, [])
        assert mirror(folder, lock=lock, subdirs=(), upstreams=upstreams).unchanged == 1


def test_what_can_not_be_verified_or_is_elsewhere_stays_out(
    channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path
) -> None:
    md5 = channel.records["linux-64"]["base-1.0-0.conda"]["md5"]
    lock = explicit(
        tmp_path / "explicit.txt",
        f"{server.url}linux-64/tool-1.0-0.conda",
        f"{server.url}linux-64/base-1.0-0.conda#{'0' * 32}",
        f"https://elsewhere.example/ch/linux-64/other-1-0.conda#{md5}",
    )
    report = mirror(lock=lock, subdirs=())
    assert {one.filename for one in report.refused} == {"tool-1.0-0.conda", "base-1.0-0.conda"}
    assert dict(report.left_out) == {"it is of another channel": 1}


def test_a_later_lock_drops_what_it_does_not_name(channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    records = channel.records["linux-64"]
    names = ("base-1.0-0.conda", "tool-1.0-0.conda")
    urls = {name: f"{server.url}linux-64/{name}#sha256:{records[name]['sha256']}" for name in names}
    mirror(lock=explicit(tmp_path / "one.txt", *urls.values()), subdirs=())
    second = explicit(tmp_path / "two.txt", urls["base-1.0-0.conda"])
    assert len(mirror(lock=second, subdirs=()).kept_though_gone) == 1
    assert mirror(lock=second, subdirs=(), removed="drop").removed == [("linux-64", "tool-1.0-0.conda")]
    assert list(served(tmp_path / "mirror")) == ["base-1.0-0.conda"]


def test_lock_files_are_read(tmp_path: Path) -> None:
    url = "https://conda.example/t/secret-1/ch/linux-64/base-1.0-0.conda"
    found = explicit(tmp_path / "e.txt", f"{url}#{'AB' * 16}", f"{url}#{'ab' * 16}")
    assert found == (LockedPackage("https://conda.example/ch/linux-64/base-1.0-0.conda", "linux-64", "base-1.0-0.conda", md5="ab" * 16),)
    for text in ("@EXPLICIT\nhttps://x.example/ch/linux-64/a-1-0.conda#zzz", "version: 99", "hello", "", "@EXPLICIT\njust-a-name"):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(Unprocessable):
            read_lock(tmp_path / "bad")
    (tmp_path / "conda-lock.yml").write_text(
        "version: 1\nmetadata:\n  content_hash: {linux-64: aa}\n  channels: [{url: https://conda.example/ch, used_env_vars: []}]\n"
        "  platforms: [linux-64]\n  sources: [environment.yml]\n"
        "package:\n- name: base\n  version: '1.0'\n  manager: conda\n  platform: linux-64\n  dependencies: {}\n"
        f"  url: https://conda.example/ch/linux-64/base-1.0-0.conda\n  hash: {{md5: {'a' * 32}, sha256: {'b' * 64}}}\n"
        "  category: main\n  optional: false\n"
    )
    locked = read_lock(tmp_path / "conda-lock.yml")
    assert [(one.filename, one.sha256, one.md5) for one in locked] == [("base-1.0-0.conda", "b" * 64, "a" * 32)]
