"""`condahub mirror` as a person runs it: a process of its own that may be killed, and a folder that real clients install from."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from condahub.cli.main import cli
from tests.mirrors_app.core.conftest import served
from tests.mirrors_app.core.faults import Html, Status, named
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

COMMAND = [sys.executable, "-m", "condahub.cli", "mirror"]


def arguments(server: UpstreamServer, folder: Path, *more: str) -> list[str]:
    given = ["--upstream-channel", server.url, "--target-directory", str(folder), "--platform", "linux-64", "--max-retries", "2"]
    return [*given, "--minimum-free-space", "0", *more]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def run(server: UpstreamServer, folder: Path) -> Callable[..., Any]:
    def invoke(*more: str, whole: bool = False) -> Any:
        return CliRunner().invoke(cli, ["mirror", *(more if whole else arguments(server, folder, *more))], standalone_mode=False)

    return invoke


def test_exit_status_tells_the_four_ends_apart(run: Callable[..., Any], server: UpstreamServer, channel: Channel, folder: Path) -> None:
    server.faults = [Status(404, named("tool-1"), times=0)]
    partial = run()
    assert partial.return_value == 3
    assert "refused  linux-64/tool-1.0-0.conda" in partial.stderr
    assert "partial: 2 added, 1 refused" in partial.stdout
    server.faults = []
    assert run().return_value == 0
    channel.add("later")
    server.faults = [Html(named("repodata"), times=0)]
    assert run().return_value == 4
    server.faults = [Status(500, lambda path: True, times=0)]
    assert run().return_value == 1
    server.faults = []
    done = run("--json", "--platform", "noarch")
    assert done.return_value == 0
    assert json.loads(done.stdout)["added"] == [["linux-64", "later-1.0-0.conda"], ["noarch", "pure-1.0-0.conda"]]
    assert served(folder) == channel.records["linux-64"]


def test_a_dry_run_shows_a_plan(run: Callable[..., Any], server: UpstreamServer) -> None:
    shown = run("--dry-run", "--exclude", "tool >=2")
    assert shown.return_value == 0
    assert "to fetch" in shown.stdout and "excluded by 'tool >=2'" in shown.stdout
    assert json.loads(run("--dry-run", "--json").stdout)["fetch"]["files"] == 3
    assert not server.packages()


def test_conda_mirrors_file(run: Callable[..., Any], server: UpstreamServer, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"upstream_channel: {server.url}\ntarget_directory: {folder}\nplatform: linux-64\nminimum_free_space: 0\nnum_threads: 4\n"
        "include_depends: true\nblacklist:\n  - name: '*'\nwhitelist:\n  - name: tool\n    version: '>=2'\n"
    )
    assert run("--config", str(config), whole=True).return_value == 0
    assert sorted(served(folder)) == ["base-1.0-0.conda", "tool-2.0-0.tar.bz2"]


def test_the_newer_conda_mirrors_file(run: Callable[..., Any], server: UpstreamServer, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"source: {server.url}\ndestination: {folder}\nsubdirs: [linux-64, noarch]\nmax-parallel: 4\nexclude: ['tool']\n")
    assert run("--config", str(config), "--minimum-free-space", "0", whole=True).return_value == 0
    assert list(served(folder)) == ["base-1.0-0.conda"]
    assert list(served(folder, "noarch")) == ["pure-1.0-0.conda"]
    config.write_text(config.read_text() + "include: ['tool 2.*']\n")
    assert run("--config", str(config), "--minimum-free-space", "0", whole=True).return_value == 0
    assert sorted(served(folder)) == ["base-1.0-0.conda", "tool-2.0-0.tar.bz2"]


@pytest.mark.parametrize("text", ["upstream_chanel: x", "[1]", "{", "include: [{matchspec: x}]\nsource: x", "blacklist: x"])
def test_a_file_that_is_none_is_told(text: str, run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    result = run("--config", str(tmp_path / "config.yaml"), whole=True)
    assert result.exception is not None
    assert type(result.exception).__name__ == "Failure"


def test_what_is_missing_is_told() -> None:
    for given in ([], ["--upstream-channel", "x"], ["--upstream-channel", "x", "--platform", "linux-64"]):
        result = CliRunner().invoke(cli, ["mirror", *given], standalone_mode=False)
        assert type(result.exception).__name__ == "Usage"


def test_it_needs_no_django(server: UpstreamServer, folder: Path) -> None:
    code = (
        "import sys\nsys.modules['django'] = None\nfrom condahub.cli.main import cli\n"
        f"sys.exit(cli.main({['mirror', *arguments(server, folder)]!r}, standalone_mode=False))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.real
def test_killed_in_the_middle_the_next_run_fetches_only_what_is_missing(
    server: UpstreamServer, channel: Channel, folder: Path, eventually: Callable[..., object]
) -> None:
    """kill -9, three times, at different moments: what was served before goes on being served, nothing whole is fetched twice."""
    command = [*COMMAND, *arguments(server, folder, "--max-parallel", "2", "--no-progress")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    before = served(folder)
    for number in range(60):
        channel.add(f"many{number}", files={"share/x": os.urandom(2000)}, write=False)
    channel.write()
    server.requests.clear()

    async def slowly(request: object, path: Path) -> None:
        await asyncio.sleep(0.02)

    server.faults = [slowly]  # type: ignore[list-item]
    for kills in range(1, 4):
        process = subprocess.Popen(command)
        eventually(lambda wanted=15 * kills: sum(server.packages().values()) >= wanted)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert served(folder) == before
    server.faults = []
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    assert served(folder) == channel.records["linux-64"]
    # At a kill, only what was on its way (two connections, one batch being looked at) may be asked for again.
    assert sum(server.packages().values()) <= 60 + 3 * 16
    assert not list(folder.rglob("*.part"))


@pytest.mark.real
def test_a_stopped_run_ends_in_order(server: UpstreamServer, folder: Path, eventually: Callable[..., object]) -> None:
    async def slowly(request: object, path: Path) -> None:
        await asyncio.sleep(0.5)

    server.faults = [slowly]  # type: ignore[list-item]
    process = subprocess.Popen([*COMMAND, *arguments(server, folder, "--max-parallel", "1")], stdout=subprocess.PIPE, text=True)
    eventually(lambda: sum(server.packages().values()) >= 1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "The run was cancelled" in said


@contextmanager
def plainly_served(folder: Path) -> Iterator[str]:
    """As anybody would: python -m http.server, in a thread."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.real
@pytest.mark.parametrize("form", ["sharded", "zstd", "json", "bz2"])
def test_a_real_client_solves_and_installs_from_the_folder(form: str, run: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    assert run("--platform", "noarch").return_value == 0
    code = f"""
import asyncio, rattler, sys
from pathlib import Path
async def main(url, prefix, cache):
    forms = dict(zstd_enabled={form == "zstd"}, bz2_enabled={form == "bz2"}, sharded_enabled={form == "sharded"})
    gateway = rattler.Gateway(cache, default_config=rattler.SourceConfig(**forms))
    records = await rattler.solve([url], ["tool 2.*"], gateway, ["linux-64", "noarch"])
    assert sorted(r.name.normalized for r in records) == ["base", "pure", "tool"], records
    await rattler.install(records, target_prefix=prefix, cache_dir=cache / "pkgs", show_progress=False)
asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
print("installed", flush=True)
import os; os._exit(0)
"""
    with plainly_served(folder) as url:
        done = subprocess.run(
            [sys.executable, "-c", code, url, str(tmp_path / "prefix"), str(tmp_path / "cache")],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.stdout.strip() == "installed", done.stderr
    assert (tmp_path / "prefix" / "share" / "tool" / "made").read_text() == "tool 2.0 0\n"


@pytest.fixture(scope="session")
def conda_mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of conda-mirror 0.10.0 in an environment of its own."""
    place = tmp_path_factory.mktemp("conda-mirror")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=120)
    made = subprocess.run([str(place / "bin" / "pip"), "install", "-q", "conda-mirror==0.10.0"], check=False, timeout=300)
    if made.returncode:
        pytest.skip("conda-mirror can't be installed here")
    return place / "bin" / "conda-mirror"


CONFIGURATIONS = [
    "blacklist: [{license: '*gpl*'}]",
    "blacklist: [{name: '*'}]\nwhitelist: [{name: tool}]",
    "blacklist: [{name: '*'}]\nwhitelist: [{name: tool, version: '>=2'}]\ninclude_depends: true",
    "blacklist: [{name: tool, version: '<2'}, {name: base, build: 'py3*'}]",
    "blacklist: [{name: '*'}]\nwhitelist: [{name: 'm*', version: '^1\\.[01]$'}, {version: '1.5'}]",
    "blacklist: [{version: '>=1.2,<1.6'}]\nwhitelist: [{name: many, version: '=1.3'}, {name: many, version: '1.4.*'}]",
    "blacklist: [{name: '*'}]\nwhitelist: [{name: app}]\ninclude_depends: true",
    "blacklist: [{name: many, version: '>=1.2 py3*'}, {subdir: win-64}]",
    "blacklist: [{name: many, version: '>=1.2 py311_0'}, {depends: '*many*'}]",
]


@pytest.mark.long
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_it_keeps_what_conda_mirror_keeps(
    configuration: str, conda_mirror: Path, channel: Channel, server: UpstreamServer, run: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    for minor in range(8):
        channel.add("many", f"1.{minor}", extension=".tar.bz2", write=False)
        channel.add("many", f"1.{minor}", build="py311_0", extension=".tar.bz2", write=False)
    channel.add("base", "2.0", build="py311_0", extension=".tar.bz2", write=False)
    channel.add("app", depends=["many >=1.3,<1.5", "tool 2.*", "gone"], extension=".tar.bz2", write=False)
    filename = channel.add("viral", extension=".tar.bz2", write=False)
    channel.records["linux-64"][filename]["license"] = "AGPL-3.0"
    channel.write()
    config = tmp_path / "config.yaml"
    config.write_text(f"{configuration}\n")
    theirs = tmp_path / "theirs"
    given = ["--upstream-channel", server.url.rstrip("/") + "/.", "--target-directory", str(theirs), "--platform", "linux-64"]
    given += ["--config", str(config), "--no-progress", "--minimum-free-space", "0"]
    subprocess.run([str(conda_mirror), *given], check=True, timeout=120)
    kept = sorted(path.name for path in (theirs / "linux-64").glob("*-*-*"))
    assert run("--config", str(config)).return_value == 0
    assert sorted(served(folder)) == kept
    assert len(kept) > 0
