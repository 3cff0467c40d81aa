"""A mirror in a hub, an upstream that it is filled from, and the shortest ways to run it and to see what it shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from channels_app import doors
from channels_app.index import maps
from channels_app.index.render import zstd_decompress
from channels_app.models import Channel, PackageFile, Shard
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.jobs.models import Job
from condahub.jobs.runner import drain
from mirrors_app.models import Mirror, SyncRun
from mirrors_app.services import mirrors, runs
from mirrors_app.services.mirrors import UpstreamSpec

LOOPBACK = ["127.0.0.0/8"]
SUBDIRS = ["linux-64", "noarch"]


def make_mirror(actor: Actor, organization: Organization, *urls: str, name: str = "conda-inside", **settings: Any) -> Mirror:
    visibility = settings.pop("visibility", "private")
    return mirrors.create_mirror(
        actor=actor,
        organization=organization,
        name=name,
        upstreams=[UpstreamSpec(url=url) for url in urls],
        settings={"subdirs": SUBDIRS, **settings},
        visibility=visibility,
    )


def run(actor: Actor, mirror: Mirror) -> SyncRun:
    """Ask for a run and have it done; its entry in the history."""
    job = runs.run_now(actor=actor, mirror=mirror)
    drain("heavy")
    drain("quick")
    return SyncRun.objects.get(job=job)


def job_of(entry: SyncRun) -> Job:
    assert entry.job_id is not None
    return Job.objects.get(pk=entry.job_id)


def shown(mirror: Mirror, subdir: str = "linux-64") -> dict[str, dict[str, Any]]:
    """filename -> record, as the shards of the head have it."""
    channel = Channel.objects.get(pk=mirror.channel_id)
    found: dict[str, dict[str, Any]] = {}
    for name, sha256 in maps.load(channel.pk, channel.head).get(subdir, {}).items():
        row = Shard.objects.get(channel=channel, subdir=subdir, name=name, sha256=sha256)
        shard = msgspec.msgpack.decode(zstd_decompress(bytes(row.payload)))
        for section in ("packages", "packages.conda"):
            for filename, record in shard[section].items():
                plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in record.items()}
                # A field of shards (CEP-16), out of the package.
                plain.pop("run_exports", None)
                found[filename] = plain
    return found


def downloadable(mirror: Mirror, filename: str, subdir: str = "linux-64") -> str | None:
    """The sha256 of what the plain URL gives."""
    doors.forget_all()
    door = doors.door(mirror.channel.name, fresh=True)
    assert door is not None
    file = doors.served_file(door, subdir, filename)
    return file.sha256 if file is not None else None


def states(mirror: Mirror) -> dict[str, list[str]]:
    """filename -> states of all its rows, sorted."""
    found: dict[str, list[str]] = {}
    for filename, state in PackageFile.objects.filter(channel_id=mirror.channel_id).values_list("filename", "state"):
        found.setdefault(filename, []).append(str(state))
    return {filename: sorted(several) for filename, several in found.items()}


def expected(records: dict[str, dict[str, Any]], keys: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """An upstream's records as a mirror shows them: without locations."""
    dropped = {"url", "fn", "channel", "base_url", "run_exports"}
    return {filename: {key: value for key, value in one.items() if key not in dropped} for filename, one in records.items()}
