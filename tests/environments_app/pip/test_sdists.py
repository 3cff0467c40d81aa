"""Source distributions: refused unless IT allows them; then built without a network, of what is locked, once for an organization."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from condahub.engine.lock import HubLock
from condahub.engine.prefix import remove
from condahub.engine.protocol import Channel, Platform
from condahub.engine.runner import run
from environments_app.pip.protocol import BuiltWheel, Fetched, Resolved, SourceBuilds
from tests.engine.channels import PLACEHOLDER, Server, serving
from tests.engine.conftest import Hub
from tests.engine.cpython import add_python
from tests.environments_app.pip.index import Index, make_wheel, serving_index
from tests.environments_app.pip.test_wheels import Asked
from tests.parts import require_sandbox

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]

# A build backend (PEP 517) of one file: the wheel says what the build could reach.
BACKEND = b"""
import base64, hashlib, os, socket, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    about = open("PKG-INFO").read()
    name, version = (about.split(f"\\n{key}: ")[1].split("\\n")[0] for key in ("Name", "Version"))
    said = open("setup.txt").read().format(**{"name": name})
    if said.startswith("fail"):
        raise SystemExit(said)
    host, port, secret = said.split()
    try:
        open(secret + ".written", "w").close()
    except OSError:
        pass
    try:
        socket.create_connection((host, int(port)), 5)
        reached = "network"
    except OSError:
        reached = "secret" if os.path.exists(secret) else "nothing"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"REACHED = {reached!r}\\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    lines = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}")
    files[f"{info}/RECORD"] = "\\n".join([*lines, f"{info}/RECORD,,", ""])
    filename = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
    return filename
"""
PROJECT = b'[build-system]\nrequires = ["backend >=1"]\nbuild-backend = "backend"\n'


@pytest.fixture(autouse=True)
def works() -> None:
    require_sandbox()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        add_python(running.channel("main"), PLACEHOLDER)
        yield running


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    return Hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def lock(room: Hub, server: Server) -> HubLock:
    channels: list[Channel] = [server.served["main"].channel()]
    return room.solve(channels, "python", platforms=(Platform(subdir="linux-64"),))


@pytest.fixture(scope="module")
def linked(room: Hub, server: Server, lock: HubLock) -> Iterator[Path]:
    request = room.request(lock, [server.served["main"].channel()], "p1")
    run(request, timeout_seconds=60)
    yield Path(request.staging)
    remove(Path(request.staging))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with serving_index() as running:
        running.add("backend", data=make_wheel("backend", files={"backend.py": BACKEND}))
        yield running


@pytest.fixture
def asked(tmp_path: Path, index: Index, lock: HubLock, linked: Path) -> Asked:
    return Asked(tmp_path, index, lock, linked)


def offer(index: Index, folder: Path, name: str, version: str = "1.0") -> bytes:
    """A source distribution whose build tries to reach the index, and a file of the hub's."""
    secret = folder / "secret-key"
    secret.write_text("the hub's")
    host, port = index.address.removeprefix("http://").partition("/")[0].split(":")
    return index.add_sdist(name, version, pyproject_toml=PROJECT, setup_txt=f"{host} {port} {secret}".encode())


def sources(room: Hub, **more: Any) -> SourceBuilds:
    return SourceBuilds(prefix=str(room.folder / "b" / "p1"), seconds=120, memory_bytes=2**31, **more)


def built(answer: Resolved) -> Fetched:
    return next(one for one in answer.wheels if one.sdist)


def test_it_is_built_without_a_network_and_the_lock_says_of_what(asked: Asked, room: Hub, tmp_path: Path) -> None:
    data = offer(asked.index, tmp_path, "src")
    refused = asked.refusal("src")
    assert refused["code"] == "wheels_only" and not any("src-1.0" in path for path in asked.index.asked)
    answer = asked.resolved("src", sources=sources(room))
    record = next(one for one in answer.lock.platform("linux-64").pypi if one.name == "src")
    assert (record.sdist, record.sdist_sha256) == ("src-1.0.tar.gz", hashlib.sha256(data).hexdigest())
    wheel = built(answer)
    assert record.sha256 == wheel.sha256 == hashlib.sha256(Path(wheel.path).read_bytes()).hexdigest()
    backend = hashlib.sha256(asked.index.projects["backend"]["backend-1.0-py3-none-any.whl"]).hexdigest()
    assert wheel.built_with == (f"backend-1.0-py3-none-any.whl sha256:{backend}",)
    assert {one.name for one in answer.wheels} == {"src"}, "what building took is in no environment"
    with zipfile.ZipFile(wheel.path) as archive:
        assert archive.read("src.py") == b"REACHED = 'nothing'\n"
    assert not list(tmp_path.glob("*.written")), "nowhere but in the sandbox did its code run"
    # The same source once more, for the same organization: nothing is built.
    kept = shutil.copyfile(wheel.path, tmp_path / "kept.whl")
    known = BuiltWheel(filename=wheel.filename, sdist_sha256=wheel.sdist_sha256, path=str(kept), built_with=wheel.built_with)
    asked.index.projects.pop("backend")
    again = asked.resolved("src", sources=sources(room, known=(known,)))
    assert again.lock == answer.lock and built(again).built_with == wheel.built_with


def test_an_older_one_is_built_where_the_newest_does_not_go_with_the_rest(asked: Asked, room: Hub, tmp_path: Path) -> None:
    for version in ("0.9", "1.0"):
        offer(asked.index, tmp_path, "src", version)
    asked.index.add("needs", requires=["src <1.0"])
    answer = asked.resolved("needs", sources=sources(room))
    assert {(one.name, one.version) for one in answer.lock.platform("linux-64").pypi} == {("needs", "1.0"), ("src", "0.9")}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"pyproject_toml": PROJECT, "setup_txt": b"fail because of this"}, "exit status"),
        ({"pyproject_toml": PROJECT.replace(b"backend >=1", b"nowhere >=1")}, "for want of what that takes"),
        ({"pyproject_toml": PROJECT.replace(b"backend >=1", b"backend @ https://example.org/b.whl")}, "from an address of its own"),
        ({"pyproject_toml": b"[build-system\n"}, "it can't be read"),
    ],
    ids=["fails", "wants what is not there", "wants an address", "nonsense"],
)
def test_what_can_not_be_built_is_refused_with_the_reason(asked: Asked, room: Hub, files: dict[str, bytes], says: str) -> None:
    asked.index.add_sdist("src", "1.0", **files)
    refused = asked.refusal("src", sources=sources(room))
    assert refused["detail"].startswith("src-1.0.tar.gz can't be built") and says in refused["detail"]
    if says == "exit status":
        assert "fail because of this" in refused["hint"]


def test_bytes_that_the_index_does_not_promise_are_not_built(asked: Asked, room: Hub, tmp_path: Path) -> None:
    offer(asked.index, tmp_path, "src")
    asked.index.hashes["src-1.0.tar.gz"] = "0" * 64
    assert asked.refusal("src", sources=sources(room))["code"] == "hash_mismatch"
