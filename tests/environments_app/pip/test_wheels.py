"""pip requirements beside conda packages: which wheels, why not, and that they are put there without touching what conda linked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from condahub.engine.lock import HubLock
from condahub.engine.prefix import remove
from condahub.engine.protocol import Channel, LinkWheels, LinkWheelsAnswer, Platform
from condahub.engine.records import PlatformLock
from condahub.engine.runner import EngineFailed, child_environment, run
from condahub.net.guard import Guard
from condahub.net.proxy import GuardedProxy
from environments_app.pip.protocol import Resolve, Resolved
from environments_app.pip.tags import best
from tests.engine.channels import Server, serving
from tests.engine.conftest import Hub
from tests.environments_app.pip.index import Index, make_wheel, serving_index

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")
SITE = "lib/python3.11/site-packages"
METADATA = b"Metadata-Version: 2.1\nName: Num_Py\nVersion: 1.26.4\nProvides-Extra: fast\nRequires-Dist: speedup; extra == 'fast'\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A channel with a Python that is only its record, and a conda package that pip calls otherwise."""
    with serving(tmp_path_factory.mktemp("served")) as running:
        main = running.channel("main")
        main.add("python", "3.11.9", subdir="linux-64", files={"bin/python3.11": b"#!/bin/false\n"}, links={"bin/python": "python3.11"})
        main.add("python", "3.11.9", subdir="osx-arm64", files={"bin/python3.11": b"x"})
        info = "site-packages/num_py-1.26.4.dist-info"
        main.add(
            "conda-numpy",
            "1.26.4",
            noarch="python",
            depends=["python"],
            files={"site-packages/num_py/__init__.py": b"conda = True\n", f"{info}/METADATA": METADATA},
        )
        yield running


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    return Hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def channels(server: Server) -> list[Channel]:
    return [server.served["main"].channel()]


@pytest.fixture(scope="module")
def lock(room: Hub, channels: list[Channel]) -> HubLock:
    return room.solve(channels, "python", "conda-numpy", platforms=(Platform(subdir="linux-64"), Platform(subdir="osx-arm64")))


@pytest.fixture(scope="module")
def linked(room: Hub, lock: HubLock, channels: list[Channel]) -> Iterator[Path]:
    """The conda packages, linked once."""
    request = room.request(lock.only("linux-64"), channels, "p1")
    run(request, timeout_seconds=60)
    yield Path(request.staging)
    remove(Path(request.staging))


@pytest.fixture
def staging(linked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(linked, tmp_path / "staging", symlinks=True))


@pytest.fixture
def index() -> Iterator[Index]:
    with serving_index() as running:
        yield running


class Asked:
    """Resolves as the phase does, with the proxy as the only way out."""

    def __init__(self, folder: Path, index: Index, lock: HubLock, staging: Path) -> None:
        self.folder, self.index, self.lock, self.staging = folder, index, lock, staging
        self.allowed = ["127.0.0.1"]
        self.refused: list[str] = []

    def __call__(self, *requirements: str, **more: Any) -> dict[str, Any]:
        """The last line of the child."""
        (self.folder / "wheels").mkdir(exist_ok=True)
        with GuardedProxy(Guard.parse(self.allowed)) as proxy:
            request = Resolve(
                **{
                    "lock": self.lock.only("linux-64"),
                    "requirements": requirements,
                    "platform": "linux-64",
                    "prefix": str(self.staging),
                    "index": self.index.address,
                    "proxy": proxy.address,
                    "folder": str(self.folder / "wheels"),
                    "cache_folder": str(self.folder / "cache"),
                    "max_bytes": 10**9,
                    "timeout_seconds": 60.0,
                    **more,
                }
            )
            done = subprocess.run(
                [sys.executable, "-s", "-P", "-m", "environments_app.pip.child"],
                input=msgspec.json.encode(request),
                env=child_environment(()),
                capture_output=True,
                timeout=90,
            )
            self.refused = proxy.refused
        assert done.stdout, done.stderr.decode()
        last: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return last

    def resolved(self, *requirements: str, **more: Any) -> Resolved:
        said = self(*requirements, **more)
        assert "result" in said, said
        return msgspec.convert(said["result"], Resolved)

    def refusal(self, *requirements: str, **more: Any) -> dict[str, Any]:
        said = self(*requirements, **more)
        assert "error" in said, said
        return dict(said["error"])

    def link(self, answer: Resolved, **more: Any) -> LinkWheelsAnswer:
        made = run(
            LinkWheels(
                lock=answer.lock,
                platform="linux-64",
                staging=str(self.staging),
                prefix="/envs/e1",
                wheels={one.sha256: one.path for one in answer.wheels},
                **more,
            )
        )
        assert isinstance(made, LinkWheelsAnswer)
        return made


@pytest.fixture
def ask(tmp_path: Path, index: Index, lock: HubLock, staging: Path) -> Asked:
    return Asked(tmp_path, index, lock, staging)


def test_wheels_are_chosen_locked_and_put_there(ask: Asked, index: Index) -> None:
    index.add(
        "beta",
        requires=["gamma>=1"],
        scripts={"beta-tool": "beta:main"},
        files={"beta/__init__.py": b"", "beta-1.0.data/scripts/say": b"#!python\n"},
    )
    index.add("gamma", "1.5")
    index.add("gamma", "2.0", tag="cp312-cp312-win_amd64")
    answer = ask.resolved("beta")
    wheels = answer.lock.platform("linux-64").pypi
    assert [(one.name, one.version, one.license, one.requires) for one in wheels] == [
        ("beta", "1.0", "MIT", ("gamma>=1",)),
        ("gamma", "1.5", "MIT", ()),
    ]
    assert all(one.sha256 and one.size for one in wheels)
    assert "127.0.0.1" not in answer.lock.to_bytes().decode(), "a lock names no host"
    made = ask.link(answer)
    assert made.packages == 2
    assert (ask.staging / "bin/say").read_text() == "#!/envs/e1/bin/python\n"
    assert (ask.staging / "bin/beta-tool").read_text().startswith("#!/envs/e1/bin/python\nimport sys\nfrom beta import main\n")
    assert (ask.staging / f"{SITE}/gamma-1.5.dist-info/INSTALLER").read_text() == "condahub\n"
    record = (ask.staging / f"{SITE}/beta-1.0.dist-info/RECORD").read_text()
    assert (
        "\n../../../bin/beta-tool,,\n" in f"\n{record}"
        and "beta/__init__.py,sha256=" in record
        and record.endswith("beta-1.0.dist-info/RECORD,,\n")
    )


def test_what_conda_brings_is_not_replaced_and_not_asked_for_again(ask: Asked, index: Index) -> None:
    index.add("user", requires=["num-py>=1"])
    index.add("num-py", "3.0")
    answer = ask.resolved("user")
    assert [one.name for one in answer.lock.platform("linux-64").pypi] == ["user"]
    ask.link(answer)
    assert (ask.staging / f"{SITE}/num_py/__init__.py").read_bytes() == b"conda = True\n"


def test_an_older_wheel_that_fits_what_conda_brings_is_taken(ask: Asked, index: Index) -> None:
    index.add("user", "1.0", requires=["num-py>=1"])
    index.add("user", "2.0", requires=["num-py>=2"])
    assert [one.version for one in ask.resolved("user").lock.platform("linux-64").pypi] == ["1.0"]


def test_a_conflict_with_conda_names_the_conda_package(ask: Asked, index: Index) -> None:
    index.add("user", "2.0", requires=["num-py>=2"])
    said = ask.refusal("user")
    assert said["code"] == "pip_conflict"
    assert said["detail"] == "linux-64: the pip requirements can't be met beside what conda brings (conda-numpy 1.26.4)."
    assert "user>=2.0 depends on num-py>=2" in said["hint"] or "num-py>=2" in said["hint"]
    assert str(ask.folder) not in said["hint"]


def test_what_an_extra_of_a_conda_package_needs_comes_as_a_wheel(ask: Asked, index: Index) -> None:
    index.add("speedup")
    assert [one.name for one in ask.resolved("num-py[fast]").lock.platform("linux-64").pypi] == ["speedup"]


def test_a_source_distribution_is_refused_with_a_sentence(ask: Asked, index: Index) -> None:
    index.projects["onlysource"] = {"onlysource-1.0.tar.gz": b"not a tar"}
    said = ask.refusal("onlysource")
    assert said["code"] == "wheels_only"
    assert said["detail"] == "linux-64: onlysource has no wheel for Python 3.11.9 there, and source distributions are not built here."


def test_a_wheel_that_is_not_what_the_index_promises_is_refused(ask: Asked, index: Index) -> None:
    index.add("beta")
    index.hashes["beta-1.0-py3-none-any.whl"] = "0" * 64
    assert ask.refusal("beta")["code"] == "hash_mismatch"
    assert not list((ask.folder / "wheels").glob("*.whl"))


def test_an_unknown_package_and_an_index_that_is_gone(ask: Asked, index: Index) -> None:
    assert "delta was not found" in ask.refusal("delta")["hint"]
    assert ask.refusal("delta", index="http://127.0.0.1:9/simple")["code"] in ("index_unreachable", "pip_conflict", "pip_failed")


def test_addresses_that_are_not_allowed_are_not_spoken_to(ask: Asked, index: Index) -> None:
    index.add("beta")
    ask.allowed = []
    said = ask.refusal("beta")
    assert said["code"] in ("index_refused", "pip_conflict") and ask.refused == ["127.0.0.1"]
    assert index.asked == [], "no byte left"


def test_each_platform_gets_its_own_wheel(ask: Asked, index: Index, lock: HubLock) -> None:
    for tag in ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "cp311-cp311-macosx_11_0_arm64", "cp311-cp311-win_amd64"):
        index.add("native", tag=tag, files={"native/__init__.py": tag.encode()})
    answer = ask.resolved("native", lock=lock)
    chosen = {subdir: platform.pypi[0].filename for subdir, platform in answer.lock.platforms.items()}
    assert chosen == {
        "linux-64": "native-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "osx-arm64": "native-1.0-cp311-cp311-macosx_11_0_arm64.whl",
    }
    assert len(answer.wheels) == 2


def test_a_wheel_that_the_organization_has_is_not_fetched_again(ask: Asked, index: Index) -> None:
    index.add("beta")
    first = ask.resolved("beta")
    held = shutil.copy(first.wheels[0].path, ask.folder / "held.whl")
    again = ask.resolved("beta", known={first.wheels[0].sha256: str(held)})
    assert again.lock == first.lock
    assert again.wheels[0].path == str(held)


def test_the_very_wheels_of_a_lock_file_are_found_in_the_index(ask: Asked, index: Index) -> None:
    index.add("beta", requires=["gamma"])
    locked = ask.resolved("beta==1.0", "gamma==1.0") if index.add("gamma") else None
    assert locked is not None
    index.add("beta", "2.0")
    again = ask.resolved(lock=locked.lock, cache_folder=str(ask.folder / "other"))
    assert again.lock == locked.lock and {one.filename for one in again.wheels} == {
        f"{name}-1.0-py3-none-any.whl" for name in ("beta", "gamma")
    }
    index.add("beta", files={"beta/__init__.py": b"other bytes"})
    refused = ask.refusal(lock=locked.lock, cache_folder=str(ask.folder / "third"))
    assert refused["code"] == "wheel_missing" and "beta-1.0-py3-none-any.whl" in refused["detail"] and "other bytes" in refused["detail"]


def test_too_many_bytes_are_refused(ask: Asked, index: Index) -> None:
    index.add("beta", files={"beta/big.bin": b"x" * 50_000})
    assert ask.refusal("beta", max_bytes=10_000)["code"] == "environment_too_large"
    answer = ask.resolved("beta")
    with pytest.raises(EngineFailed, match="more than the 10,000 bytes"):
        ask.link(answer, max_bytes=10_000)


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"files": {f"beta/{'x' * 3}.py": b"1"}, "record": {"beta/xxx.py": "AAAA"}}, "bad_wheel"),
        ({"files": {"../../escape.py": b"1"}}, "bad_wheel"),
        ({"files": {"beta-1.0.data/data/conda-meta/x.json": b"{}"}}, "bad_wheel"),
        ({"files": {"num_py/__init__.py": b"other"}}, "conda_package_in_the_way"),
        ({"files": {"beta-1.0.data/scripts/python": b"#!python\n"}}, "conda_package_in_the_way"),
        ({"scripts": {"../../x": "beta:main"}}, "bad_wheel"),
        ({"scripts": {"ok": "beta:main();import os"}}, "bad_wheel"),
    ],
)
def test_a_wheel_can_neither_leave_the_environment_nor_change_condas_files(
    ask: Asked, index: Index, about: dict[str, Any], code: str
) -> None:
    index.add("beta", **about)
    said = ask("beta")
    if "error" in said:
        assert said["error"]["code"] == code
        return
    with pytest.raises(EngineFailed) as caught:
        ask.link(msgspec.convert(said["result"], Resolved))
    assert caught.value.code == code
    assert (ask.staging / f"{SITE}/num_py/__init__.py").read_bytes() == b"conda = True\n"
    assert not (ask.staging.parent / "escape.py").exists()


def test_a_wheel_with_another_hash_than_the_locks_is_not_put_there(ask: Asked, index: Index) -> None:
    index.add("beta")
    answer = ask.resolved("beta")
    Path(answer.wheels[0].path).write_bytes(make_wheel("beta", files={"beta/evil.py": b"1"}))
    with pytest.raises(EngineFailed) as caught:
        ask.link(answer)
    assert caught.value.code == "hash_mismatch"


def test_the_best_wheel_is_the_one_for_the_newest_system() -> None:
    offered = [
        "p-1-py3-none-any.whl",
        "p-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "p-1-cp311-abi3-manylinux_2_5_x86_64.whl",
        "p-1-cp311-cp311-musllinux_1_2_x86_64.whl",
    ]
    old = PlatformLock(virtual_packages=("__glibc=2.17=0",))
    new = PlatformLock(virtual_packages=("__glibc=2.34=0",))
    assert best(offered, "linux-64", new, "3.11.9") == "p-1-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert best(offered, "linux-64", old, "3.11.9") == "p-1-cp311-abi3-manylinux_2_5_x86_64.whl"
    assert best(offered, "win-64", new, "3.11.9") == "p-1-py3-none-any.whl"
    assert best(offered[3:], "linux-64", new, "3.11.9") is None
