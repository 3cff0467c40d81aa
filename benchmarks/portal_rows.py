"""Rows for measuring pages: many channels beside a large one, people who see some of them, and what each page of theirs takes."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Max
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks.big_records import FIRST_SEEN, names
from channels_app.models import Channel, ChannelName, Package, PackageFile
from condahub.accounts.models import Grant, Organization, User
from condahub.accounts.policy import Role, Visibility

ORGANIZATIONS = 50
PACKAGES_A_CHANNEL = 10
BACKEND = "django.contrib.auth.backends.ModelBackend"
PERSON, STAFF = "bench-person", "bench-staff"
_OF = "/ui/channels/{channel}"
PAGES = (
    "/ui/",
    "/ui/channels",
    "/ui/channels?sort=-changed",
    "/ui/channels?q=lib",
    "/ui/channels?page=10",
    _OF,
    f"{_OF}?q=lib",
    f"{_OF}?q=nothing-is-called-so",
    f"{_OF}?platform=linux-64",
    f"{_OF}?sort=-updated",
    f"{_OF}?sort=-files",
    f"{_OF}/packages/{{name}}",
    f"{_OF}/files/{{subdir}}/{{filename}}",
    f"{_OF}/revisions",
    f"{_OF}/revisions/{{number}}",
    f"{_OF}/members",
    f"{_OF}/policy",
    f"{_OF}/activity",
    f"{_OF}/settings",
    f"{_OF}/upload",
    "/ui/organizations",
    "/ui/{organization}",
    "/ui/{organization}/members",
    "/ui/{organization}/activity",
    "/ui/requests",
    "/ui/mirrors",
    "/ui/environments",
    "/ui/jobs",
    "/ui/inbox",
    "/ui/account",
    "/ui/account/tokens",
)
_FILES = "/admin/channels/packagefile/"
ADMIN = (
    "/admin/",
    "/admin/channels/channel/",
    "/admin/channels/channel/?q=lib",
    "/admin/channels/channel/?o=-8",
    "/admin/channels/channel/{pk}/change/",
    "/admin/channels/channelname/",
    "/admin/channels/package/",
    "/admin/channels/package/?q=lib",
    "/admin/channels/package/?channel__id__exact={pk}",
    "/admin/channels/package/?o=-5",
    _FILES,
    f"{_FILES}?p=100",
    f"{_FILES}?q={{name}}",
    f"{_FILES}?q={{filename}}",
    f"{_FILES}?q={'0' * 64}",
    f"{_FILES}?state__exact=live",
    f"{_FILES}?state__exact=yanked",
    f"{_FILES}?state__exact=purged",
    f"{_FILES}?verdict__exact=deny",
    f"{_FILES}?channel__id__exact={{pk}}",
    f"{_FILES}?channel__id__exact={{pk}}&state__exact=yanked",
    f"{_FILES}?channel__id__exact={{pk}}&state__exact=live&verdict__exact=hold",
    "/admin/channels/revision/",
    "/admin/channels/revision/?q=lib",
    "/admin/channels/indexfile/",
    "/admin/accounts/user/",
    "/admin/accounts/organization/",
    "/admin/accounts/grant/",
    "/admin/jobs/job/",
    "/admin/audit/auditevent/",
    "/admin/autocomplete/?term=lib&app_label=channels&model_name=packagefile&field_name=channel",
)


def make_channels(count: int, owner: Organization) -> None:
    """So many channels of fifty organizations, a third of them private. One person belongs to ten, and to `owner`, of the large one."""
    now = timezone.now()
    chance = random.Random(5)
    with transaction.atomic():
        person = User.objects.create(username=PERSON)
        User.objects.create(username=STAFF, is_staff=True, is_superuser=True)
        made = Organization.objects.bulk_create([Organization(name=f"team-{number}") for number in range(ORGANIZATIONS)])
        belongs = [owner, *made[:10]]
        Grant.objects.bulk_create([Grant(organization=one, user=person, role=Role.OWNER) for one in belongs])
        channels = Channel.objects.bulk_create(
            [
                Channel(
                    name=f"{word}-{number}",
                    organization=made[number % ORGANIZATIONS],
                    visibility=(Visibility.PUBLIC, Visibility.INTERNAL, Visibility.PRIVATE)[number % 3],
                    description=f"What team {number % ORGANIZATIONS} installs.",
                )
                for number, word in enumerate(names(count, 11))
            ],
            batch_size=500,
        )
        ChannelName.objects.bulk_create(
            [ChannelName(name=one.name, channel=one, organization_id=one.organization_id) for one in channels], batch_size=500
        )
        words = names(2000, 7)
        packages, files = [], []
        for channel in channels:
            for name in chance.sample(words, PACKAGES_A_CHANNEL):
                platforms = ["linux-64"]
                packages.append(
                    Package(
                        channel=channel,
                        name=name,
                        latest_version="1.0",
                        platforms=platforms,
                        files_count=1,
                        updated_at=now,
                        summary=f"About {name}",
                    )
                )
                files.append(_file(channel, name, now))
        Package.objects.bulk_create(packages, batch_size=1000)
        PackageFile.objects.bulk_create(files, batch_size=500)
    if connection.vendor == "postgresql":
        # As autovacuum does some minutes after so many rows.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def make_packages(channel: Channel) -> None:
    """What publishing keeps of each name, for a channel whose files were put straight into the database."""
    found = PackageFile.objects.filter(channel=channel).values("name", "subdir").annotate(number=Count("pk"), newest=Max("version"))
    with transaction.atomic():
        Package.objects.bulk_create(
            [
                Package(
                    channel=channel,
                    name=row["name"],
                    latest_version=row["newest"],
                    platforms=[row["subdir"]],
                    files_count=row["number"],
                    updated_at=FIRST_SEEN,
                    summary=f"What {row['name']} is for, in a sentence",
                )
                for row in found
            ],
            batch_size=1000,
        )


def _file(channel: Channel, name: str, now: Any) -> PackageFile:
    return PackageFile(
        channel=channel,
        subdir="linux-64",
        filename=f"{name}-1.0-0.conda",
        name=name,
        version="1.0",
        build="0",
        sha256=f"{channel.pk:032x}{abs(hash(name)) % 16**32:032x}",
        size=1000,
        record="{}",
        indexed_at=now,
    )


def measured(channel: Channel, rounds: int, searches: int) -> dict[str, Any]:
    """ "page" and "admin": each page by its address with `{rounds}` looks; "search": different words, whole and while typing."""
    first = PackageFile.objects.filter(channel=channel).order_by("pk").values_list("name", "subdir", "filename").first()
    assert first is not None
    values = dict(zip(("name", "subdir", "filename"), first, strict=True)) | {"channel": channel.name, "number": channel.head}
    values |= {"organization": channel.organization.name, "pk": channel.pk, "organization_pk": channel.organization_id}
    found: dict[str, Any] = {
        kind: {path: looked_at(who, path.format(**values), rounds) for path in paths}
        for kind, who, paths in (("page", PERSON, PAGES), ("admin", STAFF, ADMIN))
    }
    words = names(2 * searches, 7)[::2]
    typed = [word[: 2 + number % 4] for number, word in enumerate(words)]
    found["search"] = {
        "search for a name": looked_at_each(PERSON, [f"/ui/search?q={word}" for word in words]),
        "search for the beginning of one": looked_at_each(PERSON, [f"/ui/search?q={word}" for word in typed]),
        "search while typing": looked_at_each(PERSON, [f"/ui/search?q={word}" for word in typed], {"HX-Target": "suggestions"}),
        "search for what nobody has": looked_at_each(PERSON, [f"/ui/search?q=zq{word}" for word in words]),
    }
    return found


def looked_at(who: str, path: str, rounds: int) -> dict[str, Any]:
    """How long a page takes in a warm process: seconds of each round, the medians of the process's own CPU time and of the queries."""
    return looked_at_each(who, [path] * rounds)


def looked_at_each(who: str, paths: Sequence[str], headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The same of several addresses, once each, after the first as a warm-up."""
    client = Client(headers={"Host": "127.0.0.1", **(headers or {})})
    client.force_login(User.objects.get(username=who), backend=BACKEND)
    _read(client, paths[0])
    seconds, cpu, queries = [], [], []
    for path in paths:
        with CaptureQueriesContext(connection) as caught:
            begun, worked = time.perf_counter(), time.process_time()
            _read(client, path)
            seconds.append(time.perf_counter() - begun)
            cpu.append(time.process_time() - worked)
        # Now and then some more, for what a process remembers for seconds.
        queries.append(len(caught))
    return {"seconds": seconds, "cpu": median(cpu), "queries": median(queries)}


def _read(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    assert b"".join(answer) if answer.streaming else answer.content  # type: ignore[arg-type]
