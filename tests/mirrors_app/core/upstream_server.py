"""A real HTTP server over a folder that is a conda channel, with a fault injector in front of it; and the maker of that folder."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zstandard
from aiohttp import web

from mirrors_app.core.index_files import Shown, render_shard, render_shard_index
from tests.makers import make_package

Fault = Callable[[web.Request, Path], Any]


class Channel:
    """A channel in a folder, written with this test's own few lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: dict[str, dict[str, dict[str, Any]]] = {"noarch": {}}
        self.forms = {"json", "zst"}
        self.info: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}

    def add(self, name: str, version: str = "1.0", *, subdir: str = "linux-64", write: bool = True, **making: Any) -> str:
        """Make a package and its record; its file name."""
        path = make_package(self.folder / subdir, name, version, subdir=subdir, **making)
        data = path.read_bytes()
        extra = making.get("extra_index") or {}
        self.records.setdefault(subdir, {})[path.name] = {
            "name": name,
            "version": version,
            "build": making.get("build", "0"),
            "build_number": making.get("build_number", 0),
            "depends": list(making.get("depends", ())),
            "subdir": subdir,
            "license": "MIT",
            "timestamp": 1_700_000_000_000,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "md5": hashlib.md5(data).hexdigest(),
            **extra,
        }
        if write:
            self.write()
        return path.name

    def remove(self, filename: str, subdir: str = "linux-64") -> None:
        del self.records[subdir][filename]
        self.write()

    def document(self, subdir: str) -> dict[str, Any]:
        records = self.records[subdir]
        return {
            "info": {"subdir": subdir, **self.info},
            "packages": {name: one for name, one in records.items() if not name.endswith(".conda")},
            "packages.conda": {name: one for name, one in records.items() if name.endswith(".conda")},
            "removed": [],
            "repodata_version": 1,
            **self.extra,
        }

    def write(self) -> None:
        for subdir, records in self.records.items():
            folder = self.folder / subdir
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.document(subdir)).encode()
            if "json" in self.forms:
                (folder / "repodata.json").write_bytes(text)
            if "zst" in self.forms:
                (folder / "repodata.json.zst").write_bytes(zstandard.compress(text))
            if "shards" in self.forms:
                self._write_shards(subdir, records)

    def _write_shards(self, subdir: str, records: dict[str, dict[str, Any]]) -> None:
        (self.folder / subdir / "shards").mkdir(exist_ok=True)
        shards = {}
        v3 = {f"{stem}.conda": one for stem, one in self.extra.get("v3", {}).get("conda", {}).items() if one["subdir"] == subdir}
        for name in {one["name"] for one in (*records.values(), *v3.values())}:
            shown = [
                Shown(filename, "packages.conda" if filename.endswith(".conda") else "packages", json.dumps(one).encode(), b"{}")
                for filename, one in sorted(records.items())
                if one["name"] == name
            ]
            shown += [Shown(filename, "v3", json.dumps(one).encode(), b"{}") for filename, one in sorted(v3.items()) if one["name"] == name]
            sha256, payload = render_shard(shown)
            shards[name] = sha256
            (self.folder / subdir / "shards" / f"{sha256.hex()}.msgpack.zst").write_bytes(payload)
        index = render_shard_index(subdir=subdir, extra_info={}, shards=shards, created_at="2026-01-01T00:00:00Z")
        (self.folder / subdir / "repodata_shards.msgpack.zst").write_bytes(index)


class UpstreamServer:
    """Serves a folder on a free port of loopback from a thread of its own, until the `with` ends.

    faults: asked first for each request; one that returns an answer has injected its fault. requests: how often each path was asked.
    """

    def __init__(self, folder: Path, faults: Iterable[Fault] = ()) -> None:
        self.folder, self.faults = folder, list(faults)
        self.requests: Counter[str] = Counter()
        self.headers: list[tuple[str, dict[str, str]]] = []
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def packages(self) -> Counter[str]:
        """Requests of package files alone."""
        return Counter({path: count for path, count in self.requests.items() if path.endswith((".conda", ".tar.bz2"))})

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        server = site._server
        assert server is not None
        self.port: int = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        self.headers.append((request.path, dict(request.headers)))
        path = self.folder / request.path.lstrip("/")
        for fault in self.faults:
            answer = fault(request, path)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer is not None:
                return answer
        if not path.is_file():
            return web.Response(status=404, text="<html>no such thing</html>", content_type="text/html")
        return web.FileResponse(path)
