"""A real hub with a channel in it, spoken to as a client does, and the means to hurt it."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import zstandard

from condahub.ops.roles import HOME
from tests.hub import RunningHub

API = "/api/hub/v1"


@dataclass
class Channel:
    """A public channel of a running hub."""

    hub: RunningHub
    name: str = "tools"

    @property
    def base(self) -> str:
        return f"{self.hub.data_url}/channels/{self.name}"

    def upload(self, path: Path, *, timeout: float = 30) -> httpx.Response:
        return httpx.post(self.upload_url(path), content=path.read_bytes(), headers=self.hub.headers, timeout=timeout)

    def upload_url(self, path: Path) -> str:
        return f"{self.hub.url}{API}/channels/{self.name}/upload/{path.name}"

    def half_upload(self, path: Path, *, share: float = 0.5) -> socket.socket:
        """A connection on which the head and a part of the body were sent."""
        data = path.read_bytes()
        client = connect(self.hub.url)
        client.sendall(self._head(path, len(data)) + data[: int(len(data) * share)])
        return client

    def _head(self, path: Path, size: int) -> bytes:
        lines = [
            f"POST {API}/channels/{self.name}/upload/{path.name} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: {self.hub.headers['Authorization']}",
            f"Content-Length: {size}",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def shown(self, subdir: str = "noarch") -> dict[str, str]:
        """filename -> sha256 of everything that the shards of the head show."""
        index = msgspec.msgpack.decode(zstandard.decompress(self._read(f"{subdir}/repodata_shards.msgpack.zst")))
        found: dict[str, str] = {}
        for sha256 in index["shards"].values():
            body = self._read(f"{subdir}/shards/{sha256.hex()}.msgpack.zst")
            assert hashlib.sha256(body).digest() == sha256
            shard = msgspec.msgpack.decode(zstandard.decompress(body))
            for section in ("packages", "packages.conda"):
                found.update({filename: record["sha256"].hex() for filename, record in shard[section].items()})
        return found

    def _read(self, path: str) -> bytes:
        response = httpx.get(f"{self.base}/{path}", timeout=20)
        assert response.status_code == 200, (path, response.status_code, response.text[:300])
        return response.content

    def recorded(self) -> set[str]:
        """The names of every file that the hub has a row of, whatever its state."""
        return {row[0] for row in self.rows("SELECT filename FROM channels_packagefile")}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the hub's own database holds, read beside it."""
        connection = sqlite3.connect(f"file:{self.hub.data / 'condahub.sqlite3'}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    @property
    def unfinished(self) -> list[Path]:
        """Bodies on their way in."""
        return sorted((self.hub.data / "store" / ".incoming").glob("*.part"))


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 80)), timeout=20)


def open_channel(hub: RunningHub) -> Channel:
    """The channel `tools` of the organization `acme`, made on that hub."""
    channel = {"organization": "acme", "name": "tools", "visibility": "public"}
    for path, body in (("organizations", {"name": "acme"}), ("channels", channel)):
        made = httpx.post(f"{hub.url}{API}/{path}", json=body, headers=hub.headers, timeout=20)
        assert made.status_code == 201, made.text
    return Channel(hub)


def run_inside(hub: RunningHub, script: str) -> str:
    """Run Python with the hub's settings and database, in a process beside it; what it printed."""
    environment = {**os.environ, **hub.environment, "DJANGO_SETTINGS_MODULE": "condahub.settings"}
    text = f"import django; django.setup()\n{script}"
    done = subprocess.run([sys.executable, "-c", text], cwd=HOME, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def job_states(channel: Channel, kind: str) -> list[str]:
    return [row[0] for row in channel.rows(f"SELECT state FROM jobs_job WHERE kind = '{kind}' ORDER BY id")]
