"""What is published is in every variant of the index, at once and for ever."""

from __future__ import annotations

import bz2
import json

import msgspec
import pytest
import zstandard
from django.test import Client

from channels_app.models import Channel, PackageFile, Revision
from condahub.errors import Conflict
from tests.channels_app.conftest import Publisher

pytestmark = pytest.mark.django_db(transaction=True)


def read(client: Client, path: str) -> bytes:
    response = client.get(path)
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content) if response.streaming else response.content


def shard_of(client: Client, base: str, name: str) -> dict:
    index = msgspec.msgpack.decode(zstandard.decompress(read(client, f"{base}/repodata_shards.msgpack.zst")))
    return msgspec.msgpack.decode(zstandard.decompress(read(client, f"{base}/shards/{index['shards'][name].hex()}.msgpack.zst")))


def test_a_new_channel_has_a_valid_empty_index_for_every_subdir(client: Client, channel: Channel) -> None:
    for subdir in ("noarch", "linux-64", "win-arm64"):
        repodata = json.loads(read(client, f"/channels/tools/{subdir}/repodata.json"))
        assert repodata["packages"] == repodata["packages.conda"] == {}
        assert repodata["info"] == {"subdir": subdir}
        read(client, f"/channels/tools/{subdir}/repodata_shards.msgpack.zst")


def test_a_published_package_is_in_every_variant(client: Client, channel: Channel, push: Publisher) -> None:
    done = push(channel, name="demo", version="1.0", run_exports={"weak": ["demo >=1"]})
    assert done.created and done.revision == 2
    base = "/get/tools/noarch"
    plain = json.loads(read(client, f"{base}/repodata.json"))
    record = plain["packages.conda"]["demo-1.0-0.conda"]
    assert record["sha256"] == done.file.sha256 and record["size"] == done.file.size
    assert json.loads(zstandard.decompress(read(client, f"{base}/repodata.json.zst"))) == plain
    assert json.loads(bz2.decompress(read(client, f"{base}/repodata.json.bz2"))) == plain
    assert json.loads(read(client, f"{base}/current_repodata.json"))["packages.conda"] == plain["packages.conda"]
    exports = json.loads(read(client, f"{base}/run_exports.json"))
    assert exports["packages.conda"]["demo-1.0-0.conda"] == {"run_exports": {"weak": ["demo >=1"]}}
    sharded = shard_of(client, base, "demo")["packages.conda"]["demo-1.0-0.conda"]
    assert sharded["sha256"] == bytes.fromhex(done.file.sha256) and sharded["run_exports"] == {"weak": ["demo >=1"]}
    assert json.loads(read(client, "/get/tools/channeldata.json"))["packages"]["demo"]["version"] == "1.0"
    assert read(client, f"{base}/demo-1.0-0.conda")[:2] == b"PK"


def test_the_same_bytes_again_succeed_quietly(channel: Channel, push: Publisher) -> None:
    first = push(channel, name="demo")
    again = push(channel, name="demo")
    assert not again.created and again.file.pk == first.file.pk
    assert Revision.objects.filter(channel=channel).count() == 2


def test_other_bytes_under_the_same_name_are_refused_and_change_nothing(client: Client, channel: Channel, push: Publisher) -> None:
    first = push(channel, name="demo")
    with pytest.raises(Conflict) as refused:
        push(channel, name="demo", files={"share/demo": b"other"})
    assert refused.value.status == 409
    assert PackageFile.objects.get(channel=channel).sha256 == first.file.sha256
    assert len(read(client, "/get/tools/noarch/demo-1.0-0.conda")) == first.file.size
