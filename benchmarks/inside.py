"""Steps that run with the hub's settings, each in a process of its own so that its memory is its own; prints one line of JSON.

`python -m benchmarks.inside STEP WORD...`; the steps are the functions at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import django

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from benchmarks import big_channel, environment_rows, portal_rows  # noqa: E402
from benchmarks.packages import SUBDIR, small_packages, write_large_package  # noqa: E402
from benchmarks.processes import peak_bytes  # noqa: E402
from channels_app import doors  # noqa: E402
from channels_app.index import maps, stage2  # noqa: E402
from channels_app.index.publish import publish_alone, publish_dirty  # noqa: E402
from channels_app.models import Channel, IndexFile, PackageFile  # noqa: E402
from channels_app.services import applying, publish, virtual  # noqa: E402
from channels_app.services.channels import create_channel  # noqa: E402
from channels_app.services.policies import set_policy  # noqa: E402
from channels_app.services.scopes import Scope  # noqa: E402
from channels_app.virtual import follow  # noqa: E402
from condahub.accounts import cache  # noqa: E402
from condahub.accounts.models import ApiToken, Grant, Organization, User  # noqa: E402
from condahub.accounts.policy import Actor, Permission, Role, Visibility  # noqa: E402
from condahub.accounts.secrets import generate, hash_of, prefix_of  # noqa: E402
from condahub.jobs.models import Job  # noqa: E402
from condahub.jobs.runner import drain  # noqa: E402
from condahub.jobs.states import JobState  # noqa: E402
from condahub.ops.first_start import prepare  # noqa: E402
from condahub.storage.blobs import blobs  # noqa: E402
from condahub.wsgi_data import application  # noqa: E402
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror  # noqa: E402

ORGANIZATION = "bench"
# What anybody may read and what a grant is needed for, by the channels' names.
CHANNELS = {"public": ("bench-open", Visibility.PUBLIC), "private": ("bench-closed", Visibility.PRIVATE)}
COPY_BYTES = 1024 * 1024


def prepare_folder() -> dict[str, Any]:
    """What a first start does, and an organization."""
    prepare(demo=False)
    Organization.objects.get_or_create(name=ORGANIZATION)
    return {}


def rows(name: str, count: str) -> dict[str, Any]:
    """A channel with so many records, not yet indexed."""
    channel = _channel(name, Visibility.PUBLIC)
    return _measured(lambda: big_channel.insert(channel, int(count), subdir=SUBDIR))


def publish_channel(name: str) -> dict[str, Any]:
    """Stage 1 of all that is marked."""
    channel = Channel.objects.get(name=name)
    return _measured(lambda: publish_dirty(channel.pk))


def render(name: str, kind: str) -> dict[str, Any]:
    """One large file of the head, which is then no longer a job's to make."""
    channel = Channel.objects.get(name=name)
    subdir = "" if kind == "channeldata.json" else SUBDIR
    found = _measured(lambda: stage2.make(channel.pk, channel.head, subdir, kind))
    file = IndexFile.objects.filter(channel=channel, kind=kind).latest("pk")
    Job.objects.filter(kind=stage2.RENDER_KIND, state=JobState.WAITING).delete()
    return {**found, "content_bytes": file.content_size, "stored_bytes": file.size}


def serving(tokens: str, large_bytes: str) -> dict[str, Any]:
    """A public and a private channel with a small package, and so many tokens of a reader; a large package if its size is not 0.

    `many`: as many paths of the private channel, each a file of its own to the hub, whose bytes are the small package's.
    """
    prepare_folder()
    with tempfile.TemporaryDirectory() as folder:
        package = next(small_packages(Path(folder), "small"))
        path = Path(folder) / package.filename
        path.write_bytes(package.data)
        files = {kind: _publish(_channel(*channel), path) for kind, channel in CHANNELS.items()}
        made: dict[str, Any] = {kind: _path_of(file) for kind, file in files.items()}
        made |= {"size": len(package.data), "tokens": _tokens(int(tokens)), "many": _many(files["private"], int(tokens))}
        if int(large_bytes):
            large = Path(folder) / "large-1.0-0.conda"
            write_large_package(large, int(large_bytes))
            file = _publish(files["public"].channel, large)
            made |= {"large": _path_of(file), "large_blob": blobs().name(file.sha256)}
    return made


def queries(token: str, public: str, private: str) -> dict[str, Any]:
    """How many queries a GET costs a process: one it has just answered; with the token new to it; with everything new to it."""
    found: dict[str, int] = {}
    for kind, path in (("public", public), ("private", private)):
        for state, forget in (("cold", (doors.forget_all, cache.forget)), ("token cold", (cache.forget,)), ("hot", ())):
            for one in forget:
                one()
            found[f"{kind} {state}"] = _queries_of(path, token if kind == "private" else "")
    return found


def _queries_of(path: str, token: str) -> int:
    environ: dict[str, Any] = {"PATH_INFO": path, **({"HTTP_X_API_KEY": token} if token else {})}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    with CaptureQueriesContext(connection) as caught:
        body = application(environ, lambda status, headers: statuses.append(status))
        for _ in body:
            pass
    assert statuses == ["200 OK"], statuses
    return len(caught)


def _tokens(count: int) -> list[str]:
    reader = User.objects.create(username="reader")
    Grant.objects.create(organization=Organization.objects.get(name=ORGANIZATION), user=reader, role=Role.READER)
    secrets = [generate("user") for _ in range(count)]
    ApiToken.objects.bulk_create(
        [
            ApiToken(owner=reader, name="benchmark", hash=hash_of(one), prefix=prefix_of(one), scopes=[Permission.CHANNEL_READ.value])
            for one in secrets
        ]
    )
    return secrets


def _many(file: PackageFile, count: int) -> list[str]:
    """Rows that say of other file names what this one says of its own."""
    copies: list[PackageFile] = []
    for number in range(count):
        copy = _copy_of(file)
        copy.pk, copy.version, copy.filename = None, f"2.{number}", f"{file.name}-2.{number}-0.conda"
        copies.append(copy)
    PackageFile.objects.bulk_create(copies)
    return [_path_of(copy) for copy in copies]


def _copy_of(file: PackageFile) -> PackageFile:
    return PackageFile(**{field.attname: getattr(file, field.attname) for field in PackageFile._meta.concrete_fields})


def _path_of(file: PackageFile) -> str:
    return f"/channels/{file.channel.name}/{file.subdir}/{file.filename}"


def _channel(name: str, visibility: str) -> Channel:
    organization = Organization.objects.get(name=ORGANIZATION)
    return create_channel(actor=_administrator(), organization=organization, name=name, visibility=visibility)


def _administrator() -> Actor:
    return Actor.of(User.objects.filter(is_superuser=True).order_by("pk").first())


def _publish(channel: Channel, path: Path) -> PackageFile:
    actor = _administrator()
    with blobs().temporary() as temporary, path.open("rb") as file:
        while piece := file.read(COPY_BYTES):
            temporary.write(piece)
        permit = publish.permit_upload(actor=actor, channel_name=channel.name, filename=path.name)
        return publish.publish(actor=actor, permit=permit, uploads=[publish.Upload(path.name, temporary)])[0].file


def _measured(step: Callable[[], object]) -> dict[str, Any]:
    begun = time.monotonic()
    step()
    return {"seconds": time.monotonic() - begun, "peak_bytes": peak_bytes()}


def policy(name: str, rules: str) -> dict[str, Any]:
    """An edit of a channel's own rules, until its index shows it."""
    channel = Channel.objects.select_related("organization").get(name=name)
    changed = []

    def edit() -> None:
        set_policy(actor=_administrator(), scope=Scope.of_channel(channel), rules=json.loads(rules))
        changed.append(applying.apply(channel_id=channel.pk).changed)

    found = _measured(edit)
    Job.objects.filter(state=JobState.WAITING).delete()
    return {**found, "changed": changed[0]}


def union(name: str, lower: str) -> dict[str, Any]:
    """A virtual channel of a small channel over these two, made of nothing: until its index shows them."""
    top = _channel(f"{name}-top", Visibility.PUBLIC)
    made = _channel_of_kind(name)

    def join() -> None:
        virtual.set_members(actor=_administrator(), channel=made, members=[top.name, lower])
        follow.follow(made.pk)

    found = _measured(join)
    Job.objects.filter(state=JobState.WAITING).delete()
    return {**found, "names": sum(len(names) for names in maps.load(made.pk, Channel.objects.get(pk=made.pk).head).values())}


def union_publish(name: str, rounds: str) -> dict[str, Any]:
    """Publishing one record after the other in the lower member: until the union shows it, and what of that the union took."""
    made = Channel.objects.get(name=name)
    lower = Channel.objects.filter(virtual_memberships__virtual=made).order_by("virtual_memberships__position").last()
    assert lower is not None
    both, following, queries = [], [], []
    for number in range(int(rounds) + 1):
        big_channel.insert(lower, 1, subdir=SUBDIR, seed=1000 + number)
        begun = time.monotonic()
        publish_alone(lower.pk)
        alone = time.monotonic()
        with CaptureQueriesContext(connection) as caught:
            follow.follow(made.pk)
        both.append(time.monotonic() - begun)
        following.append(time.monotonic() - alone)
        queries.append(len(caught))
    Job.objects.filter(state=JobState.WAITING).delete()
    # The first reads the maps, as a process that has just started does.
    return {"first": following[0], "following": sorted(following[1:]), "both": sorted(both[1:]), "queries": max(queries[1:])}


def _channel_of_kind(name: str) -> Channel:
    organization = Organization.objects.get(name=ORGANIZATION)
    return virtual.create_virtual(actor=_administrator(), organization=organization, name=name, members=[], visibility=Visibility.PUBLIC)


def proxy(upstream: str, large_bytes: str) -> dict[str, Any]:
    """A lazy proxy of this upstream with its index, beside what `serving` makes."""
    made = serving("0", large_bytes)
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = ["127.0.0.0/8"]
    create_mirror(
        actor=_administrator(),
        organization=Organization.objects.get(name=ORGANIZATION),
        name="bench-proxy",
        visibility=Visibility.PUBLIC,
        upstreams=[UpstreamSpec(url=upstream)],
        settings={"mode": "lazy", "subdirs": [SUBDIR]},
    )
    drain("heavy")
    return made


def environments(channel: str, count: str, *paths: str) -> dict[str, Any]:
    """So many environments of packages of a channel; how many queries a GET of each path takes then."""
    organization = Organization.objects.get(name=ORGANIZATION)
    environment_rows.make_environments(_administrator(), organization, channel, int(count))
    return {path: environment_rows.queries_of(path) for path in paths}


def stack(name: str) -> dict[str, Any]:
    """Packages that can be solved, in a large channel."""
    return {"revision": environment_rows.add_stack(Channel.objects.get(name=name))}


def portal_channels(large: str, count: str) -> dict[str, Any]:
    """So many channels beside the large one, and two people who look at them."""
    channel = Channel.objects.get(name=large)
    big_channel.fill(channel, 1, subdir=SUBDIR, seed=1000)
    portal_rows.make_packages(channel)
    portal_rows.make_channels(int(count), Organization.objects.get(name=ORGANIZATION))
    return {}


def portal(channel: str, rounds: str, searches: str) -> dict[str, Any]:
    """How long each page and search takes here, and how many queries."""
    return portal_rows.measured(Channel.objects.get(name=channel), int(rounds), int(searches))


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "proxy": proxy,
    "prepare": prepare_folder,
    "rows": rows,
    "publish": publish_channel,
    "policy": policy,
    "union": union,
    "union-publish": union_publish,
    "render": render,
    "serving": serving,
    "queries": queries,
    "environments": environments,
    "stack": stack,
    "portal-rows": portal_channels,
    "portal": portal,
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
