"""The whole way of a person at Chromium: from an empty dashboard to a package, an environment, a mirror and an answered request."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from condahub.packages.maker import make_package
from tests.hub import RunningHub
from tests.mirrors_app.core.upstream_server import Channel as Upstream
from tests.mirrors_app.core.upstream_server import Fault, UpstreamServer
from tests.parts import require_part
from tests.portal.browser import PASSWORD, Furnisher, chromium, complaints, context_of, sign_in

pytestmark = pytest.mark.real

# Builds and runs of a mirror take seconds; a machine with much else to do takes longer.
WORK_MS = 180_000
CLIENT_SECONDS = 120
INSTALL = """
import asyncio, os, sys
from rattler import Channel, Client, Gateway, install, solve
async def main(address, folder):
    client = Client.authenticated_client()
    gateway = Gateway(client=client, cache_dir=folder + "/index")
    records = await solve([Channel(address)], ["greeting"], gateway=gateway, platforms=["noarch"])
    await install(records, folder + "/prefix", cache_dir=folder + "/packages", client=client, show_progress=False)
asyncio.run(main(*sys.argv[1:]))
os._exit(0)
"""


@contextmanager
def person(browser: Browser, hub: RunningHub, name: str) -> Iterator[Page]:
    """Somebody who is signed in and says yes when a page asks; the page's console stays silent."""
    context = context_of(browser)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    sign_in(page, hub, name, PASSWORD)
    yield page
    context.close()
    assert complaints(said) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(require_part("chromium")) as found:
        yield found


@pytest.fixture
def voyage(running_hub: RunningHub, tmp_path: Path) -> RunningHub:
    """Nina owns an organization that has nothing yet; Rosa reads in it; Otto is a stranger."""
    make = Furnisher(running_hub, tmp_path)
    for name in ("nina", "rosa", "otto"):
        make.ask("POST", "users", {"username": name, "password": PASSWORD})
    make.ask("POST", "organizations", {"name": "voyage", "owner": "nina"})
    make.ask("PUT", "organizations/voyage/members/rosa", {"role": "reader"})
    make.close()
    return running_hub


def test_from_an_empty_dashboard_to_all_that_the_hub_is_for(voyage: RunningHub, browser: Browser, tmp_path: Path) -> None:
    with person(browser, voyage, "nina") as nina:
        _first_channel(nina, tmp_path)
        _environment(nina, voyage, tmp_path)
        _token(nina, voyage, tmp_path)
        _mirror(nina, voyage, tmp_path)
        _policy(nina, voyage)
        with person(browser, voyage, "rosa") as rosa:
            rosa.goto(f"{voyage.url}/ui/channels/voyage-tools/ask?spec=greeting+1.0")
            rosa.get_by_label("What you need it for").fill("For the report.")
            rosa.get_by_role("button", name="Ask").click()
            nina.goto(f"{voyage.url}/ui/requests")
            nina.get_by_role("link", name="greeting 1.0").click()
            nina.get_by_role("button", name="Approve").click()
            expect(nina.get_by_role("heading", name="Answer")).to_be_visible()
            rosa.goto(f"{voyage.url}/ui/requests?state=approved")
            expect(rosa.get_by_role("row").filter(has_text="greeting 1.0")).to_contain_text("Approved")
            _comes(rosa, f"{voyage.url}/ui/channels/voyage-tools/policy", "Nothing is hidden")
    with person(browser, voyage, "otto") as otto:
        _nothing_of_it(otto, voyage)


def _first_channel(page: Page, folder: Path) -> None:
    """First steps lead to a channel; packages are dropped into it, and a broken one says what is wrong."""
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    page.get_by_role("link", name="Make a channel").click()
    page.get_by_label("Owner").select_option("voyage")
    page.get_by_label("Name").fill("voyage-tools")
    page.get_by_role("button", name="Create it").click()
    expect(page.get_by_role("heading", name="Upload to voyage-tools")).to_be_visible()
    good, other = make_package(folder, name="greeting", version="1.0"), make_package(folder, name="greeting", version="1.1")
    broken = folder / "broken-1.0-0.conda"
    broken.write_bytes(b"no zip at all")
    page.get_by_label("Drop packages here").set_input_files([good, broken, other])
    rows = page.locator(".uploads > li")
    expect(rows.nth(0)).to_contain_text("published in revision")
    expect(rows.nth(2)).to_contain_text("published in revision")
    expect(rows.nth(1)).to_have_attribute("data-state", "failed")
    expect(rows.nth(1).locator("[data-text]")).not_to_be_empty()
    page.get_by_role("link", name="See the channel").click()
    page.get_by_role("link", name="greeting", exact=True).click()
    expect(page.get_by_role("heading", name="greeting 1.1")).to_be_visible()


def _environment(page: Page, hub: RunningHub, folder: Path) -> None:
    """Built while one watches, changed, compared, rolled back."""
    upstream, opened = Upstream(folder / "slow"), threading.Event()
    upstream.add("beacon", "1.0", subdir="noarch")
    with UpstreamServer(upstream.folder, [_held(opened)]) as server:
        _new_mirror(page, hub, "voyage-proxy", server.url, mode="lazy")
        _two_builds(page, hub, opened)
    page.goto(f"{hub.url}/ui/voyage/environments/study/builds")
    page.get_by_role("button", name="Compare the two that are marked").click()
    expect(page.get_by_role("heading", name="From build 1 to build 2")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="greeting")).to_contain_text("1.1")
    page.goto(f"{hub.url}/ui/voyage/environments/study")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("heading", name="Current build 1")).to_be_visible()


def _two_builds(page: Page, hub: RunningHub, opened: threading.Event) -> None:
    """The log of the second is read while it goes on: a package of it is kept back until the page has shown what was said so far."""
    page.goto(f"{hub.url}/ui/environments/new?organization=voyage")
    page.get_by_label("Name", exact=True).fill("study")
    page.locator("[name=channels]").fill("voyage-tools")
    page.locator("[name=packages]").fill("greeting 1.0")
    expect(page.locator("#meaning")).to_contain_text("It solves", timeout=WORK_MS)
    page.get_by_role("button", name="Build it").click()
    expect(page.get_by_role("heading", name="Build 1", level=1)).to_be_visible()
    _completed(page)
    page.get_by_role("link", name="Change it").click()
    text = "name: study\nchannels: [voyage-tools, voyage-proxy]\ndependencies: [greeting >=1.1, beacon]\n"
    page.locator("[name=yaml]").fill(text)
    page.get_by_role("button", name="Build it").click()
    expect(page.get_by_role("heading", name="Build 2", level=1)).to_be_visible()
    expect(page.get_by_label("Log", exact=True)).to_contain_text("2 packages, solved", timeout=WORK_MS)
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("Completed")
    opened.set()
    _completed(page)


def _completed(page: Page) -> None:
    """Comes by itself, and its log stays."""
    expect(page.get_by_role("heading", level=1)).to_contain_text("Completed", timeout=WORK_MS)
    page.locator("#live summary").click()
    expect(page.get_by_label("Log", exact=True)).not_to_be_empty()


def _token(page: Page, hub: RunningHub, folder: Path) -> None:
    """Its secret is shown once, and py-rattler installs with it."""
    page.goto(f"{hub.url}/ui/channels/voyage-tools/packages/greeting")
    page.get_by_role("link", name="Make a token for this").click()
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator("#secret").inner_text()
    address, client = f"{hub.url}/t/{secret}/channels/voyage-tools", folder / "client"
    client.mkdir()
    told = subprocess.run(
        [sys.executable, "-c", INSTALL, address, str(client)], capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False
    )
    assert [path.name for path in (client / "prefix" / "conda-meta").glob("*.json")] == ["greeting-1.1-0.json"], told.stderr
    page.goto(f"{hub.url}/ui/account/tokens?all=1")
    expect(page.get_by_role("row").filter(has_text="browser upload to voyage-tools").first).to_contain_text("Revoked")


def _mirror(page: Page, hub: RunningHub, folder: Path) -> None:
    """Looked at before anything is fetched, then run and watched: the upstream keeps its packages back until that was seen."""
    upstream, opened = Upstream(folder / "upstream"), threading.Event()
    for version in ("1.0", "2.0"):
        upstream.add("buoy", version, subdir="noarch")

    with UpstreamServer(upstream.folder, [_held(opened)]) as server:
        _new_mirror(page, hub, "voyage-mirror", server.url, mode="full")
        page.get_by_role("button", name="Dry run").click()
        expect(page.get_by_role("heading", name="+ To fetch")).to_be_visible(timeout=WORK_MS)
        expect(page.locator("main")).to_contain_text("noarch/buoy-2.0-0.conda")
        page.get_by_role("button", name="Run it").click()
        live = page.locator("#mirror-live [role=status]").filter(has_text="Its log")
        expect(live).to_be_visible()
        expect(live).not_to_contain_text("Waits for a free worker", timeout=WORK_MS)
        opened.set()
        expect(page.get_by_role("row").nth(1)).to_contain_text("Complete", timeout=WORK_MS)
    page.goto(f"{hub.url}/ui/channels/voyage-mirror")
    expect(page.get_by_role("link", name="buoy", exact=True)).to_be_visible()


def _held(opened: threading.Event) -> Fault:
    """Packages wait until it is opened."""

    def hold(request: object, path: Path) -> None:
        if path.suffix == ".conda":
            opened.wait(WORK_MS / 1000)

    return hold


def _new_mirror(page: Page, hub: RunningHub, name: str, url: str, *, mode: str) -> None:
    page.goto(f"{hub.url}/ui/mirrors/new")
    page.get_by_label("Owner").select_option("voyage")
    page.locator("#id_name").fill(name)
    page.locator("#id_visibility").select_option("private")
    page.locator("#id_mode").select_option(mode)
    page.locator("#id_url").fill(url)
    for box in page.locator("[name=subdirs]").all():
        box.set_checked(box.get_attribute("value") == "noarch")
    page.get_by_role("button", name="Make the mirror").click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def _policy(page: Page, hub: RunningHub) -> None:
    """What a rule would hide is told before it is saved."""
    path = f"{hub.url}/ui/channels/voyage-tools/policy"
    page.goto(path)
    page.get_by_label("Packages that are not").fill("greeting 1.0")
    page.get_by_role("button", name="See what it would hide").click()
    expect(page.locator("#preview")).to_contain_text("greeting-1.0-0.conda")
    page.get_by_role("button", name="Save").click()
    _comes(page, path, "greeting-1.0-0.conda")


def _comes(page: Page, path: str, text: str) -> None:
    """A page that is looked at until it says so."""
    deadline = time.monotonic() + WORK_MS / 1000
    page.goto(path)
    while not page.locator(".columns > .stack").first.get_by_text(text).count():
        assert time.monotonic() < deadline, page.locator("main").inner_text()
        time.sleep(0.3)
        page.reload()


def _nothing_of_it(page: Page, hub: RunningHub) -> None:
    for path in ("/ui/", "/ui/channels", "/ui/environments", "/ui/mirrors", "/ui/requests", "/ui/jobs", "/ui/search?q=greet"):
        page.goto(hub.url + path)
        assert not re.search(r"voyage|study|greeting", page.content()), path
    for path in ("/ui/channels/voyage-tools", "/ui/voyage/environments/study", "/ui/channels/voyage-mirror/mirror"):
        page.goto(hub.url + path)
        expect(page.get_by_role("heading", name="You may not do this, or it does not exist.")).to_be_visible()
