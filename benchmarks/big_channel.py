"""Makes a channel of many records straight in the database: names, versions and dependencies as a large public channel has them."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from django.db import connection, transaction

from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, FileState, PackageFile

RECORDS_A_NAME = 24
CHUNK_ROWS = 5000
FIRST_SEEN = datetime(2026, 1, 1, tzinfo=UTC)
LICENSES = ("MIT", "BSD-3-Clause", "Apache-2.0", "GPL-3.0-or-later", "LGPL-2.1-only", "MPL-2.0")
PYTHONS = ("310", "311", "312", "313")

# Past Django's objects: they cost more than the rows.
_FIELDS = [field for field in PackageFile._meta.concrete_fields if not field.primary_key]
_COLUMNS = [field.column for field in _FIELDS]
_INSERT = f"INSERT INTO {PackageFile._meta.db_table} ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"
_FIRST_SEEN_VALUE = str(PackageFile._meta.get_field("indexed_at").get_db_prep_save(FIRST_SEEN, connection))


def names(count: int, seed: int = 7) -> list[str]:
    """`count` different package names, the same for the same seed."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        word = "".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9)))
        made[chance.choice(("", "", "py", "lib", "r-", "perl-", "ros-")) + word + chance.choice(("", "", "-core", "-dev", "2", "_ext"))] = (
            None
        )
    return list(made)


def records(count: int, *, subdir: str, seed: int = 7) -> Iterator[tuple[str, dict[str, Any]]]:
    """(filename, record) for `count` packages of a subdir, grouped by name."""
    chance = random.Random(seed)
    # By name, as an index lists them: neighbours of the database's trees come together.
    known = sorted(names(max(count // RECORDS_A_NAME, 1), seed))
    made = 0
    while made < count:
        name = known[(made // RECORDS_A_NAME) % len(known)]
        lap, place = divmod(made, RECORDS_A_NAME * len(known))
        version = f"{1 + place % RECORDS_A_NAME // 8}.{place % RECORDS_A_NAME // 4}.{lap}"
        python = PYTHONS[place % 4]
        build_number = chance.randint(0, 3)
        build = f"py{python}h{chance.getrandbits(28):07x}_{build_number}"
        extension = ".tar.bz2" if place % RECORDS_A_NAME < 4 else ".conda"
        needs = chance.sample(known, k=min(len(known), chance.randint(1, 7)))
        yield (
            f"{name}-{version}-{build}{extension}",
            {
                "arch": "x86_64",
                "build": build,
                "build_number": build_number,
                "constrains": [f"{chance.choice(known)} >=1.0"] if place % 5 == 0 else [],
                "depends": [f"{need} >=1.{chance.randint(0, 3)},<4.0a0" for need in needs] + [f"python >=3.{python[1:]}"],
                "license": chance.choice(LICENSES),
                "license_family": "OTHER",
                "md5": f"{chance.getrandbits(128):032x}",
                "name": name,
                "platform": "linux",
                "sha256": hashlib.sha256(f"{seed}/{subdir}/{made}".encode()).hexdigest(),
                "size": chance.randint(5_000, 5_000_000),
                "subdir": subdir,
                "timestamp": 1_600_000_000_000 + made * 1000,
                "version": version,
                "indexed_timestamp": int(FIRST_SEEN.timestamp() * 1000),
            },
        )
        made += 1


def fill(channel: Channel, count: int, *, subdir: str = "linux-64", seed: int = 7) -> int:
    """Put `count` records into a channel (no bytes behind them) and publish them as one revision; its number."""
    insert(channel, count, subdir=subdir, seed=seed)
    return publish_dirty(channel.pk)


def insert(channel: Channel, count: int, *, subdir: str = "linux-64", seed: int = 7) -> None:
    """The rows of `count` records, recorded and marked, as an ingest leaves them for the index."""
    keys: set[tuple[str, str]] = set()
    found = records(count, subdir=subdir, seed=seed)
    while chunk := list(islice(found, CHUNK_ROWS)):
        rows = [_row(channel.pk, subdir, filename, record) for filename, record in chunk]
        keys.update((subdir, record["name"]) for _, record in chunk)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
    with transaction.atomic():
        Channel.objects.select_for_update().get(pk=channel.pk)
        mark_dirty(channel.pk, keys, cause=f"{count} records generated")


def _row(channel_id: int, subdir: str, filename: str, record: dict[str, Any]) -> list[Any]:
    given = {
        **dict.fromkeys(("reason", "patch"), ""),
        **dict.fromkeys(("run_exports", "about"), "{}"),
        **{key: record[key] for key in ("name", "version", "build", "build_number", "sha256", "md5", "size")},
        "channel_id": channel_id,
        "subdir": subdir,
        "filename": filename,
        "state": FileState.LIVE.value,
        "record": orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode(),
        "revoked": False,
        "indexed_at": _FIRST_SEEN_VALUE,
        "changed_at": _FIRST_SEEN_VALUE,
        "uploaded_by": "benchmark",
    }
    return [given.get(column) for column in _COLUMNS]
