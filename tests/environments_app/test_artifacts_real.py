"""Artifacts of a real build on a real hub: packed, downloaded, unpacked elsewhere, installed offline, archived and had back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from condahub.engine.lock_reading import read_lock
from condahub.engine.prefix import remove
from condahub.ops.roles import HOME
from tests.engine.channels import PLACEHOLDER, Served
from tests.engine.conftest import output
from tests.engine.cpython import add_python
from tests.engine.r_language import add_r
from tests.environments_app.pip.index import Index, serving_index
from tests.hub import RunningHub, start_hub

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]
WITHIN_SECONDS = 180
SPEC = """
name: tools
channels: [main]
dependencies: [tool, where]
pip: []
variables: {GREETING: 'it''s "on"'}
"""


@dataclass
class Built:
    """A hub with one build of `acme/tools`, and an index of wheels beside it."""

    hub: RunningHub
    index: Index
    headers: dict[str, str] = field(default_factory=dict)

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        return httpx.request(
            method, f"{self.hub.url}/api/hub/v1/{path}", headers={**self.headers, **more.pop("headers", {})}, timeout=90, **more
        )

    def artifact(self, path: str, *, environment: str = "tools", **more: Any) -> httpx.Response:
        """The bytes of an artifact, waited for."""
        until = time.monotonic() + WITHIN_SECONDS
        while True:
            answer = self.api("GET", f"organizations/acme/environments/{environment}/builds/{path}", **more)
            if answer.status_code != 202:
                return answer
            assert time.monotonic() < until, answer.text
            time.sleep(0.3)

    def build(self, specification: str, environment: str = "tools") -> dict[str, Any]:
        """A build that has ended."""
        made = self.api("POST", f"organizations/acme/environments/{environment}/builds", json={"specification": specification})
        assert made.status_code == 201, made.text
        path = f"organizations/acme/environments/{environment}/builds/{made.json()['number']}"
        until = time.monotonic() + WITHIN_SECONDS
        while (found := self.api("GET", path).json())["state"] in ("queued", "running"):
            assert time.monotonic() < until, found
            time.sleep(0.3)
        return dict(found)


ENVIRONMENT = "organizations/acme/environments/tools"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("built")
    channel = Served("main", folder / "packages")
    add_python(channel, PLACEHOLDER)
    add_r(channel)
    with serving_index() as index, start_hub(folder / "data", CONDAHUB_PRIVATE_NETWORKS_ALLOWED="127.0.0.1") as hub:
        made = Built(hub, index, dict(hub.headers))
        assert made.api("POST", "organizations", json={"name": "acme"}).status_code == 201
        assert made.api("POST", "channels", json={"organization": "acme", "name": "main"}).status_code == 201
        for path in sorted((folder / "packages").glob("*/*.conda")):
            sent = httpx.put(
                f"{hub.url}/channels/main/{path.parent.name}/{path.name}", content=path.read_bytes(), headers=hub.headers, timeout=120
            )
            assert sent.status_code in (200, 201), sent.text
        index.add(
            "wheely",
            scripts={"wheely": "wheely:main"},
            files={"wheely/__init__.py": b"import sys\n\ndef main():\n    print('wheely in', sys.prefix)\n"},
        )
        values = {"pip_index": index.address, "allowed_pip_indexes": [index.address]}
        assert made.api("PATCH", "environment-settings", json={"values": values}).status_code == 200
        build = made.build(SPEC.replace("pip: []\n", "").replace("[tool, where]", "[tool, where, {pip: [wheely]}]"))
        assert build["state"] == "completed", (build["error"], hub.log[-3000:])
        yield made
        for prefix in (folder / "data" / "environments" / ".b").glob("*"):
            remove(prefix)


def check(root: Path) -> None:
    """Everything that carries the environment's own path works at `root`."""
    assert output(root / "bin" / "python", "-c", "import json, tool, wheely, sys; print(sys.prefix)").strip() == str(root)
    lines = output("bash", "-c", f'. "{root}/bin/activate"; tool; where; wheely; echo "$GREETING"').splitlines()
    assert lines == [f"tool in {root}", str(root), f"wheely in {root}", 'it\'s "on"']


def test_the_folder_has_the_wheel_beside_condas_packages(built: Built) -> None:
    root = (built.hub.data / "environments" / "acme" / "tools").resolve()
    assert output(root / "bin" / "wheely") == f"wheely in {root}\n"
    packages = built.api("GET", f"{ENVIRONMENT}/builds/1/packages?q=wheely").json()["results"]
    assert [(one["kind"], one["version"], one["requested"]) for one in packages] == [("pypi", "1.0", "wheely")]


@pytest.fixture
def condahub(built: Built, tmp_path: Path) -> Callable[..., str]:
    """`condahub env ...` of a person with caches of his own; what it prints."""
    mine = {
        "CONDAHUB_URL": built.hub.url,
        "CONDAHUB_TOKEN": built.hub.admin_token,
        "CONDAHUB_CACHE": str(tmp_path / "cache"),
        "CONDAHUB_CONFIG": str(tmp_path / "config.yaml"),
    }

    def run(*arguments: str) -> str:
        argv = [sys.executable, "-m", "condahub.cli", "env", *arguments]
        done = subprocess.run(
            argv, cwd=HOME, env={**os.environ, **mine}, capture_output=True, text=True, timeout=WITHIN_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_pull_makes_the_same_on_a_persons_machine_wheels_included(condahub: Callable[..., str], tmp_path: Path) -> None:
    root = tmp_path / "pulled"
    told = json.loads(condahub("pull", "acme/tools@1", "-p", str(root), "--compile", "--json"))
    assert [line.split()[:2] for line in told["changes"]] == [["+", name] for name in ("python", "tool", "wheely", "where")]
    assert output(root / "bin" / "tool") == f"tool in {root}\n" and output(root / "bin" / "where") == f"{root}\n"
    assert output(root / "bin" / "wheely") == f"wheely in {root}\n" and list(root.glob("lib/python3*/__pycache__/os.*.pyc"))
    again = json.loads(condahub("pull", "acme/tools@1", "-p", str(root), "--json"))
    assert (again["changes"], again["downloaded_bytes"]) == ([], 0)
    script = "import os, sys, json, tool, wheely; print(sys.prefix, os.environ['GREETING'])"
    assert condahub("run", "-p", str(root), "acme/tools@1", "--", "python", "-c", script) == f'{root} it\'s "on"\n'


def test_a_build_is_cancelled_while_an_index_of_wheels_says_nothing(built: Built) -> None:
    path = "organizations/acme/environments/waits/builds"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        built.api("PATCH", "environment-settings", json={"values": {"allowed_pip_indexes": [built.index.address, address]}})
        text = f"channels: [main]\ndependencies:\n- python\n- pip:\n  - --index-url {address}\n  - wheely\n"
        made = built.api("POST", path, json={"specification": text})
        assert made.status_code == 201, made.text
        path += "/1"
        until = time.monotonic() + WITHIN_SECONDS
        while (found := built.api("GET", path).json())["phase"] != "pip":
            assert time.monotonic() < until and found["state"] in ("queued", "running"), found
            time.sleep(0.2)
        assert built.api("POST", f"{path}/cancel").is_success
        while (found := built.api("GET", path).json())["state"] == "running":
            assert time.monotonic() < until, found
            time.sleep(0.2)
    assert found["state"] == "cancelled" and not (built.hub.data / "environments" / "acme" / "waits").exists()


def test_an_r_environment_runs_from_the_folder_the_archive_the_installer_and_a_pull(
    built: Built, condahub: Callable[..., str], tmp_path: Path
) -> None:
    build = built.build("channels: [main]\ndependencies: [r-jsonlite]\n", "stats")
    assert build["state"] == "completed" and build["package_count"] == 2, build["error"]
    said = "{0}/lib/R 1.8 {0}/lib/R/site-library\n"
    archive = built.artifact("1/artifacts/archive?wait=20", environment="stats")
    unpacked, installed, pulled = tmp_path / "unpacked", tmp_path / "installed", tmp_path / "pulled"
    unpacked.mkdir()
    subprocess.run(["tar", "-x", "-z", "-C", unpacked], input=archive.content, check=True)
    output(unpacked / "bin" / "conda-unpack")
    (tmp_path / "stats.sh").write_bytes(built.artifact("1/artifacts/installer?wait=20", environment="stats").content)
    output("sh", tmp_path / "stats.sh", "-b", "-p", installed)
    condahub("pull", "acme/stats", "-p", str(pulled))
    for root in (unpacked, installed):
        assert output("bash", "-c", f'. "{root}/bin/activate"; R jsonlite') == said.format(root)
    assert condahub("run", "-p", str(pulled), "acme/stats", "--", "R", "jsonlite") == said.format(pulled)
    folder = (built.hub.data / "environments" / "acme" / "stats").resolve()
    assert output(folder / "bin" / "R", "jsonlite").split() == [f"{folder}/lib/R", "1.8"]


@pytest.mark.parametrize(("kind", "flag"), [("archive", "-z"), ("archive-zstd", "--zstd")])
def test_an_archive_runs_at_another_path(built: Built, tmp_path: Path, kind: str, flag: str) -> None:
    answer = built.artifact(f"current/artifacts/{kind}?wait=20")
    assert answer.status_code == 200, answer.text
    root = tmp_path / "a place"
    root.mkdir()
    subprocess.run(["tar", flag, "-x", "-C", root], input=answer.content, check=True)
    output(root / "bin" / "conda-unpack")
    check(root)


def test_the_installer_needs_no_network(built: Built, tmp_path: Path) -> None:
    answer = built.artifact("1/artifacts/installer?wait=20")
    assert answer.headers["content-disposition"] == 'attachment; filename="tools-1-linux-64.sh"'
    (tmp_path / "i.sh").write_bytes(answer.content)
    offline = ["unshare", "-rn"] if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0 else []
    output(*offline, "sh", tmp_path / "i.sh", "-b", "-p", tmp_path / "there")
    check(tmp_path / "there")


def test_a_packed_artifact_is_given_in_part_and_not_twice(built: Built) -> None:
    path = "current/artifacts/archive/linux-64"
    whole = built.artifact(path)
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(whole.content).hexdigest()}"'
    assert built.artifact(path, headers={"If-None-Match": etag}).status_code == 304
    part = built.artifact(path, headers={"Range": "bytes=10-19", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert built.artifact(path, headers={"Range": "bytes=-5"}).content == whole.content[-5:]
    text = built.artifact("current/artifacts/explicit")
    assert built.artifact("current/artifacts/explicit", headers={"If-None-Match": text.headers["etag"]}).status_code == 304
    assert built.artifact("current/artifacts/explicit", headers={"Range": "bytes=0-3"}).content == text.content[:4]


def test_lock_files_name_this_hub_and_read_back(built: Built) -> None:
    packages = {
        (one["name"], one["sha256"]) for one in built.api("GET", f"{ENVIRONMENT}/builds/1/packages?page_size=100").json()["results"]
    }
    for kind in ("pixi.lock", "pixi.lock?version=7", "conda-lock"):
        text = built.artifact(f"current/artifacts/{kind}").text
        found = read_lock(text)
        platform = found.platforms["linux-64"]
        read = {(package.name, package.sha256) for package in platform.conda} | {(wheel.name, wheel.sha256) for wheel in platform.pypi}
        assert read == packages
        assert {one.channel for one in platform.conda} == {f"{built.hub.url}/channels/main"}
        fetched = httpx.get(platform.pypi[0].address, headers=built.headers)
        assert hashlib.sha256(fetched.content).hexdigest() == platform.pypi[0].sha256
        assert httpx.get(platform.pypi[0].address).status_code == 401
    assert f"{built.index.address.removesuffix('simple')}files/wheely/" in built.artifact("current/artifacts/pixi.lock?urls=upstream").text
    explicit = built.artifact("current/artifacts/explicit?hash=sha256").text
    assert "@EXPLICIT\n" in explicit and f"{built.hub.url}/channels/main/noarch/tool-" in explicit
    assert "tool=1.0=" in built.artifact("current/artifacts/pinned").text
    assert built.artifact("current/artifacts/yaml").text.startswith("\nname: tools")


def test_bills_of_materials_name_every_package(built: Built) -> None:
    cyclonedx = json.loads(built.artifact("1/artifacts/sbom/linux-64").content)
    spdx = json.loads(built.artifact("1/artifacts/sbom-spdx/linux-64").content)
    assert {one["name"] for one in cyclonedx["components"]} == {"python", "tool", "where", "wheely"}
    assert {one["name"] for one in spdx["packages"]} == {"python", "tool", "where", "wheely", "acme/tools"}
    assert any(one["purl"] == "pkg:pypi/wheely@1.0" for one in cyclonedx["components"])


def test_the_list_says_what_there_is(built: Built) -> None:
    listed = {(one["kind"], one["platform"]): one for one in built.api("GET", f"{ENVIRONMENT}/builds/current/artifacts").json()}
    assert listed["archive", "linux-64"]["state"] == "ready" and listed["archive", "linux-64"]["sha256"]
    assert listed["conda-lock", ""]["url"].endswith("/builds/1/artifacts/conda-lock")
    assert {one["state"] for one in listed.values()} <= {"ready", "on_demand"}
    assert built.artifact("1/artifacts/archive/win-64").status_code == 404
    assert built.artifact("1/artifacts/nonsense").json()["code"] == "no_such_artifact"
    nobody = httpx.get(f"{built.hub.url}/api/hub/v1/{ENVIRONMENT}/builds/1/artifacts/archive")
    assert nobody.status_code == 401


def test_the_same_packages_give_the_same_archive(built: Built) -> None:
    """Two environments with the same lock have folders of their own, and archives that differ in nothing."""
    build = built.build(
        SPEC.replace("pip: []\n", "").replace("[tool, where]", "[tool, where, {pip: [wheely]}]").replace("tools", "others"), "others"
    )
    assert build["state"] == "completed", build["error"]
    digests = []
    for name in ("tools", "others"):
        until = time.monotonic() + WITHIN_SECONDS
        while (
            answer := built.api("GET", f"organizations/acme/environments/{name}/builds/1/artifacts/archive-zstd?wait=20")
        ).status_code == 202:
            assert time.monotonic() < until
        digests.append(answer.headers["etag"])
    assert digests[0] == digests[1]


def test_the_explicit_file_installs_and_conda_stores_routes_answer(built: Built, tmp_path: Path) -> None:
    short = f"{built.hub.url}/conda-store/acme/tools"
    explicit = httpx.get(short, headers=built.headers, follow_redirects=True)
    assert explicit.status_code == 200 and "@EXPLICIT" in explicit.text
    page = httpx.get(short, headers={**built.headers, "Accept": "text/html,*/*"})
    assert page.status_code == 302 and page.headers["location"].endswith("/ui/acme/environments/tools")
    token = built.headers["Authorization"].removeprefix("Bearer ")
    assert httpx.get(f"{built.hub.url}/t/{token}/conda-store/acme/tools").text == explicit.text
    assert httpx.get(short).status_code == 401
    number = httpx.get(f"{built.hub.url}/conda-store/api/v1/environment/acme/tools/", headers=built.headers).json()["data"][
        "current_build_id"
    ]
    base = f"{built.hub.url}/conda-store/api/v1/build/{number}"
    assert read_lock(httpx.get(f"{base}/lockfile/", headers=built.headers).text).kind == "conda-lock"
    assert json.loads(httpx.get(f"{base}/lockfile/", headers=built.headers).text)["version"] == 1
    assert httpx.get(f"{base}/conda-lock.yml", headers=built.headers).text.startswith("version: 1")
    until = time.monotonic() + WITHIN_SECONDS
    while (archive := httpx.get(f"{base}/archive/", headers=built.headers, timeout=90)).status_code == 503:
        assert time.monotonic() < until
    assert archive.content == built.artifact("1/artifacts/archive").content
    assert httpx.get(f"{base}/yaml/", headers=built.headers).status_code == 200
    assert "1 wheels" in httpx.get(f"{base}/logs/", headers=built.headers).text


def test_an_archived_build_comes_back_with_the_same_bytes(built: Built) -> None:
    before = built.artifact("1/artifacts/archive").content
    build = built.build(SPEC.replace("pip: []\n", ""))
    assert build["state"] == "completed", build["error"]
    build_1 = f"{ENVIRONMENT}/builds/1"
    archived = built.api("POST", f"{build_1}/archive")
    assert archived.status_code == 200 and archived.json()["archived_at"], archived.text
    until = time.monotonic() + 60
    while any(one["kind"] == "archive" and one["state"] != "gone" for one in built.api("GET", f"{build_1}/artifacts").json()):
        assert time.monotonic() < until
        time.sleep(0.2)
    again = built.artifact("1/artifacts/archive?wait=20")
    assert again.status_code == 200 and again.content == before, again.text[:500]
    assert built.api("POST", f"{build_1}/restore").status_code == 202
    link = built.hub.data / "environments" / "acme" / "tools-1"
    while not link.exists():
        assert time.monotonic() < until + 60, built.hub.log[-3000:]
        time.sleep(0.3)
    root = link.resolve()
    assert output(root / "bin" / "wheely") == f"wheely in {root}\n"
    assert built.api("GET", build_1).json()["archived_at"] is None


def test_nothing_of_a_host_is_in_the_stored_lock(built: Built) -> None:
    code = (
        "import django; django.setup()\n"
        "from environments_app.models import Lock\n"
        "print(sum(b'://' in bytes(one.content) or b'127.0.0.1' in bytes(one.content) for one in Lock.objects.all()), Lock.objects.count())"
    )
    environment = {**os.environ, **built.hub.environment, "DJANGO_SETTINGS_MODULE": "condahub.settings"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "0" and int(said[1]) >= 1
    assert shutil.which("tar")
