"""`make run`, as a person at the terminal meets it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from condahub.ops.roles import HOME, SERVING
from condahub.ops.supervise import any_free_port
from tests.hub import ADMIN_PASSWORD, ADMIN_TOKEN, RunningHub
from tests.ops.test_children import alive

pytestmark = pytest.mark.real


def refused(**environment: str) -> str:
    """What a start that cannot be says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONDAHUB_", "PORT", "DJANGO_"))}
    arguments = [sys.executable, "-m", "condahub.ops.supervise"]
    ended = subprocess.run(arguments, cwd=HOME, env={**kept, **environment}, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr + ended.stdout
    return ended.stderr + ended.stdout


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file that lasts, but for the database, which a beat may touch."""
    fleeting = ("processes.json", "supervisor.lock", "output.log", "condahub.sqlite3", "queue/")
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if not name.startswith(fleeting)}


def test_the_first_start_tells_the_address_and_shows_a_password_once_and_the_second_changes_nothing(
    start_a_hub: Callable[..., RunningHub], eventually: Callable[..., object]
) -> None:
    hub = start_a_hub(from_nothing=True, CONDAHUB_ADMIN_PASSWORD="", CONDAHUB_ADMIN_TOKEN="", CONDAHUB_DEMO="1")
    eventually(lambda: "Ctrl-C ends it." in hub.log)
    assert f"Address      {hub.url}/" in hub.log
    assert re.search(r"Sign in as +admin\n", hub.log)
    found = re.search(r"Password +(\S{20}) +\(shown this once\)", hub.log)
    assert found
    hub.stop()
    before = snapshot(hub.data)

    again = RunningHub.start(hub.data, hub.environment)
    eventually(lambda: again.log.count("Ctrl-C ends it.") == 2)
    assert again.log.count(found[1]) == 1
    assert "as it was set" in again.log
    again.stop()
    assert snapshot(hub.data) == before


def test_what_the_operator_gives_for_the_administrator_is_written_nowhere(running_hub: RunningHub) -> None:
    httpx.get(f"{running_hub.url}/channels/anything/noarch/repodata.json", headers=running_hub.headers)
    for path in running_hub.data.rglob("*"):
        # The hub goes on working: what was here may be gone.
        with suppress(FileNotFoundError, IsADirectoryError):
            content = path.read_bytes()
            assert ADMIN_PASSWORD.encode() not in content, path
            assert ADMIN_TOKEN.encode() not in content, path


def test_killed_servers_answer_again_by_themselves(start_a_hub: Callable[..., RunningHub], eventually: Callable[..., object]) -> None:
    hub = start_a_hub()
    killed = [hub.kill("web"), hub.kill("data")]
    eventually(lambda: not set(killed) & set(hub.pids().values()))
    hub.wait_until_live()
    assert set(hub.pids()) == {"supervisor", *SERVING}


def test_ctrl_c_ends_every_process(start_a_hub: Callable[..., RunningHub], eventually: Callable[..., object]) -> None:
    hub = start_a_hub()
    pids = hub.pids()
    hub.process.send_signal(signal.SIGINT)
    assert hub.process.wait(60) == 0
    assert not any(alive(pid) for pid in pids.values())
    assert not (hub.data / "processes.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is prctl's")
def test_nothing_outlives_a_killed_supervisor(start_a_hub: Callable[..., RunningHub], eventually: Callable[..., object]) -> None:
    hub = start_a_hub()
    pids = hub.pids()
    hub.process.kill()
    hub.process.wait()
    eventually(lambda: not any(alive(pid) for pid in pids.values()))

    def port_is_free() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(hub.environment["PORT"]))) != 0

    # The servers' own workers notice within moments that their master is gone.
    eventually(port_is_free)


def test_a_second_hub_on_the_same_folder_is_refused_in_a_sentence(running_hub: RunningHub) -> None:
    said = refused(CONDAHUB_DATA=str(running_hub.data))
    assert f"another hub (process {running_hub.process.pid}) runs on the data folder" in said
    assert httpx.get(f"{running_hub.url}/livez").status_code == 200


def test_a_busy_port_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in refused(CONDAHUB_DATA=str(tmp_path), PORT=port)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "http", "PORT must be a number from 1 to 65535"),
        ("CONDAHUB_HOST", "192.0.2.1", "192.0.2.1 is not an address of this machine"),
        ("CONDAHUB_DATA", "/dev/null/hub", "cannot be written"),
        ("CONDAHUB_ADMIN_TOKEN", "with/slash", "may hold only letters, digits"),
        ("CONDAHUB_PUBLIC_URL", "hub.example.org", "must be the hub's address, such as https://hub.example.org"),
        ("CONDAHUB_PUBLIC_URL", "https://hub.example.org/conda", "with no path after it"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_a_sentence(tmp_path: Path, variable: str, value: str, sentence: str) -> None:
    assert sentence in refused(**{"CONDAHUB_DATA": str(tmp_path), "PORT": str(any_free_port()), variable: value})


def test_a_hub_without_public_channels_starts_and_its_demo_is_as_open_as_it_allows(start_a_hub: Callable[..., RunningHub]) -> None:
    hub = start_a_hub(CONDAHUB_DEMO="1", CONDAHUB_ALLOW_PUBLIC_CHANNELS="0")
    assert httpx.get(f"{hub.url}/channels/demo/noarch/repodata.json").status_code == 401
    demo = httpx.get(f"{hub.url}/api/hub/v1/channels/demo", headers=hub.headers).json()
    assert demo["visibility"] == "internal"


def test_a_hub_opened_to_the_network_answers_by_this_machines_own_addresses_and_no_others(
    start_a_hub: Callable[..., RunningHub], eventually: Callable[..., object]
) -> None:
    hub = start_a_hub(CONDAHUB_HOST="0.0.0.0", CONDAHUB_ADMIN_TOKEN="short-token")
    asked = f"{hub.url}/api/hub/v1/hub"
    assert httpx.get(asked, headers={"Host": socket.gethostname()}).status_code == 200
    assert httpx.get(asked, headers={"Host": "elsewhere.example.org"}).status_code == 400
    eventually(lambda: "set CONDAHUB_PUBLIC_URL" in hub.log)
    assert "warning: CONDAHUB_ADMIN_TOKEN is shorter than" in hub.log
