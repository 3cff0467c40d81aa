"""Channels of tiny packages behind a small static server that looks at tokens, as the byte-serving process would."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from condahub.engine.protocol import Channel
from condahub.packages.maker import Member, dump, make_index, make_package, pack
from condahub.packages.reader import read_package
from condahub.packages.record import make_record

SUBDIRS = ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
PLACEHOLDER = "/opt/builder/root/" + "_h_env_placehold" * 14
TOKEN = "chub-job-engine-test-token"


@dataclass
class Served:
    """One channel of the server. token: what opens it, '' if nothing is needed."""

    name: str
    folder: Path
    token: str = ""
    address: str = ""

    def add(self, name: str, version: str = "1.0", **more: Any) -> Path:
        """Make a package and show it in the index."""
        path = make_package(self.folder / more.get("subdir", "noarch"), name, version, **more)
        self.index()
        return path

    def add_relocatable(
        self, name: str, files: Mapping[str, tuple[bytes, str]], *, subdir: str = "linux-64", depends: Sequence[str] = ()
    ) -> Path:
        """A package whose files hold PLACEHOLDER. files: (bytes, "text" or "binary") by path."""
        index = make_index(name=name, version="1.0", build="0", build_number=0, subdir=subdir, depends=depends, noarch=None, extra={})
        paths = [
            {
                "_path": path,
                "path_type": "hardlink",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size_in_bytes": len(data),
                "prefix_placeholder": PLACEHOLDER,
                "file_mode": mode,
            }
            for path, (data, mode) in sorted(files.items())
        ]
        info = [
            Member("info/index.json", dump(index)),
            Member("info/files", "".join(f"{path}\n" for path in sorted(files)).encode()),
            Member("info/paths.json", dump({"paths": paths, "paths_version": 1})),
        ]
        target = self.folder / subdir / f"{name}-1.0-0.conda"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pack(target.name, info, [Member(path, data, mode=0o755) for path, (data, _) in sorted(files.items())]))
        self.index()
        return target

    def index(self) -> None:
        """repodata.json of every subdir, of the packages that lie there."""
        for subdir in SUBDIRS:
            folder = self.folder / subdir
            folder.mkdir(parents=True, exist_ok=True)
            packages = {path.name: _record(path, subdir) for path in sorted(folder.glob("*.conda"))}
            (folder / "repodata.json").write_text(json.dumps({"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages}))

    def record(self, filename: str, subdir: str = "noarch") -> dict[str, Any]:
        """What the index says of a package."""
        repodata = json.loads((self.folder / subdir / "repodata.json").read_text())
        return dict(repodata["packages.conda"][filename])

    def channel(self, **more: Any) -> Channel:
        """The channel as a request names it."""
        return Channel(name=self.name, address=self.address, public_address=f"https://hub.example/channels/{self.name}", **more)


def _record(path: Path, subdir: str) -> dict[str, Any]:
    data = path.read_bytes()
    sha256, md5 = hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()
    info = read_package(path, filename=path.name)
    return make_record(info, md5=md5, sha256=sha256, size=len(data), subdir=subdir, indexed_timestamp_ms=1_700_000_000_000)


@dataclass
class Server:
    """Serves `/channels/<name>[@<revision>]/...`; seen holds (path, Authorization) of every request."""

    base: str
    folder: Path
    served: dict[str, Served] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def channel(self, name: str, *, token: str = "", folder: Path | None = None) -> Served:
        """A new channel, or one whose packages lie in `folder` already."""
        served = Served(name, folder or self.folder / name, token, f"{self.base}/channels/{name}")
        if folder is None:
            served.index()
        self.served[name] = served
        return served

    def fetched(self) -> list[str]:
        """The package files that were asked for."""
        return [path for path, _ in self.seen if path.endswith((".conda", ".tar.bz2"))]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server whose new channels lie beneath `folder`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def send_head(self) -> Any:
            path = urllib.parse.unquote(self.path.partition("?")[0])
            said = self.headers.get("Authorization", "")
            server.seen.append((path, said))
            name = path.removeprefix("/channels/").partition("/")[0].partition("@")[0]
            channel = server.served.get(name)
            if not path.startswith("/channels/") or channel is None:
                self.send_error(404)
                return None
            if channel.token and said != f"Bearer {channel.token}":
                self.send_error(401)
                return None
            return super().send_head()

        def translate_path(self, path: str) -> str:
            name, _, rest = urllib.parse.unquote(path.partition("?")[0]).removeprefix("/channels/").partition("/")
            return str(server.served[name.partition("@")[0]].folder / rest)

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}", folder)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
