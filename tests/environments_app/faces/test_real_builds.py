"""conda-store's own command and UI, as they are published, on a hub that builds: asked for, waited for, downloaded, run, looked at."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.engine.channels import PLACEHOLDER, Served
from tests.engine.cpython import VERSION, add_python
from tests.environments_app.faces.client import call, run
from tests.environments_app.site import Site, site
from tests.parts import require_part
from tests.portal.browser import chromium, context_of

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="environments are built on Linux")]
SPEC = "name: analysis\nchannels: [forge]\ndependencies: [python, tool]\nvariables: {GREETING: hello}\n"
BUILD_MS = 90_000


@pytest.fixture(scope="module")
def hub() -> Iterator[Site]:
    """A hub with a python and a small package, and one environment, `acme/analysis`."""
    with site() as running:
        running.channel("forge", visibility="public")
        made = Served("forge", running.packages / "forge")
        add_python(made, PLACEHOLDER)
        made.add("small", files={"share/small.txt": b"small"})
        for path in sorted(made.folder.glob("*/*.conda")):
            running.push("forge", path, path.parent.name)
        running.made("analysis", SPEC)
        yield running


@pytest.fixture(scope="module")
def token(hub: Site) -> str:
    """Of a contributor of acme, who is no administrator."""
    return hub.robot("acme")["Authorization"].removeprefix("Bearer ")


def test_the_command_solves(hub: Site, command: str, token: str, tmp_path: Path) -> None:
    spec = tmp_path / "environment.yml"
    spec.write_text(SPEC)
    found = json.loads(run(command, hub.hub, "solve", str(spec), "--output", "json", token=token))
    assert {row["name"]: row["version"] for row in found} == {"python": VERSION, "tool": "1.0"}
    assert all(isinstance(row["channel_id"], int) for row in found)
    assert "Total Size" in run(command, hub.hub, "solve", str(spec), token=token)


def test_the_command_waits_lists_and_downloads(hub: Site, command: str, token: str, tmp_path: Path) -> None:
    run(command, hub.hub, "wait", "acme/analysis", "--interval", "1", "--timeout", "60", token=token)
    run(command, hub.hub, "wait", "acme/analysis", "--artifact", "archive", "--interval", "1", token=token)
    rows = json.loads(
        run(command, hub.hub, "list", "build", "--package", "python", "--artifact", "CONDA_PACK", "--output", "json", token=token)
    )
    number = rows[0]["id"]
    assert rows[0]["status"] == "COMPLETED"
    assert json.loads(run(command, hub.hub, "list", "build", "--status", "FAILED", "--output", "json", token=token)) == []

    def download(artifact: str, name: str, uri: str) -> Path:
        arguments = ("download", uri, "--artifact", artifact, "--output-filename", name)
        assert run(command, hub.hub, *arguments, token=token, folder=tmp_path) == str(tmp_path / name)
        return tmp_path / name

    assert yaml.safe_load(download("yaml", "a.yaml", "acme/analysis").read_text())["variables"] == {"GREETING": "hello"}
    lock = json.loads(download("lockfile", "a.lock", str(number)).read_text())
    assert {package["name"] for package in lock["package"]} == {"python", "tool"}
    with tarfile.open(download("archive", "a.tar.gz", f"acme/analysis:{number}")) as archive:
        assert "bin/conda-unpack" in archive.getnames()
    assert "solved in" in download("logs", "a.log", str(number)).read_text()


def test_the_command_runs_a_program_of_an_environment(hub: Site, command: str, token: str, tmp_path: Path) -> None:
    script = "import os, sys, tool; print(sys.prefix, os.environ['GREETING'])"
    told = run(command, hub.hub, "run", "acme/analysis", "--", "python", "-c", script, token=token, TMPDIR=str(tmp_path))
    place, greeting = told.split()
    assert greeting == "hello" and Path(place).parent == tmp_path / "conda-store"


def test_the_command_waits_for_a_first_build_by_the_environment_s_name(hub: Site, command: str, token: str) -> None:
    number = hub.post("fresh", "channels: [forge]\ndependencies: [small]\n")
    run(command, hub.hub, "wait", "acme/fresh", "--interval", "1", "--timeout", "80", token=token)
    assert hub.build("fresh", number)["state"] == "completed"


def test_the_command_fails_with_a_sentence_where_there_is_nothing(hub: Site, command: str, token: str) -> None:
    failed = hub.wait("broken", hub.post("broken", "channels: [forge]\ndependencies: [absent]\n"))
    assert failed["state"] == "failed"
    number = json.loads(run(command, hub.hub, "list", "build", "--status", "FAILED", "--output", "json", token=token))[0]["id"]
    told = call(command, hub.hub, "wait", str(number), "--interval", "1", token=token)
    assert told.returncode == 1 and "failed" in told.stderr and "Traceback" not in told.stderr
    for uri in ("acme/nowhere", "999999"):
        told = call(command, hub.hub, "wait", uri, token=token)
        assert told.returncode == 1 and "Error getting" in told.stderr and "Traceback" not in told.stderr


# Its form takes what was typed into one part over to the others after a while, and sends what it has by then.
UI_SETTLES_MS = 1500


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser whose console stays silent: a script, style or address that the policy stops would speak there."""
    with chromium(require_part("chromium")) as browser:
        context = context_of(browser)
        opened = context.new_page()
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: said.append(str(error)))
        strange: list[str] = []
        opened.on("request", lambda request: strange.append(request.url) if "//127.0.0.1" not in request.url else None)
        yield opened
        context.close()
    # It writes sizes into an icon that no browser takes; there is no icon for the tab.
    assert [line for line in said if "<svg> attribute" not in line and "status of 404" not in line] == []
    assert [url for url in strange if not url.startswith("data:")] == []


def _change_with_the_form(hub: Site, page: Page) -> None:
    """A package added, the build before chosen again, the environment deleted."""
    path = "organizations/acme/environments/by-hand"

    def edit() -> None:
        page.goto(f"{hub.hub.url}/conda-store/ui/acme/by-hand")
        expect(page.get_by_text("Status: Completed")).to_be_visible(timeout=BUILD_MS)
        page.get_by_role("button", name="Edit").click()

    edit()
    page.get_by_role("button", name="+ Add Package").click()
    page.keyboard.type("tool")
    page.get_by_role("option", name="tool", exact=True).click()
    page.wait_for_timeout(UI_SETTLES_MS)
    with page.expect_response(
        lambda answer: answer.url.endswith("/specification/") and answer.request.method == "POST", timeout=BUILD_MS
    ) as posted:
        page.get_by_role("button", name="Save").click()
    assert posted.value.ok, posted.value.text()
    assert hub.wait("by-hand", 2)["state"] == "completed" and (hub.folder("by-hand") / "bin" / "tool").exists()
    edit()
    page.get_by_role("combobox").first.click()
    expect(page.get_by_role("option")).to_have_count(2, timeout=BUILD_MS)
    page.get_by_role("option").last.click()
    with page.expect_response(lambda answer: answer.request.method == "PUT", timeout=BUILD_MS) as changed:
        page.get_by_role("button", name="Change environment version").click()
    assert changed.value.ok and hub.do("GET", path)["current_build"]["number"] == 1
    edit()
    page.get_by_text("Delete environment").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("The environment by-hand has been deleted")).to_be_visible(timeout=BUILD_MS)
    assert hub.call("GET", path).status_code == 403


def test_the_ui_shows_environments_makes_changes_and_deletes_one(hub: Site, page: Page) -> None:
    page.goto(f"{hub.hub.url}/conda-store/ui/")
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(hub.hub.admin_password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/conda-store/ui/")
    page.get_by_text("acme", exact=True).click()
    page.get_by_role("link", name="analysis", exact=True).click()
    expect(page.get_by_text("Status: Completed")).to_be_visible()
    expect(page.get_by_text(VERSION)).to_be_visible()
    page.get_by_label("Create a new environment in the acme namespace").click()
    page.get_by_placeholder("Environment name").or_(page.get_by_label("Environment name")).first.fill("by-hand")
    page.wait_for_timeout(UI_SETTLES_MS)
    page.get_by_label("YAML").check()
    page.wait_for_timeout(UI_SETTLES_MS)
    editor = page.get_by_test_id("yaml-editor").get_by_role("textbox")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("channels:\n  - forge\ndependencies:\n  - small\nvariables: {}\n")
    page.wait_for_timeout(UI_SETTLES_MS)
    page.get_by_role("button", name="Create", exact=True).click()
    page.wait_for_url("**/conda-store/ui/acme/by-hand")
    expect(page.get_by_text("Status: Completed")).to_be_visible(timeout=BUILD_MS)
    assert (hub.folder("by-hand") / "share" / "small.txt").read_text() == "small"
    _change_with_the_form(hub, page)
    page.goto(f"{hub.hub.url}/conda-store/ui/")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.get_by_text(re.compile("^acme$"))).to_have_count(0)
