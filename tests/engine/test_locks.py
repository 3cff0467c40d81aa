"""Lock files: what other programs read of ours, what we read of theirs, and what is refused with a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from condahub.engine.lock import HubLock, in_dependency_order
from condahub.engine.lock_reading import ForeignPackage, ForeignWheel, hub_lock, read_lock
from condahub.engine.lock_writing import addresses_at, conda_lock, explicit, pinned_environment, pixi_lock
from condahub.engine.records import CondaRecord, LockedChannel, PlatformLock, PypiRecord
from condahub.errors import HubError, Unprocessable
from tests.engine.conftest import lock_samples

BASE = "https://hub.example/channels"
ADDRESSES = addresses_at(lambda name: f"{BASE}/{name}", lambda name: f"https://hub.example/pypi/{name}")

# Another program's reader of the same files; in a process of its own, for it starts threads.
READER = """
import json, pathlib, sys
from rattler import LockFile
found = {}
environment = LockFile.from_path(pathlib.Path(sys.argv[1])).default_environment()
for platform in environment.platforms():
    for package in environment.packages(platform):
        digest = package.hashes.sha256.hex() if package.hashes else ""
        found.setdefault(str(platform), []).append([package.name, str(package.version), package.location, digest])
print(json.dumps(found))
"""


def record(name: str, version: str = "1.0", subdir: str = "linux-64", **more: object) -> CondaRecord:
    digest = "".join(f"{ord(character):02x}" for character in (name * 32)[:32])
    facts: dict[str, object] = {"build": "h1_0", "sha256": digest, "md5": digest[:32], "size": 7, "channel": "team", **more}
    filename = f"{name}-{version}-{facts['build']}.conda"
    return CondaRecord(name=name, version=version, subdir=subdir, filename=filename, **facts)  # type: ignore[arg-type]


PYTHON = record("python", "3.11.7", build="h5_7_cpython", build_number=7, license="Python-2.0", depends=("lib >=1,<2", "__glibc >=2.17"))
LIB = record("lib", "1.10", build="odd", build_number=3, constrains=("other <2",), timestamp=1_700_000_000_123, track_features=("slow",))
TOOL = record("tool", "2!1.0+local", subdir="noarch", noarch="python", channel="other", depends=("python >=3.10",), license="MIT")
WHEEL = PypiRecord(
    name="six", version="1.16.0", filename="six-1.16.0-py2.py3-none-any.whl", sha256="6" * 64, requires=("x>=1",), requires_python=">=3"
)
LOCK = HubLock.of(
    channels=[LockedChannel("team", 7), LockedChannel("other")],
    platforms={
        "linux-64": PlatformLock(conda=(TOOL, PYTHON, LIB), pypi=(WHEEL,), virtual_packages=("__glibc=2.28=0",)),
        "osx-arm64": PlatformLock(conda=(TOOL, record("python", "3.11.7", subdir="osx-arm64"))),
    },
)


def ours_again(text: str) -> HubLock:
    """Read the file as a stranger's, and name the channels by their addresses."""

    def conda(package: ForeignPackage) -> CondaRecord:
        return package.as_record(package.channel.removeprefix(f"{BASE}/"))

    def pypi(wheel: ForeignWheel) -> PypiRecord:
        return PypiRecord(
            name=wheel.name,
            version=wheel.version,
            filename=wheel.filename,
            sha256=wheel.sha256,
            requires=wheel.requires,
            requires_python=wheel.requires_python,
        )

    return hub_lock(read_lock(text), channels=LOCK.channels, conda=conda, pypi=pypi)


def test_version_7_of_pixi_s_lock_holds_all_of_ours() -> None:
    assert ours_again(pixi_lock(LOCK, ADDRESSES, version=7)) == LOCK


def test_version_6_holds_all_but_the_virtual_packages() -> None:
    lock = ours_again(pixi_lock(LOCK, ADDRESSES, version=6))
    assert lock.platform("linux-64").conda == LOCK.platform("linux-64").conda
    assert lock.platform("linux-64").pypi == LOCK.platform("linux-64").pypi


def test_conda_lock_and_explicit_files_hold_the_same_files() -> None:
    def identities(lock: HubLock, subdir: str) -> list[tuple[str, str, str, str]]:
        return [(one.channel, one.subdir, one.filename, one.sha256) for one in lock.platform(subdir).conda]

    for subdir in LOCK.platforms:
        assert identities(ours_again(conda_lock(LOCK, ADDRESSES)), subdir) == identities(LOCK, subdir)
        assert identities(ours_again(explicit(LOCK, subdir, ADDRESSES, digest="sha256")), subdir) == identities(LOCK, subdir)


@pytest.mark.parametrize("kind", ["pixi.lock", "pixi7.lock", "conda-lock.yml"])
def test_rattler_reads_what_we_write(tmp_path: Path, kind: str) -> None:
    texts = {
        "pixi.lock": pixi_lock(LOCK, ADDRESSES),
        "pixi7.lock": pixi_lock(LOCK, ADDRESSES, version=7),
        "conda-lock.yml": conda_lock(LOCK, ADDRESSES),
    }
    path = tmp_path / kind
    path.write_text(texts[kind])
    done = subprocess.run([sys.executable, "-c", READER, str(path)], capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == set(LOCK.platforms)
    for subdir, platform in LOCK.platforms.items():
        expected = {(one.name, one.version, ADDRESSES.file(one), one.sha256) for one in platform.conda}
        expected |= {(one.name, one.version, ADDRESSES.file(one), one.sha256) for one in platform.pypi}
        assert {tuple(one) for one in found[subdir]} == expected


def test_an_explicit_file_is_in_the_order_of_dependencies() -> None:
    lines = [line.rpartition("/")[2] for line in explicit(LOCK, "linux-64", ADDRESSES).splitlines() if line.startswith("https")]
    assert [line.split("-")[0] for line in lines] == ["lib", "python", "tool"]
    assert lines[0] == f"{LIB.filename}#{LIB.md5}"
    assert "# pip: six==1.16.0 --hash=sha256:" in explicit(LOCK, "linux-64", ADDRESSES)


def test_circles_of_dependencies_and_long_chains_end() -> None:
    circle = [record("a", depends=("b",)), record("b", depends=("a", "c")), record("c")]
    assert [one.name for one in in_dependency_order(circle)] == ["c", "b", "a"]
    chain = [record(f"n{number:05}", depends=(f"n{number + 1:05}",)) for number in range(5000)]
    assert [one.name for one in in_dependency_order(chain)] == [one.name for one in reversed(chain)]


def test_a_pinned_environment_is_one_that_conda_reads() -> None:
    document = yaml.safe_load(pinned_environment(LOCK, "linux-64", ADDRESSES, name="demo", variables={"B": "2", "A": "1"}))
    assert document == {
        "name": "demo",
        "channels": [f"{BASE}/team", f"{BASE}/other"],
        "dependencies": ["lib=1.10=odd", "python=3.11.7=h5_7_cpython", "tool=2!1.0+local=h1_0", {"pip": ["six==1.16.0"]}],
        "variables": {"A": "1", "B": "2"},
    }


def test_a_lock_is_the_same_however_it_came_about() -> None:
    again = HubLock.of(
        channels=LOCK.channels,
        platforms={
            subdir: PlatformLock(conda=platform.conda[::-1], pypi=platform.pypi, virtual_packages=platform.virtual_packages)
            for subdir, platform in reversed(LOCK.platforms.items())
        },
    )
    assert again.to_bytes() == LOCK.to_bytes() and again.sha256 == LOCK.sha256
    assert HubLock.from_bytes(LOCK.to_bytes()) == LOCK
    assert list(LOCK.only("osx-arm64").platforms) == ["osx-arm64"]


def test_locks_without_hashes_or_with_two_of_a_name_are_refused() -> None:
    for packages in ((record("a"), record("a", "2.0")), (record("a", sha256=""),), (record("a", sha256="Z" * 64),)):
        with pytest.raises(Unprocessable):
            HubLock.of(channels=[], platforms={"linux-64": PlatformLock(conda=packages)})
    for data in (b"", b"{}", b"[]", b'{"version": 99, "channels": [], "platforms": {}}'):
        with pytest.raises(Unprocessable):
            HubLock.from_bytes(data)


def test_credentials_in_a_lock_file_are_dropped() -> None:
    for address in (
        "https://user:secret@host.example/conda-forge/noarch/a-1.0-0.conda",
        "https://host.example/t/secret/conda-forge/noarch/a-1.0-0.conda",
        "https://host.example/conda-forge/noarch/a-1.0-0.conda?token=secret",
    ):
        lock = read_lock(f"@EXPLICIT\n{address}\n")
        assert lock.channels == ("https://host.example/conda-forge",)
        assert "secret" not in repr(lock)
        with pytest.raises(Unprocessable) as refused:
            read_lock(f"@EXPLICIT\n{address.replace('a-1.0-0.conda', 'what')}\n")
        assert "secret" not in refused.value.detail


PIXI = "version: 6\nenvironments: {default: {packages: {linux-64: [{%s}]}}}\npackages: [{%s}]"
PIP = "version: 1\nmetadata: {}\npackage: [{name: a, manager: pip, platform: linux-64, version: '1', url: '%s'}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither"),
        ("a: [", "not YAML"),
        ("version: 5\nenvironments: {}\npackages: []", "Version '5'"),
        ("version: 6\nenvironments: {other: {packages: {}}}\npackages: []", "no environment 'default'; it has: other"),
        (PIXI % ("conda: .", "conda: ."), "from source"),
        (PIXI % ("conda: 'https://h/c/noarch/a-1-0.conda'", "conda: other"), "not described"),
        (PIXI % ("pypi: ./local", "pypi: ./local, name: x"), "not a wheel"),
        (PIP % "git+https://h/a", "not a wheel"),
        (PIP % "https://h/a-1.tar.gz", "not a wheel"),
        ("version: 1\nmetadata: {}\npackage: 7", "neither"),
        ("@EXPLICIT\nfile:///etc/noarch/a-1.0-0.conda", "Line 2"),
        ("@EXPLICIT\nhttps://h/c/noarch/a-1.0-0.conda#zz", "Line 2: 'zz' is not a hash"),
        ("@EXPLICIT\nhttps://h/c/linux-64/a-1.0-0.conda\nhttps://h/c/win-64/b-1.0-0.conda", "several platforms"),
        ("@EXPLICIT\nhttps://h/c/noarch/a-1.0-0.conda\nhttps://h/d/noarch/a-2.0-0.conda", "two packages called a"),
        ("a: &x [1]\nb: [*x, *x]", "aliases"),
        ("\x00", "NUL"),
    ],
)
def test_what_can_t_be_built_from_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(Unprocessable, match=said) as refused:
        read_lock(text)
    assert refused.value.code == "invalid_lock" and refused.value.status == 422


def test_numbers_and_versions_are_what_the_file_says() -> None:
    digest = "1234e567" * 8
    text = (
        "version: 1\nmetadata: {platforms: [linux-64]}\npackage:\n- name: lib\n  version: 1.10\n  manager: conda\n  platform: linux-64\n"
        f"  url: https://host.example/c/noarch/lib-1.10-0.conda\n  hash: {{sha256: {digest}}}\n"
    )
    lib = next(iter(read_lock(text).packages))
    assert (lib.version, lib.sha256) == ("1.10", digest)


KEYS = st.sampled_from(
    [
        "version",
        "metadata",
        "package",
        "packages",
        "environments",
        "default",
        "platforms",
        "linux-64",
        "conda",
        "pypi",
        "name",
        "url",
        "hash",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["6", "1", "https://h/c/noarch/a-1-0.conda"])


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25))
def test_no_document_makes_the_reader_fail_otherwise(document: object) -> None:
    try:
        read_lock(yaml.safe_dump(document))
    except HubError as error:
        assert error.status == 422


@pytest.mark.skipif(not lock_samples(), reason="CONDAHUB_TEST_LOCKS names no folder of lock files")
@pytest.mark.parametrize("path", lock_samples(), ids=lambda path: "-".join(path.parts[-3:]))
def test_lock_files_of_other_projects_are_read_or_refused_with_a_sentence(path: Path) -> None:
    try:
        foreign = read_lock(path.read_text())
    except Unprocessable as error:
        assert any(word in error.detail for word in ("from source", "Version", "not a wheel"))
        return
    for platform in foreign.platforms.values():
        for package in platform.conda:
            assert package.filename.startswith(package.as_record("channel").stem)
            assert package.sha256 or package.md5 or foreign.kind == "explicit"
