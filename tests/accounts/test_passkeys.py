"""In Chromium: a passkey is registered and opens the account; every page of signing in is looked at, wide and narrow, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from condahub.ops.supervise import any_free_port
from tests.hub import RunningHub
from tests.parts import require_part
from tests.portal.browser import NARROW, WIDE, chromium, context_of, overflow, serious_faults

pytestmark = pytest.mark.real

OWN_PAGES = ("/ui/account", "/accounts/sessions/", "/accounts/2fa/", "/accounts/linked/", "/accounts/email/")
DOORS = ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/inactive/", "/accounts/linked/cancelled/")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """At a name, as passkeys need one, and with everything that the sign-in page can show."""
    port = str(any_free_port())
    environment = {
        "PORT": port,
        "CONDAHUB_PUBLIC_URL": f"http://localhost:{port}",
        "CONDAHUB_EMAIL_URL": "smtp://127.0.0.1:9",
        "CONDAHUB_OIDC_PROVIDERS": "company",
        "CONDAHUB_OIDC_COMPANY_NAME": "Company",
        "CONDAHUB_OIDC_COMPANY_URL": "http://127.0.0.1:9",
        "CONDAHUB_OIDC_COMPANY_CLIENT_ID": "condahub",
    }
    running = RunningHub.start(tmp_path_factory.mktemp("hub"), environment)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(require_part("chromium")) as found:
        yield found


def url(hub: RunningHub, path: str) -> str:
    return f"{hub.environment['CONDAHUB_PUBLIC_URL']}{path}"


def sign_in(page: Page, hub: RunningHub) -> None:
    page.goto(url(hub, "/accounts/login/"))
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(hub.admin_password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_opens_the_account_and_nothing_else_was_typed(hub: RunningHub, browser: Browser) -> None:
    context = context_of(browser)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    debugger = context.new_cdp_session(page)
    debugger.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    debugger.send("WebAuthn.addVirtualAuthenticator", {"options": {**key, "automaticPresenceSimulation": True}})
    sign_in(page, hub)
    page.goto(url(hub, "/accounts/2fa/"))
    page.get_by_role("link", name="Add one").click()
    page.get_by_label("Password").fill(hub.admin_password)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_label("Signs in without a password").check()
    assert serious_faults(page) == []
    page.get_by_role("button", name="Register it").click()
    expect(page.locator("#recovery")).to_contain_text(re.compile(r"\d{8}"))
    page.goto(url(hub, "/accounts/2fa/webauthn/"))
    expect(page.get_by_role("row").filter(has_text="laptop")).to_contain_text("Passkey")
    page.get_by_label("admin: account").click()
    page.get_by_role("button", name="Sign out").click()

    page.goto(url(hub, "/accounts/login/?next=/ui/organizations"))
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(url(hub, "/ui/organizations"))
    page.context.clear_cookies()

    sign_in(page, hub)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    assert serious_faults(page) == []
    page.get_by_role("button", name="Use a passkey or key").click()
    page.wait_for_url(url(hub, "/ui/"))
    context.close()
    assert said == []


def test_every_page_of_it_is_fit_to_be_looked_at(hub: RunningHub, browser: Browser) -> None:
    found: list[str] = []
    for size, dark in ((WIDE, False), (NARROW, True)):
        context = context_of(browser, size, dark=dark)
        page = context.new_page()
        for path in DOORS:
            page.goto(url(hub, path))
            found += [f"{path} {size[0]}: {fault}" for fault in (*serious_faults(page), *overflow(page))]
        context.close()
    assert found == []


def test_ones_own_pages_are_fit_too(hub: RunningHub, browser: Browser, tmp_path: Path) -> None:
    context = context_of(browser)
    page = context.new_page()
    secret = hub.headers["Authorization"].split()[1]
    made = page.request.post(
        url(hub, "/api/hub/v1/users"),
        data={"username": "ada", "password": "a-scientist-signs-in-7"},
        headers={"Authorization": f"Bearer {secret}"},
    )
    assert made.ok, made.text()
    page.goto(url(hub, "/accounts/login/"))
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("a-scientist-signs-in-7")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto(url(hub, "/accounts/2fa/totp/activate/"))
    page.get_by_label("Password").fill("a-scientist-signs-in-7")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_alt_text("The key below as a QR code")).to_be_visible()
    found: list[str] = []
    for size, scheme in ((WIDE, "light"), (NARROW, "dark")):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for path in (*OWN_PAGES, "/accounts/2fa/totp/activate/"):
            page.goto(url(hub, path))
            found += [f"{path} {size[0]}: {fault}" for fault in (*serious_faults(page), *overflow(page))]
    context.close()
    assert found == []
