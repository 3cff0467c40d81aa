"""Archives of platforms other than the machine's: the packages' own files, written for another path where they are unpacked."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from condahub.engine.protocol import Archive, ArchiveAnswer, Platform
from condahub.engine.runner import run
from tests.engine.channels import PLACEHOLDER, Server
from tests.engine.conftest import TIMEOUT_SECONDS, Hub

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]

ROOM = PLACEHOLDER.encode()
MACH_O = b"\xcf\xfa\xed\xfe\x0c\0\0\1" + bytes(24) + ROOM + b"/lib\0signed"
# Begins as a binary for several processors does, and as Java's classes do.
UNIVERSAL = b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(24) + ROOM + b"/lib\0signed"
JAVA = b"\xca\xfe\xba\xbe\0\0\0\x37" + bytes(24) + ROOM + b"/lib\0"
FILES = {
    "bin/native": (MACH_O, "binary"),
    "lib/both.dylib": (UNIVERSAL, "binary"),
    "lib/A.class": (JAVA, "binary"),
    "etc/native.conf": (b"root = %s\n" % ROOM, "text"),
}
TOOL = b"def main():\n    print('tool')\n"


def unpacked(server: Server, hub: Hub, subdir: str, folder: Path) -> Path:
    """An environment for `subdir` with a Python of no use here, solved, put together, packed and unpacked at `folder`."""
    served = server.channel("main")
    served.add("python", "3.11.9", subdir=subdir, files={"bin/python3.11": b"\x7f not of this machine"}, links={"bin/python": "python3.11"})
    served.add_relocatable("native", FILES, subdir=subdir)
    served.add(
        "tool", noarch="python", depends=["python"], files={"site-packages/tool/__init__.py": TOOL}, entry_points=["tool = tool:main"]
    )
    channels = [served.channel()]
    lock = hub.solve(channels, "tool", "native", platforms=(Platform(subdir=subdir),))
    request = hub.request(lock, channels, "e1", platform=subdir)
    run(request, timeout_seconds=TIMEOUT_SECONDS)
    packed = folder.with_suffix(".tar.gz")
    answer = run(
        Archive(
            name="native",
            prefix=request.staging,
            baked=request.prefix,
            targets={"tar.gz": str(packed)},
            caches=(str(hub.cache("one")), str(hub.cache("shared"))),
            workers=1,
        ),
        timeout_seconds=TIMEOUT_SECONDS,
    )
    assert isinstance(answer, ArchiveAnswer) and not answer.warnings
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="tar")
    return folder


@pytest.mark.parametrize("subdir", ["linux-aarch64", "osx-64", "osx-arm64"])
def test_an_archive_for_another_platform_is_whole(server: Server, hub: Hub, tmp_path: Path, subdir: str) -> None:
    root = unpacked(server, hub, subdir, tmp_path / "root")
    assert {path: (root / path).read_bytes() for path in FILES} == {path: data for path, (data, _) in FILES.items()}, (
        "with their signatures"
    )
    assert (root / "lib/python3.11/site-packages/tool/__init__.py").read_bytes() == TOOL
    assert (root / "bin/tool").read_text().startswith("#!/usr/bin/env python\n") and os.readlink(root / "bin/python") == "python3.11"
    assert json.loads((root / "conda-meta/native-1.0-0.json").read_text())["subdir"] == subdir
    assert not list(root.rglob("*.pyc")), "there was nothing to compile it with"
    unpack = (sys.executable, "-I", root / "bin/conda-unpack")
    subprocess.run(unpack, check=True)
    assert (root / "etc/native.conf").read_text() == f"root = {root}\n"
    assert (root / "bin/native").read_bytes() == _written(MACH_O, root) and not list(root.rglob("*.conda-unpack"))


def _written(data: bytes, root: Path) -> bytes:
    path = os.fsencode(root)
    return data.replace(ROOM + b"/lib\0", path + b"/lib\0" + bytes(len(ROOM) - len(path)))


def _script(root: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("conda_unpack", str(root / "bin/conda-unpack"))
    spec = importlib.util.spec_from_loader("conda_unpack", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_on_a_mac_what_is_changed_is_signed_before_it_is_in_its_place(
    server: Server, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Python and by Perl alike; `codesign` itself is not to be had here."""
    root = unpacked(server, hub, "osx-arm64", tmp_path / "root")
    other = tmp_path / "other"
    shutil.copytree(root, other, symlinks=True)
    signed: list[tuple[str, bytes]] = []

    def sign(argv: list[str], **more: object) -> subprocess.CompletedProcess[bytes]:
        assert argv[:4] == ["/usr/bin/codesign", "--sign", "-", "--force"]
        signed.append((os.path.relpath(argv[-1], root), Path(argv[-1]).read_bytes()))
        assert (root / "bin/native").read_bytes() == MACH_O or signed[0][0].startswith("bin/native")
        return subprocess.CompletedProcess(argv, 0, b"")

    module = _script(root)
    monkeypatch.setattr(module.sys, "platform", "darwin")
    monkeypatch.setattr(module.subprocess, "run", sign)
    monkeypatch.setattr(module.sys, "argv", ["conda-unpack"])
    module.main()
    monkeypatch.undo()
    expected = [("bin/native.conda-unpack", _written(MACH_O, root)), ("lib/both.dylib.conda-unpack", _written(UNIVERSAL, root))]
    assert sorted(signed) == expected and (root / "lib/A.class").read_bytes() == _written(JAVA, root)
    if perl := shutil.which("perl"):
        (tmp_path / "Mac.pm").write_text(
            "package Mac; use strict; use warnings;\n"
            'BEGIN { $^O = "darwin"; *CORE::GLOBAL::system = sub { print STDOUT join(" ", @_), "\\n"; return 0; }; }\n1;\n'
        )
        argv = [perl, f"-I{tmp_path}", "-MMac", "-x", str(other / "bin/conda-unpack"), "--prefix", str(root)]
        done = subprocess.run(argv, env={"CONDA_UNPACK_HERE": str(other)}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert [line.split()[-1] for line in done.stdout.splitlines()] == [f"{other}/{path}" for path, _ in expected]
        assert all((other / path).read_bytes() == (root / path).read_bytes() for path in FILES)
