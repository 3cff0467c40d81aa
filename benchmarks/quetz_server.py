"""A Quetz of its own to measure against: installed once into a cache folder, started on a fresh deployment with one key."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import big_records
from benchmarks.servers import running
from condahub.ops.supervise import any_free_port

PINS = Path(__file__).with_name("quetz.txt")
INSTALL_SECONDS = 600

_VERSION_COLUMNS = """
    id, channel_name, package_name, package_format, platform, version, build_string, build_number, version_order, filename, info,
    uploader_id, size, download_count
"""
_CONFIGURATION = """
[sqlalchemy]
database_url = "sqlite:///./quetz.sqlite"
[session]
secret = "{secret}"
https_only = false
[logging]
level = "ERROR"
[local_store]
"""


class NoQuetz(Exception):
    """Quetz could not be installed or started here; the text says what was tried."""


@dataclass(frozen=True)
class RunningQuetz:
    url: str
    key: str
    folder: Path

    def add_records(self, channel: str, count: int, *, subdir: str) -> None:
        """So many records in a channel without uploading them: its index is made of these rows alone."""
        with closing(sqlite3.connect(self.folder / "quetz.sqlite", timeout=30)) as database:
            names: dict[str, None] = {}
            versions = []
            (owner,) = database.execute("SELECT id FROM users").fetchone()
            for filename, record in big_records.records(count, subdir=subdir):
                names[record["name"]] = None
                form = "conda" if filename.endswith(".conda") else "tarbz2"
                row = (uuid.uuid4().bytes, channel, record["name"], form, subdir, record["version"], record["build"])
                versions.append((*row, record["build_number"], 0, filename, json.dumps(record), owner, record["size"], 0))
            about = json.dumps({"subdirs": [subdir], "version": "1.0", "license": "MIT", "timestamp": 1_600_000_000})
            packages = [(name, channel, about, json.dumps([subdir])) for name in names]
            database.executemany("INSERT INTO packages (name, channel_name, channeldata, platforms) VALUES (?, ?, ?, ?)", packages)
            database.executemany(f"INSERT INTO package_versions ({_VERSION_COLUMNS}) VALUES ({', '.join('?' * 14)})", versions)
            database.commit()


def installed() -> Path:
    """The folder of an environment with Quetz in it, made at the first call on this machine. Raises NoQuetz."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "condahub-benchmarks"
    tag = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache / f"quetz-{tag}"
    done = folder / "installed"
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for words in ([sys.executable, "-m", "venv", "--clear", folder], [folder / "bin" / "pip", "install", "--quiet", "--requirement", PINS]):
        tried = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if tried.returncode:
            raise NoQuetz(f"`{' '.join(str(word) for word in words)}` failed: {tried.stderr.strip()[-600:]}")
    done.touch()
    return folder


@contextmanager
def start_quetz(folder: Path) -> Iterator[RunningQuetz]:
    """A fresh deployment as its documentation starts one: one worker and its job supervisor; `key` is of a server owner."""
    home = installed()
    port, key = any_free_port(), secrets.token_hex(16)
    deployment = folder / "quetz"
    configuration = folder / "quetz.toml"
    configuration.write_text(_CONFIGURATION.format(secret=secrets.token_hex(32)))
    environment = {**os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore"}
    made = subprocess.run(
        [home / "bin" / "quetz", "create", deployment, "--copy-conf", configuration],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if made.returncode:
        raise NoQuetz(f"`quetz create` failed: {made.stderr.strip()[-600:]}")
    _add_owner(deployment, key)
    words = [str(home / "bin" / "quetz"), "start", str(deployment), "--port", str(port), "--log-level", "error"]
    with running(words, port=port, environment=environment, log=folder / "quetz.log", path="/health/live") as url:
        yield RunningQuetz(url, key, deployment)


def _add_owner(deployment: Path, key: str) -> None:
    """What signing in through an identity provider would make."""
    owner = uuid.uuid4().bytes
    with closing(sqlite3.connect(deployment / "quetz.sqlite")) as database:
        database.execute("INSERT INTO users (id, username, role) VALUES (?, 'bench', 'owner')", (owner,))
        database.execute("INSERT INTO profiles (name, avatar_url, user_id) VALUES ('Bench', '/avatar.jpg', ?)", (owner,))
        database.execute(
            "INSERT INTO api_keys (key, description, deleted, user_id, owner_id) VALUES (?, 'bench', 0, ?, ?)", (key, owner, owner)
        )
        database.commit()
