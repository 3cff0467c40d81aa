"""A small PEP 503 index on loopback, with wheels made on the fly."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


def make_wheel(
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    scripts: Mapping[str, str] | None = None,
    record: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a wheel. scripts: entry points; record: hashes that RECORD says in place of the right ones."""
    info = f"{name}-{version}.dist-info"
    held = dict(files if files is not None else {f"{name}/__init__.py": f"VERSION = '{version}'\n".encode()})
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    held[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n{needs}".encode()
    held[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        held[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}".encode()
    said = {path: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode() for path, data in held.items()} | dict(
        record or {}
    )
    rows = "".join(f"{path},sha256={digest},{len(held.get(path, b''))}\n" for path, digest in said.items())
    held[f"{info}/RECORD"] = f"{rows}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in held.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def make_sdist(name: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """The bytes of a source distribution."""
    buffer = io.BytesIO()
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, data in {"PKG-INFO": about, **files}.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass
class Index:
    """What it offers, by project: file name -> bytes. hashes: what is promised where that is not the truth; asked: paths."""

    address: str
    projects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, version: str = "1.0", *, tag: str = "py3-none-any", data: bytes | None = None, **about: object) -> bytes:
        """Offer a wheel."""
        made = data if data is not None else make_wheel(name, version, **about)  # type: ignore[arg-type]
        self.projects.setdefault(name, {})[f"{name}-{version}-{tag}.whl"] = made
        return made

    def add_sdist(self, name: str, version: str, **files: bytes) -> bytes:
        """Offer a source distribution; files by name, `_` for `.`."""
        made = make_sdist(name, version, {path.replace("_", "."): data for path, data in files.items()})
        self.projects.setdefault(name, {})[f"{name}-{version}.tar.gz"] = made
        return made

    def page(self, project: str) -> bytes:
        links = []
        for filename, data in sorted(self.projects[project].items()):
            digest = self.hashes.get(filename, hashlib.sha256(data).hexdigest())
            links.append(f'<a href="/files/{project}/{filename}#sha256={digest}">{filename}</a>')
        return ("<!DOCTYPE html><html><body>" + "".join(links) + "</body></html>").encode()


@contextmanager
def serving_index() -> Iterator[Index]:
    """A running index, at `address` as pip is told it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            index.asked.append(self.path)
            parts = self.path.strip("/").split("/")
            body: bytes | None = None
            if parts[0] == "simple" and len(parts) == 2 and parts[1] in index.projects:
                body = index.page(parts[1])
            elif parts[0] == "files" and len(parts) == 3:
                body = index.projects.get(parts[1], {}).get(parts[2])
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", "text/html" if parts[0] == "simple" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if body is not None and self.command == "GET":
                self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index = Index(f"http://127.0.0.1:{server.server_address[1]}/simple")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
