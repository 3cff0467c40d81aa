"""Records as a large public channel has them: names, versions and dependencies, the same for the same seed."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

RECORDS_A_NAME = 24
FIRST_SEEN = datetime(2026, 1, 1, tzinfo=UTC)
LICENSES = ("MIT", "BSD-3-Clause", "Apache-2.0", "GPL-3.0-or-later", "LGPL-2.1-only", "MPL-2.0")
PYTHONS = ("310", "311", "312", "313")


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
