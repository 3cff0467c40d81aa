"""Pictures of the portal's main pages: `make screenshots` remakes those of docs/; `--all FOLDER` takes every page in every look."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.hub import RunningHub, start_hub
from tests.parts import PARTS
from tests.portal.browser import NARROW, PASSWORD, WIDE, Furnisher, chromium, context_of, overflow, serious_faults, sign_in

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "screenshots"
PAGES = {
    "dashboard": "/ui/",
    "channels": "/ui/channels",
    "channel": "/ui/channels/forecast",
    "package": "/ui/channels/forecast/packages/season",
    "package-needed-by": "/ui/channels/forecast/packages/python/needed-by",
    "package-copy": "/ui/channels/forecast/packages/season/copy",
    "file": "/ui/channels/forecast/files/linux-64/season-1.2.0-py312_0.conda",
    "file-inside": "/ui/channels/forecast/files/linux-64/season-1.2.0-py312_0.conda?files=1",
    "upload": "/ui/channels/forecast/upload",
    "revisions": "/ui/channels/forecast/revisions",
    "revision": "/ui/channels/forecast/revisions/40?since=30",
    "policy": "/ui/channels/forecast/policy",
    "policy-organization": "/ui/data-science/policy",
    "requests": "/ui/requests",
    "request": "/ui/requests/1",
    "ask": "/ui/channels/forecast/ask",
    "members": "/ui/channels/forecast/members",
    "channel-readers": "/ui/channels/forecast/readers",
    "activity": "/ui/channels/forecast/activity",
    "mirrors": "/ui/mirrors",
    "mirror-new": "/ui/mirrors/new",
    "mirror": "/ui/channels/open-copy/mirror",
    "mirror-run": "/ui/channels/open-copy/mirror/runs/1",
    "mirror-settings": "/ui/channels/open-copy/mirror/settings",
    "mirror-failed": "/ui/channels/lost-copy/mirror",
    "mirror-lazy": "/ui/channels/open-proxy/mirror",
    "settings": "/ui/channels/forecast/settings",
    "channel-new": "/ui/channels/new",
    "union-packages": "/ui/channels/team-tools",
    "union": "/ui/channels/team-tools/union",
    "union-names": "/ui/channels/team-tools/union/names?name=house-style",
    "union-new": "/ui/channels/new/virtual",
    "bundles": "/ui/channels/ds-open/bundles",
    "environments": "/ui/environments",
    "environment": "/ui/data-science/environments/daily-forecast",
    "environment-builds": "/ui/data-science/environments/daily-forecast/builds",
    "environment-build": "/ui/data-science/environments/daily-forecast/builds/2",
    "environment-failed": "/ui/data-science/environments/daily-forecast/builds/3",
    "environment-diff": "/ui/data-science/environments/daily-forecast/diff?before=1&after=2",
    "environment-packages": "/ui/data-science/environments/daily-forecast/packages",
    "environment-spec": "/ui/data-science/environments/daily-forecast/spec",
    "environment-artifacts": "/ui/data-science/environments/daily-forecast/artifacts",
    "environment-access": "/ui/data-science/environments/daily-forecast/members",
    "environment-activity": "/ui/data-science/environments/daily-forecast/activity",
    "environment-settings": "/ui/data-science/environments/daily-forecast/settings",
    "environment-edit": "/ui/data-science/environments/daily-forecast/edit",
    "environment-new": "/ui/environments/new?organization=data-science",
    "environment-holding": "/ui/environments/holding?q=calendars",
    "organization-environments": "/ui/data-science/environments",
    "organizations": "/ui/organizations",
    "organization": "/ui/data-science",
    "organization-members": "/ui/data-science/members",
    "organization-teams": "/ui/data-science/teams",
    "organization-robots": "/ui/data-science/robots",
    "organization-access": "/ui/data-science/access?person=ada",
    "organization-activity": "/ui/data-science/activity",
    "organization-webhooks": "/ui/data-science/webhooks",
    "organization-webhook": "/ui/data-science/webhooks/1",
    "inbox": "/ui/inbox",
    "subscriptions": "/ui/account/subscriptions",
    "account": "/ui/account",
    "tokens": "/ui/account/tokens",
    "token-new": "/ui/account/tokens/new",
    "search": "/ui/search?q=se",
    "jobs": "/ui/jobs",
    "refused": "/ui/channels/genomics-private",
}
# Pages of one's own, what auditors look at and can't change, what somebody new finds, and what IT staff work with.
PAGES_OF_OTHERS = {
    "ada": {
        "account-email": "/accounts/email/",
        "account-sessions": "/accounts/sessions/",
        "account-factors": "/accounts/2fa/",
        "account-linked": "/accounts/linked/",
        "account-again": "/accounts/reauthenticate/",
        "organization-settings": "/ui/data-science/settings",
        "organization-environment-settings": "/ui/data-science/environment-settings",
    },
    "auditor": {
        "auditor-mirror-settings": "/ui/channels/open-copy/mirror/settings",
        "auditor-environment-settings": "/ui/data-science/environments/daily-forecast/settings",
        "auditor-channel-settings": "/ui/channels/forecast/settings",
        "auditor-webhook": "/ui/data-science/webhooks/1",
        "auditor-policy": "/ui/policy",
        "auditor-admin": "/admin/",
    },
    "newcomer": {
        "new-dashboard": "/ui/",
        "new-channels": "/ui/channels?organization=newcomer",
        "new-environments": "/ui/environments?organization=newcomer",
        "new-mirrors": "/ui/mirrors",
        "new-requests": "/ui/requests",
        "new-inbox": "/ui/inbox",
        "new-jobs": "/ui/jobs",
        "new-tokens": "/ui/account/tokens",
        "new-search": "/ui/search?q=nothing-is-called-so",
    },
    "admin": {
        "bundle-import": "/ui/channels/landing/bundles/imports/1",
        "staff-policy": "/ui/policy",
        "staff-environment-settings": "/ui/environment-settings",
        "admin-index": "/admin/",
        "admin-files": "/admin/channels/packagefile/",
        "admin-users": "/admin/accounts/user/",
        "admin-audit": "/admin/audit/auditevent/",
        "admin-job": "/admin/jobs/job/1/change/",
        "admin-exports": "/admin/mirrors/bundleexport/",
        "admin-schedules": "/admin/schedules/",
        "admin-checks": "/admin/checks/",
        "admin-maintenance": "/admin/maintenance/",
        "admin-collect": "/admin/collect/",
    },
}
# A few, in the look that shows most.
IN_DOCS = (
    ("dashboard", WIDE, False),
    ("channel", WIDE, False),
    ("package", WIDE, False),
    ("package", WIDE, True),
    ("upload", WIDE, False),
    ("revision", WIDE, True),
    ("channel", NARROW, False),
    ("environment-build", WIDE, False),
    ("environment-diff", WIDE, True),
    ("mirror", WIDE, False),
    ("policy", WIDE, False),
)


def main() -> None:
    """Start a hub, furnish it, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", type=Path, metavar="FOLDER", help="every page, wide and narrow, light and dark, with what is wrong with it"
    )
    parser.add_argument("--only", default="", help="pages whose name begins so")
    parser.add_argument("--locale", default="en-US", help="what the browser asks for, such as de-DE; of --all")
    chosen = parser.parse_args()
    binary = PARTS["chromium"].path
    if binary is None:
        sys.exit("This needs Debian's chromium; `make test-system` installs it.")
    with (
        tempfile.TemporaryDirectory() as scratch,
        start_hub(Path(scratch) / "hub", CONDAHUB_PRIVATE_NETWORKS_ALLOWED="127.0.0.0/8") as hub,
        chromium(binary) as browser,
    ):
        make = Furnisher(hub, Path(scratch) / "made")
        make.ask("POST", "users", {"username": "auditor", "password": PASSWORD, "is_auditor": True})
        make.ask("POST", "users", {"username": "newcomer", "password": PASSWORD})
        make.ask("POST", "organizations", {"name": "receivers", "owner": "admin"})
        make.ask("POST", "channels", {"organization": "receivers", "name": "landing", "visibility": "public"})
        make.ask("POST", "channels/landing/imports", {})
        make.close()
        Furnisher(hub, Path(scratch) / "made").furnish(loopback=True)
        if chosen.all:
            take_all(browser, hub, chosen.all, chosen.only, chosen.locale)
        else:
            take_for_docs(browser, hub)


def take_for_docs(browser: Browser, hub: RunningHub) -> None:
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, size, dark in IN_DOCS:
        page = context_of(browser, size, dark=dark).new_page()
        sign_in(page, hub, "ada", PASSWORD)
        page.goto(hub.url + PAGES[name])
        look = ("-dark" if dark else "") + ("-narrow" if size == NARROW else "")
        page.screenshot(path=DOCS / f"{name}{look}.png")
        page.context.close()


def take_all(browser: Browser, hub: RunningHub, folder: Path, only: str, locale: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for size, look in ((WIDE, "wide"), (NARROW, "narrow")):
        for dark in (False, True):
            page = context_of(browser, size, dark=dark, locale=locale).new_page()
            page.on("console", lambda message: print("console:", message.text) if message.type == "error" else None)
            kind = f"{look}-{'dark' if dark else 'light'}"
            page.goto(f"{hub.url}/accounts/login/")
            _take(page, folder / f"login-{kind}.png")
            page.goto(f"{hub.url}/ui/channels")
            _take(page, folder / f"anonymous-{kind}.png")
            sign_in(page, hub, "ada", PASSWORD)
            for name, path in PAGES.items():
                if name.startswith(only):
                    page.goto(hub.url + path)
                    _take(page, folder / f"{name}-{kind}.png")
            page.context.close()
            for who, pages in PAGES_OF_OTHERS.items():
                page = context_of(browser, size, dark=dark, locale=locale).new_page()
                sign_in(page, hub, who, None if who == "admin" else PASSWORD)
                for name, path in pages.items():
                    if name.startswith(only):
                        page.goto(hub.url + path)
                        _take(page, folder / f"{name}-{kind}.png")
                page.context.close()


def _take(page: Page, path: Path) -> None:
    page.screenshot(path=path, full_page=True)
    for fault in overflow(page):
        print(f"{path.stem}: sticks out: {fault}")
    for fault in serious_faults(page):
        print(f"{path.stem}: {fault}")


if __name__ == "__main__":
    main()
