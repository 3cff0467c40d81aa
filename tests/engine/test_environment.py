"""A whole environment with a real Python: solved, installed, compiled, packed, and running wherever it is unpacked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from condahub.engine.confine import confinement
from condahub.engine.lock import HubLock
from condahub.engine.package_cache import package_folder
from condahub.engine.prefix import find_text, place, remove, seal
from condahub.engine.protocol import Archive, ArchiveAnswer, Channel, Compile, CompileAnswer, Platform, Solve, SolveAnswer
from condahub.engine.runner import EngineFailed, run
from tests.engine.channels import PLACEHOLDER, Server, serving
from tests.engine.conftest import TIMEOUT_SECONDS, Hub, output
from tests.engine.cpython import SHORT, VERSION, add_python

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]

needs_confinement = pytest.mark.skipif(
    confinement(readable=[], writable=[]) is None, reason="this kernel has no Landlock to hold the environment's python with"
)


@pytest.fixture(scope="module")
def python_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("served")) as server:
        add_python(server.channel("main"), PLACEHOLDER)
        yield server


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    for prefix in (hub.folder / "b").glob("*"):
        remove(prefix)


@pytest.fixture(scope="module")
def channels(python_server: Server) -> list[Channel]:
    return [python_server.served["main"].channel()]


@pytest.fixture(scope="module")
def lock(room: Hub, channels: list[Channel]) -> HubLock:
    return room.solve(channels, "tool", "where")


def build(room: Hub, lock: HubLock, channels: list[Channel], key: str, *, workers: int = 1) -> Path:
    """Install, compile, seal, place."""
    request = room.request(lock, channels, key, variables={"GREETING": 'it\'s "on" $HOME'})
    run(request, timeout_seconds=TIMEOUT_SECONDS)
    answer = run(Compile(prefix=request.staging, workers=workers), timeout_seconds=180)
    assert isinstance(answer, CompileAnswer)
    assert answer.compiled > 100 or answer.skipped
    assert find_text(Path(request.staging), os.fsencode(request.staging)) == []
    seal(Path(request.staging))
    place(Path(request.staging), Path(request.prefix))
    return Path(request.prefix)


@pytest.fixture(scope="module")
def prefix(room: Hub, lock: HubLock, channels: list[Channel]) -> Path:
    return build(room, lock, channels, "e1")


def archive_request(prefix: Path, room: Hub, folder: Path, *formats: str, baked: Path | None = None) -> Archive:
    folder.mkdir(parents=True, exist_ok=True)
    targets = {kind: str(folder / f"env.{kind}") for kind in formats or ("tar.gz", "tar.zst", "sh")}
    return Archive(
        name="my env", prefix=str(prefix), baked=str(baked or prefix), targets=targets, caches=(str(room.cache("one")),), workers=2
    )  # type: ignore[arg-type]


def pack(request: Archive) -> ArchiveAnswer:
    answer = run(request, timeout_seconds=180)
    assert isinstance(answer, ArchiveAnswer)
    return answer


@pytest.fixture(scope="module")
def packed(prefix: Path, room: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ArchiveAnswer]:
    folder = tmp_path_factory.mktemp("packed")
    return folder, pack(archive_request(prefix, room, folder))


def check(root: Path) -> None:
    """Everything that carries the environment's own path works at `root`."""
    assert output(root / "bin" / "python", "-c", "import json, ssl, tool, sys; print(sys.prefix)").strip() == str(root)
    # As activating does: scripts find the environment's python on the PATH.
    activated = (
        f'. "{root}/bin/activate"; tool; where; echo "$GREETING"; echo "$CONDA_PREFIX"; . "{root}/bin/deactivate"; echo "[${{GREETING:-}}]"'
    )
    lines = output("bash", "-c", activated).splitlines()
    assert lines == [f"tool in {root}", str(root), 'it\'s "on" $HOME', str(root), "[]"]
    assert (root / "etc" / "where.conf").read_text() == f"root = {root}/share\n"
    binary = (root / "lib" / "where.bin").read_bytes()
    path = os.fsencode(root)
    assert binary.startswith(b"\x7fELF\x00" + path + b"/etc\x00") and path + b":" + path + b"/x\x00" in binary
    assert binary.endswith(b"end\x00") and len(binary) == len(b"\x7fELF\x00/etc\x00:/x\x00end\x00") + 3 * len(PLACEHOLDER)


def test_the_folder_runs(prefix: Path) -> None:
    assert output(prefix / "bin" / "tool") == f"tool in {prefix}\n"
    assert output(prefix / "bin" / "where") == f"{prefix}\n"
    assert output(prefix / "bin" / "python", "-V") == f"Python {VERSION}\n"


@needs_confinement
def test_bytecode_is_used_and_names_no_build_folder(prefix: Path) -> None:
    said = subprocess.run(
        [prefix / "bin" / "python", "-v", "-c", "import tool; print(tool.main.__code__.co_filename)"], capture_output=True, text=True
    )
    assert said.stdout.strip() == str(prefix / "lib" / f"python{SHORT}" / "site-packages" / "tool" / "__init__.py")
    assert "tool/__pycache__/__init__" in said.stderr and "wrote" not in said.stderr
    assert all(os.fsencode(prefix) not in path.read_bytes() for path in prefix.rglob("tool/**/*.pyc"))


@needs_confinement
def test_two_builds_have_the_same_bytecode(room: Hub, lock: HubLock, channels: list[Channel], prefix: Path) -> None:
    other = build(room, lock, channels, "e-other", workers=2)

    def bytecode(root: Path) -> dict[str, bytes]:
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.pyc")}
        return {name: data for name, data in found.items() if os.fsencode(root) not in data}

    assert bytecode(other) == bytecode(prefix)


def test_an_unpacked_archive_runs_elsewhere(packed: tuple[Path, ArchiveAnswer], tmp_path: Path) -> None:
    folder, answer = packed
    assert answer.warnings == ()
    for kind, flag in (("tar.gz", "-z"), ("tar.zst", "--zstd")):
        root = tmp_path / kind / "a place with spaces"
        root.mkdir(parents=True)
        subprocess.run(["tar", flag, "-x", "-f", folder / f"env.{kind}", "-C", root], check=True)
        output(root / "bin" / "conda-unpack")
        output(root / "bin" / "conda-unpack")
        check(root)


def test_before_it_is_unpacked_an_archive_names_no_place_of_the_hub(packed: tuple[Path, ArchiveAnswer], prefix: Path, room: Hub) -> None:
    with tarfile.open(packed[0] / "env.tar.gz") as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mode & 0o022 == 0 or member.issym()
            assert not member.name.startswith(("/", "../")) and not member.linkname.startswith("/")
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None and str(room.folder).encode() not in content.read(), member.name


def test_the_installer_needs_nothing_but_a_shell(packed: tuple[Path, ArchiveAnswer], tmp_path: Path) -> None:
    root = tmp_path / "it's installed"
    output("sh", packed[0] / "env.sh", "-b", "-p", root)
    check(root) if "'" not in str(root) else output(root / "bin" / "python", "-c", "import tool")
    again = subprocess.run(["sh", packed[0] / "env.sh", "-b", "-p", root], capture_output=True, text=True)
    assert again.returncode == 1 and "exists already" in again.stderr
    whole = (packed[0] / "env.sh").read_bytes()
    for broken in (whole[:-1000], whole[:-1000] + bytes(1000)):
        (tmp_path / "broken.sh").write_bytes(broken)
        said = subprocess.run(["sh", tmp_path / "broken.sh", "-b", "-p", tmp_path / "no"], capture_output=True, text=True)
        assert said.returncode == 1 and "fetch it again" in said.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.sh", "it's installed"]


def contents(path: Path) -> dict[str, tuple[int, int, str, str]]:
    """(mode, time, link target, digest) of each member."""
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256(file.read()).hexdigest() if file is not None else ""
            found[member.name] = (member.mode, int(member.mtime), member.linkname, digest)
    return found


def test_the_same_packages_give_the_same_archive(
    packed: tuple[Path, ArchiveAnswer], room: Hub, lock: HubLock, channels: list[Channel], tmp_path: Path
) -> None:
    """From another prefix, at another time, with another number of workers."""
    other = build(room, lock, channels, "a-much-longer-key-than-that")
    request = archive_request(other, room, tmp_path)
    request.workers = 1
    answer = pack(request)
    assert contents(tmp_path / "env.tar.gz") == contents(packed[0] / "env.tar.gz")
    assert answer.sha256 == packed[1].sha256
    assert packed[1].sha256["tar.zst"] == hashlib.sha256((packed[0] / "env.tar.zst").read_bytes()).hexdigest()
    assert packed[1].size["sh"] == (packed[0] / "env.sh").stat().st_size


def test_a_package_that_left_the_cache_is_asked_for(prefix: Path, room: Hub, lock: HubLock, tmp_path: Path) -> None:
    where = next(record for record in lock.platform("linux-64").conda if record.name == "where")
    folder = package_folder(where, [room.cache("one")])
    assert folder is not None
    request = archive_request(prefix, room, tmp_path, "tar.zst")
    request.caches = (str(tmp_path / "empty"),)
    with pytest.raises(EngineFailed, match="where") as refused:
        run(request)
    assert refused.value.code == "package_not_cached"
    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_environment_without_python_can_be_moved_too(server: Server, hub: Hub, tmp_path: Path) -> None:
    """As those of R are: conda-unpack takes the Python of the machine."""
    team = server.channel("team")
    team.add_relocatable("r-like", {"bin/R": (f"#!/bin/sh\necho {PLACEHOLDER}/lib/R\n".encode(), "text")})
    team.add("scripts", files={"etc/conda/activate.d/r.sh": b"export R_HOME=$CONDA_PREFIX/lib/R\n"})
    prefix, _ = hub.install(hub.solve([team.channel()], "r-like", "scripts"), [team.channel()], "r")
    pack(archive_request(prefix, hub, tmp_path, "tar.gz", "sh"))
    output("sh", tmp_path / "env.sh", "-b", "-p", tmp_path / "r", cwd=tmp_path)
    assert output(tmp_path / "r" / "bin" / "R") == f"{tmp_path}/r/lib/R\n"
    assert output("bash", "-c", f". {tmp_path}/r/bin/activate; echo $R_HOME") == f"{tmp_path}/r/lib/R\n"


@needs_confinement
def test_an_environments_python_is_held_while_it_compiles(server: Server, hub: Hub, tmp_path: Path) -> None:
    """A package may bring any program as bin/python: it gets at no file, no network and no other environment."""
    secret, proof = tmp_path / "secret", hub.folder / "b" / "proof"
    secret.write_text("the hub's secret")
    script = f"""#!/bin/sh
cat {secret} && exit 3
cat /proc/$PPID/environ && exit 4
touch {proof} && exit 5
chmod 777 "$0" && exit 6
echo more >> "$0" && exit 7
env | grep -i token && exit 8
exit 0
"""
    team = server.channel("team")
    team.add("python", files={"bin/python": script.encode(), f"lib/python{SHORT}/x.py": b"x = 1\n"}, subdir="linux-64")
    lock = hub.solve([team.channel()], "python")
    prefix, _ = hub.install(lock, [team.channel()], "e1")
    before = (prefix / "bin" / "python").read_bytes()
    answer = run(Compile(prefix=str(prefix)), timeout_seconds=60)
    assert answer == CompileAnswer(compiled=0, confined_by="landlock")
    assert (prefix / "bin" / "python").read_bytes() == before and not proof.exists()
    assert list(prefix.parent.glob(".bytecode-*")) == []


REALISTIC = Path(os.environ.get("CONDAHUB_TEST_CHANNEL", "/nonexistent"))


@pytest.mark.skipif(not REALISTIC.is_dir(), reason="CONDAHUB_TEST_CHANNEL names no folder of a channel with python and numpy")
def test_a_realistic_environment_imports_its_libraries(tmp_path: Path) -> None:
    """python, numpy and dozens more, from a channel with shards: in the folder, unpacked elsewhere, and installed."""
    with serving(tmp_path) as server:
        channels = [server.channel("main", folder=REALISTIC).channel(revision=1, public=True)]
        room = Hub(tmp_path / "hub")
        specs = ("python", "numpy", "ipykernel", "flask", "prefix-probe", "link-probe")
        request = Solve(
            channels=tuple(channels),
            specs=specs,
            platforms=(Platform(subdir="linux-64"),),
            cache_folder=str(tmp_path / "repodata"),
        )
        answer = run(request)
        assert isinstance(answer, SolveAnswer) and answer.lock is not None
        built = build(room, answer.lock, channels, "e1")
        code = "import numpy, flask, ipykernel; print(numpy.__file__)"
        assert output(built / "bin" / "python", "-c", code).startswith(str(built))
        request_ = archive_request(built, room, tmp_path / "out", "tar.zst", "sh")
        request_.caches = (str(room.cache("shared")),)
        pack(request_)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        subprocess.run(["tar", "--zstd", "-xf", tmp_path / "out" / "env.tar.zst", "-C", elsewhere], check=True)
        output(elsewhere / "bin" / "conda-unpack")
        output("sh", tmp_path / "out" / "env.sh", "-b", "-p", tmp_path / "installed")
        remove(built)
        shutil.rmtree(tmp_path / "hub" / "cache")
        for root in (elsewhere, tmp_path / "installed"):
            assert output(root / "bin" / "python", "-c", code).startswith(str(root))
            assert output(root / "bin" / "prefix-probe") == f"binary-prefix={root}/share/prefix-probe\n"
            assert output(root / "bin" / "prefix-probe-text") == f"text-prefix={root}\n"
