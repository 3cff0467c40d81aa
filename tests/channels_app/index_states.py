"""What a channel's index says at a revision, read in every variant; and what its rows alone say it should be."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import zstandard

from channels_app import doors
from channels_app.index import answers, maps
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, PackageFile
from channels_app.services.channels import create_channel
from condahub.accounts.policy import Actor
from condahub.jobs.runner import drain
from condahub.storage.blobs import blobs

SUBDIRS = ("linux-64", "noarch", "win-64")
FILES = ("repodata.json", "run_exports.json", "current_repodata.json")
Snapshot = dict[str, bytes]


def forget_everything() -> None:
    """As in a process that has just started."""
    doors.forget_all()
    maps.forget_all()
    answers.forget_all()


def read(channel_id: int, number: int, subdir: str, filename: str, *, is_head: bool = False) -> bytes | None:
    """The bytes that a client would get."""
    found = answers.answer(channel_id, number, subdir, filename, is_head=is_head)
    if found is None:
        return None
    body = found.body if found.body is not None else blobs("index").read_bytes(found.sha256)
    assert len(body) == found.size
    return body


def snapshot(channel_id: int, number: int) -> Snapshot:
    """Every file of a revision, by its path, shards too. Jobs that a .bz2 needs are run on the way."""
    found: Snapshot = {}
    paths = [(subdir, filename) for subdir in SUBDIRS for filename in FILES] + [("", "channeldata.json")]
    for subdir, filename in paths:
        for ending in ("", ".zst", ".bz2"):
            body = read(channel_id, number, subdir, filename + ending)
            if body is None:
                assert ending == ".bz2", "only a large .bz2 may be missing at first"
                drain("heavy")
                body = read(channel_id, number, subdir, filename + ending)
            assert body is not None
            found[f"{subdir}/{filename}{ending}"] = body
    for subdir in SUBDIRS:
        index = read(channel_id, number, subdir, answers.SHARD_INDEX)
        assert index is not None
        found[f"{subdir}/{answers.SHARD_INDEX}"] = index
        for sha256 in _packed(index)["shards"].values():
            shard = answers.shard(channel_id, subdir, sha256.hex())
            assert shard is not None
            found[f"{subdir}/shards/{sha256.hex()}"] = shard
    return found


def _packed(data: bytes) -> Any:
    return msgspec.msgpack.decode(zstandard.decompress(data))


def check_variants_agree(shown: Snapshot) -> None:
    """The files of one revision say the same, whichever a client reads."""
    for path, body in shown.items():
        if path.endswith(".json"):
            assert zstandard.decompress(shown[f"{path}.zst"]) == body, path
            assert bz2.decompress(shown[f"{path}.bz2"]) == body, path
    for subdir in SUBDIRS:
        _check_subdir(shown, subdir)
    channeldata = orjson.loads(shown["/channeldata.json"])
    named: dict[str, set[str]] = {}
    for subdir in SUBDIRS:
        for record in _records(orjson.loads(shown[f"{subdir}/repodata.json"])).values():
            named.setdefault(record["name"], set()).add(subdir)
    assert {name: set(entry["subdirs"]) for name, entry in channeldata["packages"].items()} == named


def _check_subdir(shown: Snapshot, subdir: str) -> None:
    whole = orjson.loads(shown[f"{subdir}/repodata.json"])
    assert whole["info"]["subdir"] == subdir and list(whole["removed"]) == sorted(whole["removed"])
    exports = orjson.loads(shown[f"{subdir}/run_exports.json"])
    union: dict[str, Any] = {"packages": {}, "packages.conda": {}}
    seen_exports: dict[str, Any] = {"packages": {}, "packages.conda": {}}
    removed: list[str] = []
    index = _packed(shown[f"{subdir}/{answers.SHARD_INDEX}"])
    for name, sha256 in index["shards"].items():
        shard = _packed(shown[f"{subdir}/shards/{sha256.hex()}"])
        removed += shard["removed"]
        for section in union:
            for filename, packed in shard[section].items():
                record = {key: value.hex() if isinstance(value, bytes) else value for key, value in packed.items()}
                assert record["name"] == name
                seen_exports[section][filename] = {"run_exports": record.pop("run_exports")}
                union[section][filename] = record
    assert union == {section: whole[section] for section in union}
    assert sorted(removed) == whole["removed"]
    assert seen_exports == {section: exports[section] for section in union}
    _check_current(whole, orjson.loads(shown[f"{subdir}/current_repodata.json"]))


def _records(repodata: dict[str, Any]) -> dict[str, Any]:
    return {**repodata["packages"], **repodata["packages.conda"]}


def _check_current(whole: dict[str, Any], current: dict[str, Any]) -> None:
    """current_repodata.json is a part of repodata.json that holds the latest of each name and what those need."""
    everything, chosen = _records(whole), _records(current)
    assert chosen.items() <= everything.items()
    for record in everything.values():
        same_name = [one for one in everything.values() if one["name"] == record["name"]]
        newest = max(float(one["version"]) for one in same_name)
        assert any(one["name"] == record["name"] and float(one["version"]) == newest for one in chosen.values())
    for record in chosen.values():
        for need in record["depends"]:
            if any(_satisfies(one, need) for one in everything.values()):
                assert any(_satisfies(one, need) for one in chosen.values()), (need, sorted(chosen))


def _satisfies(record: dict[str, Any], need: str) -> bool:
    """Of the few forms that these tests write: `name`, `name <2`, `name<2`, `name ==1.0`."""
    name = need.split(" ")[0].split("<")[0].split("=")[0]
    if record["name"] != name:
        return False
    if "<" in need:
        return float(record["version"]) < float(need.split("<")[1])
    return "==" not in need or record["version"] == need.split("==")[1]


def check_is_what_the_rows_say(channel: Channel, shown: Snapshot) -> None:
    """An oracle of a few lines: live rows are shown with their hotfix over them, yanked and deleted names are removed."""
    for subdir in SUBDIRS:
        expected: dict[str, Any] = {"packages": {}, "packages.conda": {}}
        gone, live = set(), set()
        for row in PackageFile.objects.filter(channel=channel, subdir=subdir):
            if row.state == "live":
                record = orjson.loads(row.record) | (orjson.loads(row.patch) if row.patch else {})
                record = {key: value for key, value in record.items() if value is not None or key not in orjson.loads(row.patch or "{}")}
                if row.revoked:
                    record |= {"revoked": True, "depends": [*record.get("depends", []), "package_has_been_revoked"]}
                expected["packages.conda" if row.is_conda else "packages"][row.filename] = record
                live.add(row.filename)
            elif row.state in ("yanked", "deleted"):
                gone.add(row.filename)
        whole = orjson.loads(shown[f"{subdir}/repodata.json"])
        assert {key: whole[key] for key in expected} == expected
        assert whole["removed"] == sorted(gone - live)


def rebuilt(actor: Actor, channel: Channel, name: str) -> Channel:
    """A channel made from nothing but the other's rows, in one revision."""
    twin = create_channel(actor=actor, organization=channel.organization, name=name)
    rows = list(PackageFile.objects.filter(channel=channel).order_by("-pk"))
    for row in rows:
        row.pk, row.channel = None, twin
    PackageFile.objects.bulk_create(rows)
    mark_dirty(twin.pk, {(row.subdir, row.name) for row in rows})
    publish_dirty(twin.pk)
    return twin


def without_times(shown: Snapshot) -> dict[str, Any]:
    """The same with the one time that is the revision's own taken out."""
    found: dict[str, Any] = dict(shown)
    for path in list(found):
        if path.endswith(answers.SHARD_INDEX):
            found[path] = _packed(found[path])
            del found[path]["info"]["created_at"]
    return found


def uncompressed(shown: Snapshot) -> Iterator[tuple[str, bytes]]:
    """What "bit for bit" is promised of: uncompressed files, and shards."""
    return ((path, body) for path, body in shown.items() if path.endswith(".json") or "/shards/" in path)
