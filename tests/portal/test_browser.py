"""A person at Chromium: from signing in to a package that others install, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from condahub.packages.maker import make_package
from tests.hub import RunningHub
from tests.parts import require_part
from tests.portal.browser import NARROW, PASSWORD, WIDE, Furnisher, chromium, complaints, context_of, overflow, serious_faults, sign_in
from tests.portal.screenshots import PAGES

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(require_part("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def furnished(running_hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> RunningHub:
    Furnisher(running_hub, tmp_path_factory.mktemp("made")).furnish()
    return running_hub


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose console stays silent: a script or style that the policy stops would speak there."""
    context = context_of(browser)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert complaints(said) == []


def test_search_by_key_and_arrows(furnished: RunningHub, page: Page) -> None:
    sign_in(page, furnished, "ada", PASSWORD)
    page.keyboard.press("/")
    page.keyboard.type("seas", delay=30)
    expect(page.locator("#suggestions a").first).to_contain_text("season")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="season")).to_be_visible()


def test_a_filter_acts_while_typing_and_stays_in_the_address(furnished: RunningHub, page: Page) -> None:
    sign_in(page, furnished, "ada", PASSWORD)
    page.goto(f"{furnished.url}/ui/channels/forecast")
    page.get_by_label("Part of the name or summary").fill("grid")
    expect(page.locator("#packages tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{furnished.url}/ui/channels/forecast?q=grid&platform=")
    page.reload()
    expect(page.locator("#packages tbody tr")).to_have_count(1)


def test_the_client_that_was_chosen_is_remembered(furnished: RunningHub, page: Page) -> None:
    sign_in(page, furnished, "ada", PASSWORD)
    page.goto(f"{furnished.url}/ui/channels/forecast")
    page.get_by_text("pixi", exact=True).click()
    page.goto(f"{furnished.url}/ui/channels/forecast/packages/season")
    expect(page.get_by_text("pixi add season")).to_be_visible()


def test_a_package_is_uploaded_without_scripts(furnished: RunningHub, browser: Browser, tmp_path: Path) -> None:
    page = context_of(browser, scripts=False).new_page()
    sign_in(page, furnished, "chen", PASSWORD)
    page.goto(f"{furnished.url}/ui/channels/forecast/upload")
    page.locator("input[type=file]").set_input_files(make_package(tmp_path, name="scriptless", version="1.0"))
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("scriptless-1.0-0.conda published")).to_be_visible()
    page.get_by_text("mamba", exact=True).click()
    expect(page.get_by_text("mamba config append")).to_be_visible()
    page.context.close()


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide light", "narrow dark"])
def test_every_page_is_fit_for_everybody(furnished: RunningHub, browser: Browser, size: tuple[int, int], dark: bool) -> None:
    page = context_of(browser, size, dark=dark).new_page()
    faults: dict[str, list[str]] = {}

    def look(path: str) -> None:
        page.goto(furnished.url + path)
        if found := [*overflow(page), *serious_faults(page)]:
            faults[path] = found

    look("/accounts/login/")
    look("/ui/channels")
    sign_in(page, furnished, "ada", PASSWORD)
    for path in PAGES.values():
        look(path)
    page.context.close()
    assert faults == {}


def test_the_admin_is_reached_by_the_same_door_and_is_fit_for_a_narrow_window(running_hub: RunningHub, page: Page) -> None:
    page.goto(f"{running_hub.url}/admin/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(running_hub.admin_password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{running_hub.url}/admin/")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    faults: dict[str, list[str]] = {}
    for path in (
        "",
        "schedules/",
        "checks/",
        "maintenance/",
        "collect/",
        "channels/channel/",
        "accounts/user/",
        "socialaccount/socialapp/add/",
        "accounts/grouprule/add/",
    ):
        page.goto(f"{running_hub.url}/admin/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if found := [*overflow(page), *serious_faults(page)]:
            faults[path] = found
    assert faults == {}
