"""A real hub that builds: its channels, packages made here, specifications posted as a program posts them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from condahub.engine import prefix as prefixes
from condahub.packages.maker import make_package
from tests.hub import RunningHub, start_hub

END_SECONDS = 120.0
ENDED = ("completed", "failed", "cancelled")


@dataclass
class Site:
    """The hub, its folder of environments, and the administrator's way in."""

    hub: RunningHub
    root: Path
    packages: Path

    def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return httpx.request(method, f"{self.hub.url}/api/hub/v1/{path}", json=body, headers=dict(headers or self.hub.headers), timeout=60)

    def do(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The answer's body; fails when it is an error."""
        answer = self.call(method, path, body, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None

    def organization(self, name: str) -> None:
        if self.call("GET", f"organizations/{name}").status_code != 200:
            self.do("POST", "organizations", {"name": name})

    def channel(self, name: str, organization: str = "acme", visibility: str = "private") -> None:
        self.organization(organization)
        self.do("POST", "channels", {"name": name, "organization": organization, "visibility": visibility})

    def push(self, channel: str, path: Path, subdir: str = "noarch") -> None:
        address = f"{self.hub.url}/channels/{channel}/{subdir}/{path.name}"
        answer = httpx.put(address, content=path.read_bytes(), headers=self.hub.headers, timeout=60)
        assert answer.is_success, answer.text[:500]

    def add(self, channel: str, name: str, version: str = "1.0", **about: Any) -> None:
        """Make a package and publish it; `mark` in its files tells one from another of that name."""
        folder = Path(tempfile.mkdtemp(dir=self.packages))
        self.push(channel, make_package(folder, name, version, **about), about.get("subdir", "noarch"))

    def robot(self, organization: str, role: str = "contributor") -> dict[str, str]:
        """The headers of a robot of an organization, with this role in it."""
        self.organization(organization)
        self.do("POST", f"organizations/{organization}/robots", {"name": role})
        secret = self.do("POST", f"organizations/{organization}/robots/{role}/tokens", {"name": "test", "scopes": ["full"]})["secret"]
        self.do("POST", f"organizations/{organization}/grants", {"user": f"{organization}+{role}", "role": role})
        return {"Authorization": f"Bearer {secret}"}

    def post(self, environment: str, text: str, organization: str = "acme", **more: Any) -> int:
        """Have it built; the build's number."""
        path = f"organizations/{organization}/environments/{environment}/builds"
        return int(self.do("POST", path, {"specification": text}, **more)["number"])

    def build(self, environment: str, number: int, organization: str = "acme") -> dict[str, Any]:
        return dict(self.do("GET", f"organizations/{organization}/environments/{environment}/builds/{number}"))

    def wait(self, environment: str, number: int, organization: str = "acme", *, within_seconds: float = END_SECONDS) -> dict[str, Any]:
        """The build when it has ended."""
        return self.until(environment, number, lambda build: build["state"] in ENDED, organization, within_seconds=within_seconds)

    def until(
        self,
        environment: str,
        number: int,
        holds: Callable[[dict[str, Any]], bool],
        organization: str = "acme",
        *,
        within_seconds: float = END_SECONDS,
    ) -> dict[str, Any]:
        deadline = time.monotonic() + within_seconds
        while not holds(build := self.build(environment, number, organization)):
            assert time.monotonic() < deadline, (build, self.hub.log[-3000:])
            time.sleep(0.05)
        return build

    def made(self, environment: str, text: str, organization: str = "acme", **more: Any) -> dict[str, Any]:
        """Built, completed."""
        build = self.wait(environment, self.post(environment, text, organization, **more), organization)
        assert build["state"] == "completed", build["error"]
        return build

    def artifact(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes of an artifact that is made when it is asked for."""
        deadline = time.monotonic() + END_SECONDS
        while (answer := self.call("GET", f"{path}?wait=20", headers=headers)).status_code == 202:
            assert time.monotonic() < deadline, answer.text
        assert answer.status_code == 200, answer.text[:500]
        return answer.content

    def log_of(self, build: Mapping[str, Any]) -> str:
        return str(self.do("GET", f"jobs/{build['job']}/log"))

    def folder(self, environment: str, organization: str = "acme") -> Path:
        return self.root / organization / environment

    def leftovers(self) -> list[str]:
        """What lies where prefixes are put together."""
        with suppress(FileNotFoundError):
            return sorted(os.listdir(self.root / ".s"))
        return []

    def until_tidy(self) -> None:
        """Staging folders go when builds end, by whoever ends them."""
        deadline = time.monotonic() + END_SECONDS
        while self.leftovers():
            assert time.monotonic() < deadline, self.leftovers()
            time.sleep(0.2)


def output(*argv: object, **environment: str) -> str:
    """What a program of an environment prints, in an empty environment."""
    done = subprocess.run(
        [str(part) for part in argv], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **environment}, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def site(**environment: str) -> Iterator[Site]:
    """A hub in a folder with a short name, since it is baked into prefixes."""
    folder = Path(tempfile.mkdtemp(prefix="ch-"))
    root = Path(environment.get("CONDAHUB_ENVIRONMENTS_DIR", folder / "e"))
    (folder / "packages").mkdir()
    given = {"CONDAHUB_ENVIRONMENTS_DIR": str(root), "CONDAHUB_BUILD_LEASE_SECONDS": "6", "CONDAHUB_HEAVY_SLOTS": "3", **environment}
    try:
        with start_hub(folder / "hub", **given) as hub:
            yield Site(hub, root, folder / "packages")
    finally:
        for prefix in (root / ".b").glob("*"):
            prefixes.remove(prefix)
        shutil.rmtree(folder, ignore_errors=True)
