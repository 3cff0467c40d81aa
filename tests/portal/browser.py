"""Debian's Chromium, driven as a person drives it, and a hub furnished with something to look at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from condahub.packages.maker import make_package
from tests.hub import RunningHub

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
WIDE, NARROW = (1440, 900), (390, 844)
AXE = Path(__file__).parent.parent / "vendor" / "axe.min.js"
# Long: who waits for a state waits no longer than it takes.
TIMEOUT_MS = 60_000
expect.set_options(timeout=TIMEOUT_MS)
BUILD_SECONDS = 180.0
PASSWORD = "a-scientist-signs-in-7"


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """One browser for the length of a block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def context_of(
    browser: Browser, size: tuple[int, int] = WIDE, *, dark: bool = False, scripts: bool = True, locale: str = "en-US"
) -> BrowserContext:
    """A person's browser: its window, what its machine prefers, whether scripts run in it. locale: never the testing machine's own."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        java_script_enabled=scripts,
        locale=locale,
        # axe is put into pages whose policy takes no strange script.
        bypass_csp=False,
    )
    context.set_default_timeout(TIMEOUT_MS)
    return context


def sign_in(page: Page, hub: RunningHub, username: str = "admin", password: str | None = None) -> None:
    page.goto(f"{hub.url}/accounts/login/")
    page.locator("input[name=username]").fill(username)
    page.locator("input[name=password]").fill(hub.admin_password if password is None else password)
    page.locator("form:has(input[name=password]) button").click()
    page.wait_for_url(f"{hub.url}/ui/")


def complaints(said: list[str]) -> list[str]:
    """Of a console's lines those that tell of a fault: neither refusals, which tests ask for, nor a poll that leaving its page cut off."""
    cut_off = ("htmx:afterRequest,", "htmx:sendAbort,", "htmx:sendError,")
    return [line for line in said if "status of 4" not in line and not line.startswith(cut_off)]


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds on this page that is serious or critical, contrast included."""
    # Through the debugger, which the page's own policy does not bind.
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {[node['target'] for node in fault['nodes']][:4]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def overflow(page: Page) -> list[str]:
    """Elements that stick out of the window sideways (inside what scrolls by itself they may)."""
    script = """() => {
      const wide = document.documentElement.clientWidth;
      const scrolls = (one) => { for (let up = one.parentElement; up; up = up.parentElement)
        if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(up).overflowX)) return true; return false; };
      return [...document.querySelectorAll('body *')].filter((one) => {
        const box = one.getBoundingClientRect();
        return box.width && box.right > wide + 1 && !scrolls(one) && getComputedStyle(one).position !== 'absolute';
      }).slice(0, 8).map((one) => `${one.tagName}.${one.className} ${Math.round(one.getBoundingClientRect().right)}`);
    }"""
    found: list[str] = page.evaluate(script)
    return found


class Furnisher:
    """Puts people, organizations, channels and packages into a running hub, by its API."""

    def __init__(self, hub: RunningHub, folder: Path) -> None:
        self._hub = hub
        self._folder = folder
        self._client = httpx.Client(base_url=f"{hub.url}/api/hub/v1/", headers=hub.headers, timeout=60)

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body)
        response = self._client.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert response.status_code < 300, (method, path, response.text)
        return response.json() if response.content else None

    def upload(self, channel: str, **about: Any) -> Path:
        path = make_package(self._folder / about.get("subdir", "noarch"), **about)
        headers = {"Content-Type": "application/octet-stream"}
        response = self._client.post(f"channels/{channel}/upload/{path.name}", content=path.read_bytes(), headers=headers)
        assert response.status_code in (200, 201), response.text
        return path

    def furnish(self, *, loopback: bool = False) -> None:
        """A company with two organizations, four people, channels of each visibility, and packages with a past.

        loopback: and what connects somewhere, to this very hub, which must be allowed to.
        """
        with self._client:
            self._organizations()
            self._channels()
            self._packages()
            self._union()
            self._policies()
            if loopback:
                self._mirrors()
                self._webhooks()
            self._environments()

    def _organizations(self) -> None:
        for name, shown in (("ada", "Ada Osei"), ("ben", "Ben Koch"), ("chen", "Chen Li"), ("dora", "Dora Vidal")):
            self.ask("POST", "users", {"username": name, "display_name": shown, "password": PASSWORD})
        self.ask("POST", "organizations", {"name": "data-science", "title": "Data science", "owner": "ada"})
        self.ask("PUT", "organizations/data-science/quota", {"quota_bytes": 2_000_000})
        self.ask("POST", "organizations", {"name": "genomics", "title": "Genomics laboratory", "owner": "dora"})
        for name, role in (("ben", "maintainer"), ("chen", "contributor")):
            self.ask("PUT", f"organizations/data-science/members/{name}", {"role": role})
        self.ask("POST", "organizations/data-science/teams", {"slug": "forecast", "title": "Forecasting"})
        self.ask("PUT", "organizations/data-science/teams/forecast/members/chen")
        self.ask("POST", "organizations/data-science/robots", {"name": "ci"})

    def _channels(self) -> None:
        for organization, name, visibility, text in (
            (
                "data-science",
                "forecast",
                "private",
                "Models and tools of the forecasting team. Ask Ada before you depend on anything below 1.0.",
            ),
            ("data-science", "ds-shared", "internal", "What everybody in the house may install."),
            ("data-science", "ds-open", "public", "Our open-source packages."),
            ("genomics", "genomics-private", "private", "Pipelines of the genomics laboratory."),
        ):
            body = {"organization": organization, "name": name, "visibility": visibility, "description": text}
            self.ask("POST", "channels", body)

    def _union(self) -> None:
        """One channel made of three; a name that two of them hold, one merged and one reserved."""
        body = {"organization": "data-science", "name": "team-tools", "kind": "virtual", "members": ["forecast", "ds-shared", "ds-open"]}
        self.ask("POST", "channels", {**body, "description": "All that the team installs from."})
        self.ask("POST", "channels/team-tools/union/reservations", {"names": ["ds-*"], "member": "forecast", "reason": "ours"})

    def _policies(self) -> None:
        """Rules that hide something, and somebody who asks for it."""
        rules = {"names": {"denied": ["season =1.0.1"], "effect": "hold"}, "size": {"max_bytes": 5_000_000}}
        self.ask("PUT", "channels/forecast/policy", {"rules": rules})
        self.ask("PUT", "organizations/data-science/policy", {"rules": {"licenses": {"denied": ["AGPL*"]}}})
        self.ask("POST", "channels/forecast/requests", {"spec": "torch >=2.4", "reason": "Training on the new cards needs it."})

    def _mirrors(self) -> None:
        """One that ran well by the clock, one whose upstream is not there, and one that fetches on demand; of this hub's own channel."""
        own = {
            "organization": "data-science",
            "upstreams": [{"url": f"{self._hub.url}/channels/ds-open"}],
            "subdirs": ["noarch", "linux-64"],
        }
        schedule = {
            "schedule": "30 2 * * 1-5",
            "time_zone": "Europe/Berlin",
            "mode": "filtered",
            "filters": {"exclude": ["house-style <3"]},
        }
        self.ask("POST", "mirrors", {**own, "name": "open-copy", **schedule})
        self.ask("POST", "mirrors", {**own, "name": "open-proxy", "mode": "lazy"})
        self.ask("POST", "mirrors", {**own, "name": "lost-copy", "upstreams": [{"url": f"{self._hub.url}/channels/nobodys"}]})
        for name in ("open-copy", "lost-copy"):
            job = self.ask("POST", f"mirrors/{name}/run")["job"]
            self._until_it_ended(f"jobs/{job}")
        plan = self.ask("POST", "mirrors/open-copy/plan", {"filters": {"include": ["house-style"]}})
        self._until_it_ended(f"jobs/{plan['job']}")

    def _webhooks(self) -> None:
        self.ask(
            "POST",
            "organizations/data-science/webhooks",
            {"name": "chat", "url": f"{self._hub.url}/hooks/forecast", "types": ["*"]},
        )

    def _until_it_ended(self, path: str) -> None:
        until = time.monotonic() + BUILD_SECONDS
        while self.ask("GET", path)["state"] in ("waiting", "running"):
            assert time.monotonic() < until, self._hub.log[-3000:]
            time.sleep(0.5)

    def _environments(self) -> None:
        """One with a past and a failed newest build, one that everybody may use, and one that says nothing yet."""
        head = "channels:\n  - forecast\n  - ds-open\ndependencies:\n"
        for number, lines in enumerate(
            ("  - backtest-lite 0.1\n  - calendars 2.0\n", "  - backtest-lite\n  - calendars\n  - house-style >=3\n"), 1
        ):
            assert self._built("daily-forecast", number, f"name: daily-forecast\n{head}{lines}") == "completed"
        assert (
            self._built("daily-forecast", 3, f"name: daily-forecast\n{head}  - backtest-lite\n  - calendars <2.0\n  - season =1.0.1\n")
            == "failed"
        )
        text = "name: plotting\nchannels:\n  - ds-open\ndependencies:\n  - house-style\n"
        assert self._built("plotting", 1, text) == "completed"
        self.ask(
            "PATCH",
            "organizations/data-science/environments/plotting",
            {"visibility": "public", "description": "Plots in the house style."},
        )
        about = {"name": "winter-study", "description": "For the paper on winter loads."}
        self.ask("POST", "organizations/data-science/environments", about)

    def _built(self, environment: str, number: int, text: str) -> str:
        """The state in which this build has ended."""
        path = f"organizations/data-science/environments/{environment}/builds"
        self.ask("POST", path, {"specification": text})
        until = time.monotonic() + BUILD_SECONDS
        while (state := str(self.ask("GET", f"{path}/{number}")["state"])) in ("queued", "running"):
            assert time.monotonic() < until, self._hub.log[-3000:]
            time.sleep(0.5)
        return state

    def _packages(self) -> None:
        about = {"summary": "Seasonal models with calendars of holidays", "license": "BSD-3-Clause", "home": "https://example.org/season"}
        about["description"] = "Fits seasonal models to daily series.\n\nHolidays come from the calendars package; see the examples."
        for version in ("0.8.0", "0.9.0", "1.0.0", "1.0.1", "1.1.0", "1.2.0rc1", "1.2.0"):
            for subdir in ("linux-64", "osx-arm64", "win-64"):
                if (version, subdir) in (("0.8.0", "osx-arm64"), ("0.8.0", "win-64"), ("1.2.0rc1", "win-64")):
                    continue
                for build in ("py311_0", "py312_0"):
                    depends = ["python >=3.11,<3.13", "numpy >=1.26,<3", "calendars >=2.0", "__glibc >=2.28"][
                        : 4 if subdir == "linux-64" else 3
                    ]
                    self.upload("forecast", name="season", version=version, build=build, subdir=subdir, about=about, depends=depends)
        calendars = {"summary": "Calendars of public holidays", "license": "MIT"}
        for version in ("2.0", "2.1"):
            self.upload("forecast", name="calendars", version=version, about=calendars)
        for name, summary in (
            ("backtest", "Replays forecasts against what came"),
            ("energy-prices", "Loads day-ahead prices of the exchanges"),
            ("gridload", "Loads the load of the grid"),
            ("model-cards", "Writes model cards from runs"),
            ("weather-lite", "Small weather features for models of load and price, with a summary that is long enough to be cut somewhere"),
        ):
            self.upload("forecast", name=name, version="0.3.1", about={"summary": summary, "license": "MIT"}, depends=["season", "pandas"])
        for version in ("0.1", "0.2"):
            about = {"summary": "Replays forecasts, without models", "license": "MIT"}
            self.upload("forecast", name="backtest-lite", version=version, about=about, depends=["calendars >=2.0"])
        for channel in ("ds-shared", "ds-open"):
            self.upload(channel, name="house-style", version="3.2", about={"summary": "Plots in the house style", "license": "MIT"})
        self.upload("genomics-private", name="secret-assembler", version="5.0", about={"summary": "Assembles in secret"})
        keys = [{"subdir": "linux-64", "filename": "season-1.0.0-py311_0.conda"}]
        self.ask("POST", "channels/forecast/files/yank", {"files": keys, "reason": "wrong holidays in 2026"})
        keys = [{"subdir": "osx-arm64", "filename": f"season-1.0.1-py31{minor}_0.conda"} for minor in (1, 2)]
        self.ask("POST", "channels/forecast/files/quarantine", {"files": keys, "reason": "crashes on start, being looked at"})
        keys = [{"subdir": "linux-64", "filename": f"season-0.8.0-py31{minor}_0.conda"} for minor in (1, 2)]
        self.ask("POST", "channels/forecast/files/delete", {"files": keys})
