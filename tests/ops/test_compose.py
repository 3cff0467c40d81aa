"""compose.yaml, each command run as compose would run it: its environment, its entrypoint, a folder of its own, the image's files.

No container engine is needed: PostgreSQL, Redis and an S3 server of this machine stand in for their images, and Debian's nginx runs
deploy/nginx.conf; only names and ports are translated.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import yaml

from condahub.ops.children import die_with_parent
from condahub.ops.roles import HOME
from condahub.ops.supervise import any_free_port
from condahub.packages.maker import make_package
from tests.parts import require_part

pytestmark = pytest.mark.real

SECRETS = {
    "CONDAHUB_SECRET_KEY": "a-secret-key-of-the-compose-test-only-0123456789",
    "CONDAHUB_DATABASE_PASSWORD": "database-password",
    "CONDAHUB_S3_SECRET_KEY": "s3-secret-key",
    "CONDAHUB_ADMIN_PASSWORD": "administrator-password",
    "CONDAHUB_ADMIN_TOKEN": "compose-administrator-token-0123456789",
}
OWNER = {"X-API-Key": SECRETS["CONDAHUB_ADMIN_TOKEN"]}
START_SECONDS = 60


def interpolated(text: str, variables: dict[str, str]) -> str:
    """Compose's `${NAME}`, `${NAME:-default}` and `${NAME:?error}`."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match[1], match[2] or "", match[3] or ""
        if variables.get(name):
            return variables[name]
        assert operator != ":?", f"compose would refuse to start: {name} {rest}"
        return rest

    return re.sub(r"\$\{(\w+)(:-|:\?)?([^}]*)\}", value, text)


def image() -> tuple[dict[str, str], list[str], list[str]]:
    """The Dockerfile's environment, entrypoint and default command, of its last stage."""
    text = (HOME / "Dockerfile").read_text().replace("\\\n", " ").rsplit("\nFROM ", 1)[1]
    environment = dict(pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", text, re.M) for pair in shlex.split(line))
    words = {name: json.loads(found[-1]) for name in ("ENTRYPOINT", "CMD") if (found := re.findall(rf"^{name} (\[.*\])$", text, re.M))}
    return environment, words["ENTRYPOINT"], words["CMD"]


def read_compose() -> dict[str, Any]:
    """compose.yaml as compose reads it, with secrets filled in."""
    whole: dict[str, Any] = yaml.safe_load(interpolated((HOME / "compose.yaml").read_text(), SECRETS))
    return whole


def copy_image_files(target: Path) -> None:
    """What `COPY . /app` brings, by .dockerignore."""
    for line in (HOME / ".dockerignore").read_text().splitlines():
        source = HOME / line.removeprefix("!")
        if line.startswith("!") and source.exists():
            (target / line[1:]).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target / line[1:], ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target / line[1:])


@contextmanager
def program(arguments: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a block."""
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, preexec_fn=die_with_parent(), **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Deployment:
    """The services of compose.yaml on this machine."""

    def __init__(self, folder: Path, postgres_url: str) -> None:
        self.folder = folder
        self.compose = read_compose()
        self.web, self.data, self.front, self.redis, self.s3 = (any_free_port() for _ in range(5))
        self.postgres = urlsplit(postgres_url)
        self.app = folder / "app"
        copy_image_files(self.app)
        self.url = f"http://localhost:{self.front}"
        self.changes: dict[str, str] = {}

    def local(self, text: str) -> str:
        """The names and ports of the compose network, as they are here."""
        for name, address in {
            "postgres:5432": f"{self.postgres.hostname}:{self.postgres.port}",
            "redis:6379": f"127.0.0.1:{self.redis}",
            "s3:8333": f"127.0.0.1:{self.s3}",
            "web:8000": f"127.0.0.1:{self.web}",
            "data:8001": f"127.0.0.1:{self.data}",
            "localhost:8080": f"localhost:{self.front}",
        }.items():
            text = text.replace(name, address)
        return text

    def on_disk(self, folder: Path) -> Deployment:
        """The same with its bytes and database in one folder, and nginx that reads it."""
        other = copy(self)
        other.folder = folder
        other.web, other.data, other.front = (any_free_port() for _ in range(3))
        other.url = f"http://localhost:{other.front}"
        shared = {"CONDAHUB_DATA": str(folder / "shared"), "CONDAHUB_S3_BUCKET": "", "CONDAHUB_DATABASE_URL": ""}
        other.changes = {**shared, "CONDAHUB_SERVE_MODE": "accel"}
        return other

    def command(self, service: str) -> tuple[list[str], dict[str, str]]:
        """The arguments and the environment of one of our own services."""
        environment, entrypoint, default = image()
        settings = self.compose["services"][service]
        environment |= {name: self.local(str(value)) for name, value in settings["environment"].items()}
        environment |= {"PORT": str(self.web), "CONDAHUB_DATA_PORT": str(self.data), "PYTHONPATH": str(self.app)}
        environment |= {"CONDAHUB_DATA": str(self.folder / service), "PATH": os.environ["PATH"], **self.changes}
        arguments = [*settings.get("entrypoint", entrypoint), *settings.get("command", default)]
        return [sys.executable if word == "python" else word for word in arguments], environment

    def run(self, service: str) -> str:
        """Run a service that ends, as `bucket` and `migrate` do; what it printed."""
        arguments, environment = self.command(service)
        ended = subprocess.run(arguments, cwd=self.app, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, f"{service}: {ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    def serve(self, service: str) -> Any:
        """Run a service that serves, for the length of a block."""
        arguments, environment = self.command(service)
        return program(arguments, self.folder / f"{service}.log", cwd=self.app, env=environment)

    def nginx(self) -> Any:
        """deploy/nginx.conf, which only gets other addresses and a folder to write in."""
        text = self.local((HOME / "deploy/nginx.conf").read_text())
        text = text.replace("/var/lib/condahub", self.changes.get("CONDAHUB_DATA", "/var/lib/condahub"))
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{self.front};").replace("/tmp/nginx", f"{self.folder}/nginx")
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(user + text)
        arguments = [require_part("nginx"), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]
        return program(arguments, self.folder / "nginx.log")

    def logs(self) -> str:
        """The end of what every service printed."""
        return "\n".join(f"--- {log.stem}\n{log.read_text(errors='replace')[-1500:]}" for log in sorted(self.folder.glob("*.log")))


def wait_for(question: Callable[[], bool], deployment: Deployment) -> None:
    """Until the answer is yes; no answer yet counts as no."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if question():
                return
        except (httpx.HTTPError, OSError):
            pass
        assert time.monotonic() < deadline, deployment.logs()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Deployment]:
    """All services up, in compose's order."""
    require_part("nginx")
    hub = Deployment(tmp_path_factory.mktemp("compose"), postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE condahub LOGIN PASSWORD '{SECRETS['CONDAHUB_DATABASE_PASSWORD']}'")  # type: ignore[arg-type]
        connection.execute("CREATE DATABASE condahub OWNER condahub")
    with ExitStack() as up:
        redis = [require_part("redis-server"), *hub.compose["services"]["redis"]["command"][1:], "--port", str(hub.redis)]
        up.enter_context(program(redis, hub.folder / "redis.log", cwd=hub.folder))
        moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(hub.s3)]
        up.enter_context(program(moto, hub.folder / "s3.log"))
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{hub.s3}/moto-api/").status_code == 200, hub)
        hub.run("bucket")
        hub.run("migrate")
        for service in ("web", "data", "quick", "heavy", "beat"):
            up.enter_context(hub.serve(service))
        for port in (hub.web, hub.data):
            wait_for(lambda port=port: httpx.get(f"http://localhost:{port}/livez").status_code == 200, hub)  # type: ignore[misc]
        up.enter_context(hub.nginx())
        wait_for(lambda: httpx.get(f"{hub.url}/readyz").status_code == 200, hub)
        yield hub


def test_every_role_of_the_image_has_a_service() -> None:
    from condahub.ops.roles import MIGRATE, SERVING

    services = read_compose()["services"]
    assert {*SERVING, MIGRATE, "bucket", "inside", "nginx", "postgres", "redis", "s3"} == set(services)
    for role in (*SERVING, MIGRATE):
        assert services[role]["command"] == [role]


def test_compose_demands_every_secret() -> None:
    text = (HOME / "compose.yaml").read_text()
    for name in ("CONDAHUB_SECRET_KEY", "CONDAHUB_DATABASE_PASSWORD", "CONDAHUB_S3_SECRET_KEY"):
        assert not re.search(rf"\$\{{{name}(:-[^}}]*)?\}}", text), f"{name} must have no default"
        assert f"${{{name}:?" in text


def test_all_services_are_up_and_ready_behind_nginx(deployment: Deployment) -> None:
    assert httpx.get(f"{deployment.url}/readyz").json() == {"ready": True, "problems": {}}
    for log in ("quick", "heavy", "beat"):
        assert "Traceback" not in (deployment.folder / f"{log}.log").read_text()


def test_preparing_again_changes_nothing(deployment: Deployment) -> None:
    assert "made" not in deployment.run("bucket")
    assert "migrations applied" not in deployment.run("migrate")


def test_the_health_check_of_the_image_sees_web(deployment: Deployment) -> None:
    _, environment = deployment.command("web")
    found = re.search(r"HEALTHCHECK .* CMD (\[.*\])", (HOME / "Dockerfile").read_text())
    assert found
    arguments = [sys.executable if word == "python" else word for word in json.loads(found[1])]

    def healthy(**other: str) -> bool:
        asked = {**environment, "CONDAHUB_DATA_PORT": "", **other}
        return subprocess.run(arguments, cwd=deployment.app, env=asked, check=False).returncode == 0

    assert healthy()
    assert not healthy(PORT=str(any_free_port()))


def test_the_administrators_token_opens_a_channels_door_through_nginx(deployment: Deployment) -> None:
    address = f"{deployment.url}/channels/not-there/noarch/repodata.json"
    assert httpx.get(address).status_code == 401
    signed_in = httpx.get(address, headers=OWNER)
    assert signed_in.status_code in (403, 404)


def test_a_package_pushed_through_nginx_comes_back_from_the_store_through_nginx(deployment: Deployment, tmp_path: Path) -> None:
    push_and_get(deployment, tmp_path, passes=[302, 200])


def test_nginx_sends_a_store_on_disk_itself(deployment: Deployment, tmp_path: Path) -> None:
    """The other way to keep bytes: one disk for all processes, which nginx reads (CONDAHUB_SERVE_MODE=accel)."""
    disk = deployment.on_disk(tmp_path)
    with ExitStack() as up:
        disk.run("migrate")
        for service in ("web", "data", "quick"):
            up.enter_context(disk.serve(service))
        up.enter_context(disk.nginx())
        wait_for(lambda: httpx.get(f"{disk.url}/readyz").status_code == 200, disk)
        wait_for(lambda: httpx.get(f"http://localhost:{disk.data}/livez").status_code == 200, disk)
        address, etag, package = push_and_get(disk, tmp_path, passes=[200])

        part = httpx.get(address, headers={**OWNER, "Range": "bytes=10-19", "If-Range": etag})
        assert (part.status_code, part.content) == (206, package[10:20])
        changed = httpx.get(address, headers={**OWNER, "Range": "bytes=10-19", "If-Range": '"something else"'})
        assert (changed.status_code, changed.content) == (200, package)
        assert httpx.get(address, headers={**OWNER, "If-None-Match": etag}).status_code == 304
        # The folder itself is no door.
        assert httpx.get(f"{disk.url}/_store/.condahub-store").status_code == 404


def push_and_get(hub: Deployment, folder: Path, *, passes: list[int]) -> tuple[str, str, bytes]:
    """Make a private channel, push one package with a chunked body, get it back; its address, ETag and bytes."""
    made = httpx.post(f"{hub.url}/api/channels", headers=OWNER, json={"name": "tools", "private": True})
    assert made.status_code == 201, made.text
    path = make_package(folder, name="spoon", version="1.0")
    package = path.read_bytes()
    pushed = httpx.post(
        f"{hub.url}/api/channels/tools/upload/{path.name}",
        params={"force": "false", "sha256": hashlib.sha256(package).hexdigest()},
        headers=OWNER,
        content=iter([package[:100], package[100:]]),
    )
    assert pushed.status_code == 201, pushed.text

    address = f"{hub.url}/channels/tools/noarch/{path.name}"
    assert httpx.get(address).status_code == 401
    answer = httpx.get(address, headers=OWNER, follow_redirects=True)
    assert [*(step.status_code for step in answer.history), answer.status_code] == passes
    assert answer.content == package
    assert str(answer.url).startswith(hub.url)
    shards = httpx.get(f"{hub.url}/channels/tools/noarch/repodata_shards.msgpack.zst", headers=OWNER, follow_redirects=True)
    assert shards.status_code == 200
    wait_for(
        lambda: path.name in httpx.get(f"{hub.url}/channels/tools/noarch/repodata.json", headers=OWNER, follow_redirects=True).text, hub
    )
    return address, answer.headers["ETag"], package


def test_no_token_is_in_nginxs_log(deployment: Deployment, eventually: Callable[..., object]) -> None:
    httpx.get(f"{deployment.url}/t/chub-secret-token/channels/not-there/noarch/repodata.json?token=chub-secret-query")
    log = deployment.folder / "nginx.log"
    eventually(lambda: "/t/-/channels/not-there/noarch/repodata.json" in log.read_text())
    assert "chub-secret" not in log.read_text()
