"""What the sections share: a folder, how thorough to be, and data folders that are filled once for all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from condahub.ops.roles import HOME
from tests.hub import ADMIN_PASSWORD, ADMIN_TOKEN

QUICK_RECORDS = 30_000
MOST_RECORDS = 600_000
# channeldata.json is of the channel, the others are of a subdir.
LARGE_FILES = ("repodata.json", "run_exports.json", "current_repodata.json", "channeldata.json")
INSIDE_SECONDS = 900


@dataclass
class Workshop:
    """quick: smaller, shorter, fewer rounds; what has a target at full size is then only shown. database_url: '' for SQLite; postgres:
    sections that can measure on a PostgreSQL of their own do.
    """

    folder: Path
    quick: bool
    database_url: str = ""
    postgres: bool = False
    _big: dict[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many records the channels have."""
        return (100, 10_000, self.most)

    @property
    def most(self) -> int:
        return QUICK_RECORDS if self.quick else MOST_RECORDS

    @property
    def rounds(self) -> int:
        """How often peers are measured in turn; the median counts."""
        return 3 if self.quick else 5

    @property
    def round_seconds(self) -> float:
        return 1.0 if self.quick else 2.0

    def say(self, text: str) -> None:
        """Tell the person who waits what happens."""
        print(f"   ... {text}", file=sys.stderr, flush=True)

    def environment(self, data: Path) -> dict[str, str]:
        """What a process of the hub on this data folder is given."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "PORT", "DJANGO_"))}
        return {
            **inherited,
            "DJANGO_SETTINGS_MODULE": "condahub.settings",
            "CONDAHUB_DATA": str(data),
            "CONDAHUB_ADMIN_TOKEN": ADMIN_TOKEN,
            "CONDAHUB_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "CONDAHUB_DEMO": "0",
            "CONDAHUB_LOG_LEVEL": "WARNING",
            "CONDAHUB_ACCESS_LOG": "0",
            **({"CONDAHUB_DATABASE_URL": self.database_url} if self.database_url else {}),
        }

    def inside(self, data: Path, *words: str) -> dict[str, Any]:
        """Run one step of benchmarks.inside on a data folder, in a process of its own; what it found."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.inside", *words],
            cwd=HOME,
            env=self.environment(data),
            stdout=subprocess.PIPE,
            check=True,
            timeout=INSIDE_SECONDS,
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def fill(self) -> Path:
        """A data folder with a channel of each size, named by `channel_of`, filled and indexed; at the first call."""
        data = self.folder / "big"
        if not self._big:
            self._big = {"prepare": self.inside(data, "prepare")}
            for count in self.sizes:
                self.say(f"making a channel of {count:,} records")
                rows = self.inside(data, "rows", channel_of(count), str(count))
                self._big[channel_of(count)] = {"rows": rows, "publish": self.inside(data, "publish", channel_of(count))}
                for kind in LARGE_FILES if count > self.sizes[0] else ():
                    self._big[channel_of(count)][kind] = self.inside(data, "render", channel_of(count), kind)
        return data

    def largest(self) -> Path:
        """A data folder with the largest channel, whose large files need not be rendered: that of `fill` where it is there by now."""
        if self._big:
            return self.fill()
        data, count = self.folder / "largest", self.most
        if not data.exists():
            self.inside(data, "prepare")
            self.say(f"making a channel of {count:,} records")
            self.inside(data, "rows", channel_of(count), str(count))
            self.inside(data, "publish", channel_of(count))
        return data

    def found_while_filling(self, count: int) -> dict[str, Any]:
        """seconds and peak_bytes of the steps "rows", "publish", and of each large file, of the channel of that size."""
        self.fill()
        found: dict[str, Any] = self._big[channel_of(count)]
        return found


def channel_of(count: int) -> str:
    return f"of-{count}"
