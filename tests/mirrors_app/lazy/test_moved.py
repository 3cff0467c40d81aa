"""A proxy follows an upstream whose records name other places, fewer hashes, or the hash that another row of the file has."""

from __future__ import annotations

from typing import Any

import pytest

from channels_app.models import Channel, FileState, PackageFile
from channels_app.services.states import PURGE, change_state
from condahub.accounts.policy import Actor
from mirrors_app.models import Location, Mirror
from tests.channels_app.doors_of import ask
from tests.mirrors_app.core import upstream_server
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.lazy.conftest import MakeProxy, refresh, until

BASE, TOOL = "base-1.0-0.conda", "tool-1.0-0.conda"


def path_of(filename: str) -> str:
    return f"/channels/proxy/linux-64/{filename}"


def bytes_of(filename: str) -> bytes:
    reply = ask(path_of(filename), data=True)
    assert reply.status == 200, reply.body
    return reply.body


def record(channel: upstream_server.Channel, filename: str = BASE) -> dict[str, Any]:
    return channel.records["linux-64"][filename]


def rewrite(channel: upstream_server.Channel, forms: set[str] | None = None) -> None:
    for path in channel.folder.rglob("repodata*"):
        path.unlink()
    channel.forms = forms or channel.forms
    channel.write()


def move(channel: upstream_server.Channel, filename: str, folder: str) -> None:
    """Take a package's bytes into another folder of the upstream."""
    target = channel.folder / folder
    target.mkdir(parents=True, exist_ok=True)
    (channel.folder / "linux-64" / filename).rename(target / filename)


@pytest.mark.parametrize("forms", [{"json"}, {"json", "shards"}], ids=["json", "shards"])
def test_a_record_that_names_another_place_is_followed_though_nothing_else_changed(
    forms: set[str], make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    rewrite(channel, forms)
    mirror = make_proxy()
    refresh(mirror)
    head = Channel.objects.get().head
    wanted = (channel.folder / "linux-64" / BASE).read_bytes()
    move(channel, BASE, "elsewhere")
    record(channel)["url"] = f"{server.url}elsewhere/{BASE}"
    rewrite(channel)
    refresh(mirror)
    assert Channel.objects.get().head == head
    assert bytes_of(BASE) == wanted
    assert server.packages() == {f"/elsewhere/{BASE}": 1}
    del record(channel)["url"]
    rewrite(channel)
    refresh(mirror)
    assert not Location.objects.exists()


def test_an_index_that_names_another_folder_is_followed_for_all_that_it_does_not_place_itself(
    proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    own, other = f"{server.url}own/{TOOL}", "tool-2.0-0.tar.bz2"
    record(channel, TOOL)["url"] = own
    # By words that are relative to the index's folder.
    record(channel, other)["url"] = f"deep/{other}"
    channel.info = {"base_url": f"{server.url}second/"}
    channel.write()
    refresh(proxy)
    # One word for all of a subdir, however many they are.
    assert dict(Location.objects.values_list("file__filename", "url")) == {TOOL: own, other: f"{server.url}second/deep/{other}"}
    wanted = (channel.folder / "linux-64" / BASE).read_bytes()
    move(channel, BASE, "third")
    channel.info = {"base_url": f"{server.url}third/"}
    channel.write()
    refresh(proxy)
    assert bytes_of(BASE) == wanted and server.packages() == {f"/third/{BASE}": 1}
    channel.info = {}
    channel.write()
    refresh(proxy)
    assert dict(Location.objects.values_list("file__filename", "url")) == {TOOL: own, other: f"{server.url}linux-64/deep/{other}"}
    move(channel, other, "linux-64/deep")
    assert bytes_of(other) == (channel.folder / "linux-64" / "deep" / other).read_bytes()
    assert server.packages() == {f"/third/{BASE}": 1, f"/linux-64/deep/{other}": 1}


def test_other_bytes_that_are_known_by_md5_alone_take_the_place_of_those_that_nobody_fetched(
    make_proxy: MakeProxy, channel: upstream_server.Channel
) -> None:
    del record(channel)["sha256"]
    channel.write()
    mirror = make_proxy()
    refresh(mirror)
    channel.add("base", files={"share/other": b"other"}, write=False)
    del record(channel)["sha256"]
    channel.write()
    refresh(mirror)
    assert BASE in ask(path_of("repodata.json"), data=True).json()["packages.conda"]
    assert bytes_of(BASE) == (channel.folder / "linux-64" / BASE).read_bytes()
    assert PackageFile.objects.filter(filename=BASE).count() == 1


@pytest.mark.parametrize("fetched", [True, False])
def test_bytes_that_another_row_of_the_file_has_already_are_given_out(
    fetched: bool, make_proxy: MakeProxy, channel: upstream_server.Channel
) -> None:
    md5 = record(channel).pop("md5")
    channel.write()
    mirror = make_proxy()
    refresh(mirror)
    wanted = (channel.folder / "linux-64" / BASE).read_bytes()
    if fetched:
        assert bytes_of(BASE) == wanted
        until(lambda: PackageFile.objects.filter(blob__isnull=False).exists(), 60)
    # The upstream says md5 where it said sha256: nothing tells that these are the same bytes before they have come.
    del record(channel)["sha256"]
    record(channel)["md5"] = md5
    channel.write()
    refresh(mirror)
    assert bytes_of(BASE) == wanted
    until(lambda: PackageFile.objects.filter(blob__isnull=False).exists(), 60)
    (file,) = PackageFile.objects.filter(filename=BASE)
    assert (file.state, file.size) == (FileState.LIVE, len(wanted))
    assert Channel.objects.get().used_bytes == len(wanted)


def test_bytes_that_were_purged_do_not_come_back_under_another_hash(
    make_proxy: MakeProxy, channel: upstream_server.Channel, staff: Actor
) -> None:
    md5 = record(channel).pop("md5")
    channel.write()
    mirror = make_proxy()
    refresh(mirror)
    change_state(actor=staff, channel=mirror.channel, verb=PURGE, files=[("linux-64", BASE)], reason="a secret in it")
    del record(channel)["sha256"]
    record(channel)["md5"] = md5
    channel.write()
    refresh(mirror)
    for _ in range(2):
        assert ask(path_of(BASE), data=True).status == 410
    assert not PackageFile.objects.filter(blob__isnull=False).exists()
