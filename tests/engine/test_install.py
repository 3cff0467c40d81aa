"""Installing: whole or not at all, read-only, with nothing of this machine in it, and never with another tenant's bytes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from condahub.engine.lock import HubLock
from condahub.engine.package_cache import package_folder, trim
from condahub.engine.prefix import place, remove, variables_of
from condahub.engine.protocol import Install, LinkScript, encode_request
from condahub.engine.runner import Cancelled, EngineFailed, child_argv, child_environment, hosts_of, run
from condahub.errors import Conflict
from tests.engine.channels import PLACEHOLDER, TOKEN, Server
from tests.engine.conftest import Hub, output

pytestmark = pytest.mark.real

TEXT = f"#!/bin/sh\necho {PLACEHOLDER}/share\n".encode()
BINARY = b"\x7fELF\x00" + PLACEHOLDER.encode() + b"/share/x\x00tail\x00"


def test_an_environment_is_written_for_its_place_and_moved_there(server: Server, hub: Hub) -> None:
    team = server.channel("team", token=TOKEN)
    team.add("lib")
    team.add_relocatable("tool", {"bin/tool": (TEXT, "text"), "lib/tool.bin": (BINARY, "binary")}, depends=["lib"])
    channels = [team.channel(revision=4)]
    prefix, answer = hub.install(hub.solve(channels, "tool"), channels, "e1", specs=("tool",), variables={"MODE": "it's on"})
    assert output(prefix / "bin" / "tool") == f"{prefix}/share\n"
    assert (prefix / "lib" / "tool.bin").read_bytes() == b"\x7fELF\x00" + os.fsencode(prefix) + b"/share/x\x00" + bytes(
        len(PLACEHOLDER) - len(str(prefix))
    ) + b"tail\x00"
    assert (prefix / "share" / "lib" / "made").read_text() == "lib 1.0 0\n"
    assert answer.packages == 2 and answer.downloaded_bytes > 0
    assert variables_of(prefix) == {"MODE": "it's on"}
    assert not list(prefix.parent.glob(".staging-*"))


def test_the_records_say_where_packages_came_from_and_nothing_of_this_machine(server: Server, hub: Hub) -> None:
    team = server.channel("team", token=TOKEN)
    team.add("lib")
    channels = [team.channel(revision=4)]
    prefix, _ = hub.install(hub.solve(channels, "lib"), channels, "e1", specs=("lib >=1",))
    meta = prefix / "conda-meta"
    record = json.loads((meta / "lib-1.0-0.json").read_text())
    assert record["url"] == "https://hub.example/channels/team/noarch/lib-1.0-0.conda"
    assert record["files"] == ["share/lib/made"] and record["sha256"] == team.record("lib-1.0-0.conda")["sha256"]
    assert "# update specs: ['lib >=1']" in (meta / "history").read_text()
    for path in prefix.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for secret in (TOKEN, server.base, str(hub.folder), "hub.invalid", ".staging"):
                assert secret.encode() not in data, (path, secret)


def test_a_prefix_and_its_cache_are_read_only_and_share_their_files(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("lib")
    team.add_relocatable("tool", {"bin/tool": (TEXT, "text")})
    channels = [team.channel()]
    lock = hub.solve(channels, "lib", "tool")
    one, first = hub.install(lock, channels, "e1")
    fetched = len(server.fetched())
    two, second = hub.install(lock, channels, "e2")
    assert len(server.fetched()) == fetched and second.downloaded_bytes == 0
    for path in [one, *one.rglob("*")]:
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0, path
    shared = one / "share" / "lib" / "made"
    assert os.path.samefile(shared, two / "share" / "lib" / "made")
    cached = package_folder(next(record for record in lock.platform("linux-64").conda if record.name == "lib"), [hub.cache("one")])
    assert cached is not None and os.path.samefile(shared, cached / "share" / "lib" / "made")
    assert all(path.is_dir() or stat.S_IMODE(path.lstat().st_mode) & 0o222 == 0 for path in cached.rglob("*"))
    assert second.shared_files == first.shared_files == 1


def test_the_same_lock_gives_the_same_environment(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    for name in ("clash-a", "clash-b", "lib"):
        team.add(name, files={"share/clash": name.encode(), f"share/{name}": b"own"})
    channels = [team.channel()]
    lock = hub.solve(channels, "clash-a", "clash-b", "lib")
    trees = []
    for organization in ("one", "two"):
        prefix, _ = hub.install(lock, channels, "e1", organization=organization)
        trees.append({path.relative_to(prefix).as_posix(): path.read_bytes() for path in prefix.rglob("*") if path.is_file()})
        remove(prefix)
    assert trees[0] == trees[1] and trees[0]["share/clash"].startswith(b"clash-")


def test_packages_of_public_channels_are_shared_others_never(server: Server, hub: Hub) -> None:
    public, private = server.channel("public"), server.channel("private", token=TOKEN)
    public.add("open")
    private.add("secret")
    channels = [public.channel(public=True), private.channel()]
    lock = hub.solve(channels, "open", "secret")
    hub.install(lock, channels, "e1")
    assert [path.name.split("-")[0] for path in sorted(hub.cache("shared").glob("*.lock")) if path.name != ".cache.lock"] == ["open"]
    server.seen.clear()
    hub.install(lock, channels, "e2", organization="two")
    assert server.fetched() == ["/channels/private/noarch/secret-1.0-0.conda"]


@pytest.mark.parametrize("public", [False, True])
def test_two_organizations_never_get_each_others_bytes(server: Server, hub: Hub, public: bool) -> None:
    """Same name, version, build and file name; then with the other's hash claimed, in whatever cache they share."""
    ours, theirs = server.channel("ours", token=TOKEN), server.channel("theirs", token=TOKEN)
    ours.add("lib", files={"share/lib": b"ours"})
    theirs.add("lib", files={"share/lib": b"theirs"})
    prefixes = {}
    for organization, channel in (("one", ours), ("two", theirs)):
        channels = [channel.channel(public=public)]
        prefixes[organization], _ = hub.install(
            hub.solve(channels, "lib", organization=organization), channels, f"e-{organization}", organization=organization
        )
    assert (prefixes["one"] / "share" / "lib").read_bytes() == b"ours"
    assert (prefixes["two"] / "share" / "lib").read_bytes() == b"theirs"
    # Theirs says that it is ours: its bytes are not, so nothing is installed.
    lie = theirs.folder / "noarch" / "repodata.json"
    lie.write_text(lie.read_text().replace(theirs.record("lib-1.0-0.conda")["sha256"], ours.record("lib-1.0-0.conda")["sha256"]))
    channels = [theirs.channel(public=public)]
    lock = hub.solve(channels, "lib", organization="three")
    with pytest.raises(EngineFailed):
        hub.install(lock, channels, "e-three", organization="one")
    assert not (hub.folder / "b" / "e-three").exists()


def test_bytes_that_are_not_the_locked_ones_are_refused(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    path = team.add("lib")
    channels = [team.channel()]
    lock = hub.solve(channels, "lib")
    path.write_bytes(team.add("lib", files={"share/evil": b"evil"}).read_bytes())
    with pytest.raises(EngineFailed) as refused:
        hub.install(lock, channels, "e1")
    assert refused.value.code == "install_failed"
    assert not (hub.folder / "b" / "e1").exists()


def test_link_scripts_are_named_and_not_run(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    files = {"bin/.lib-post-link.sh": b'#!/bin/sh\ntouch "$PREFIX/ran"\n', "bin/.lib-pre-unlink.sh": b"#!/bin/sh\n"}
    team.add("lib", files=files)
    channels = [team.channel()]
    prefix, answer = hub.install(hub.solve(channels, "lib"), channels, "e1")
    assert set(answer.link_scripts) == {LinkScript("lib", name) for name in files}
    assert not (prefix / "ran").exists()


def test_nothing_is_overwritten(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("lib")
    channels = [team.channel()]
    lock = hub.solve(channels, "lib")
    prefix, _ = hub.install(lock, channels, "e1")
    inode = prefix.stat().st_ino
    request = hub.request(lock, channels, "e1")
    run(request)
    with pytest.raises(Conflict):
        place(Path(request.staging), prefix)
    assert prefix.stat().st_ino == inode and Path(request.staging).is_dir()
    with pytest.raises(EngineFailed) as refused:
        run(request)
    assert refused.value.code == "staging_exists"


def test_a_path_too_long_for_binaries_is_refused_before_anything_happens(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("lib")
    channels = [team.channel()]
    with pytest.raises(EngineFailed) as refused:
        run(hub.request(hub.solve(channels, "lib"), channels, "x" * 250))
    assert refused.value.code == "prefix_too_long"
    assert not (hub.folder / "b").exists()


def test_a_killed_install_leaves_nothing_in_place_and_the_next_one_works(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    for number in range(40):
        team.folder.joinpath("noarch").mkdir(exist_ok=True)
        team.add(f"lib{number}", files={f"share/{number}/{file}": os.urandom(2000) for file in range(40)})
    channels = [team.channel()]
    lock = hub.solve(channels, *(f"lib{number}" for number in range(40)))
    request = hub.request(lock, channels, "e1")
    for _ in range(3):
        child = subprocess.Popen(child_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(hosts_of(request)))
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(encode_request(request) + b"\n")
        child.stdin.flush()
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not Path(request.prefix).exists()
        remove(Path(request.staging))
    prefix, _ = hub.install(lock, channels, "e1")
    assert len(list(prefix.glob("share/*/*"))) == 1600
    cached = [package_folder(record, [hub.cache("one")]) for record in lock.platform("linux-64").conda]
    assert all(folder is not None and len(list(folder.glob("share/*/*"))) == 40 for folder in cached)


def test_a_cancelled_install_ends_at_once_with_all_its_processes(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("lib")
    channels = [team.channel()]
    lock = hub.solve(channels, "lib")
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(hub.request(lock, channels, "e1"), cancelled=lambda: True)
    assert time.monotonic() - started < 5
    assert not Path(hub.request(lock, channels, "e1").prefix).exists()


def test_unused_packages_can_go_and_those_in_use_stay(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    for name in ("used", "unused", "locked"):
        team.add(name)
    channels = [team.channel()]
    lock = hub.solve(channels, "used", "unused", "locked")
    gone, _ = hub.install(lock, channels, "gone")
    hub.install(hub.solve(channels, "used"), channels, "kept")
    remove(gone)
    digests = {record.name: record.sha256 for record in lock.platform("linux-64").conda}
    assert trim(hub.cache("one")) == 0
    assert trim(hub.cache("one"), keep_sha256=[digests["locked"]], unused_seconds=-1) > 0
    left = {record.name for record in lock.platform("linux-64").conda if package_folder(record, [hub.cache("one")])}
    assert left == {"used", "locked"}
    hub.install(lock, channels, "again")


def test_a_lock_for_elsewhere_or_of_other_channels_is_refused(server: Server, hub: Hub) -> None:
    team, other = server.channel("team"), server.channel("other")
    team.add("lib")
    lock = hub.solve([team.channel()], "lib")
    cases: list[tuple[Callable[[], Install], str]] = [
        (lambda: hub.request(lock, [team.channel()], "e1", platform="osx-64"), "no_such_platform"),
        (lambda: hub.request(lock, [other.channel()], "e1"), "no_such_channel"),
    ]
    for make, code in cases:
        with pytest.raises(EngineFailed) as refused:
            run(make())
        assert refused.value.code == code


def test_a_lock_survives_its_own_json(server: Server, hub: Hub) -> None:
    team = server.channel("team")
    team.add("lib", extra_index={"license": "MIT", "track_features": "a b", "constrains": ["x <1"]})
    channels = [team.channel()]
    lock = HubLock.from_bytes(hub.solve(channels, "lib").to_bytes())
    record = lock.platform("linux-64").conda[0]
    assert record.track_features == ("a", "b") and record.constrains == ("x <1",) and record.license == "MIT"
    prefix, _ = hub.install(lock, channels, "e1")
    written = json.loads((prefix / "conda-meta" / "lib-1.0-0.json").read_text())
    assert written["constrains"] == ["x <1"] and written["license"] == "MIT"
