"""What auditors see of the portal, and that a token opens none of its pages: for every row of the table of walls."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client
from pytest_django.fixtures import Settings

from condahub.accounts.permissions import SCOPE_BUNDLES
from condahub.accounts.policy import Actor
from environments_app.services.policies import change_settings
from tests.api.conftest import World
from tests.portal.conftest import Visitor
from tests.portal.test_walls import rows, values

__all__ = ["values"]

pytestmark = pytest.mark.django_db

# Auditors read what readers read, and these besides; a page that is new is closed to them until it stands here.
ALSO_FOR_AUDITORS = {
    "/ui/{organization}/members",
    "/ui/{organization}/teams",
    "/ui/{organization}/robots",
    "/ui/{organization}/activity",
    "/ui/{organization}/access",
    "/ui/{organization}/environments/{environment}/members",
    "/ui/{organization}/environments/{environment}/activity",
    "/ui/channels/{channel}/members",
    "/ui/channels/{channel}/activity",
    "/ui/channels/{channel}/readers",
    "/ui/{organization}/webhooks",
    "/ui/{organization}/webhooks/{webhook}",
    "/ui/{organization}/settings",
    "/ui/{organization}/environment-settings",
    "/ui/environment-settings",
    "/ui/{organization}/environments/{environment}/settings",
    "/ui/channels/{mirror}/mirror/settings",
    "/ui/policy",
    "/ui/channels/{channel}/settings",
    "/ui/channels/{channel}/bundles",
    "/ui/channels/{gap}/bundles/imports/{import}",
}
# Who has the link opens it.
ANYBODYS = "/ui/account/invitation"
# What is everybody's own, and what ends in a sentence that says why not.
SPOKEN = {200, 302, 303, 403, 404}


def test_an_auditor_reads_what_readers_read_and_who_may_do_what(world: World, visit: type[Visitor], values: dict[str, str]) -> None:
    client = visit(world, "auditor").client
    wrong = []
    for method, path, cells in rows():
        if method == "GET" and not path.startswith(ANYBODYS):
            expected = cells[2] != "-" or path in ALSO_FOR_AUDITORS
            status = client.get(path.format(**values)).status_code
            if (status == 200) != expected or status not in SPOKEN:
                wrong.append(f"{path}: {status}")
    assert not wrong, "\n".join(wrong)


def test_an_auditor_changes_nothing_of_others(world: World, visit: type[Visitor], values: dict[str, str]) -> None:
    client = visit(world, "auditor").client
    for method, path, cells in rows():
        if method == "POST" and cells[1] == "-":
            with transaction.atomic():
                answer = client.post(path.format(**values))
                transaction.set_rollback(True)
            told = client.get(answer["Location"], follow=True).content.decode() if answer.status_code == 302 else ""
            assert answer.status_code in (403, 404) or "notice-failed" in told or "notice-done" not in told, (path, answer.status_code)


def test_pages_that_an_auditor_looks_at_have_no_form_and_take_none(world: World, visit: type[Visitor], values: dict[str, str]) -> None:
    auditor = visit(world, "auditor")
    change_settings(actor=Actor.of(world.people["owner"]), on=world.acme, changes={"solve_seconds": 61})
    assert "<dt>solve seconds</dt><dd>61</dd>" in auditor.get("/ui/acme/environment-settings")
    for path in sorted(
        one for one in ALSO_FOR_AUDITORS if "/webhooks" in one or "/bundles" in one or one.endswith(("settings", "/policy"))
    ):
        there = path.format(**values)
        main = auditor.get(there).partition("<main")[2]
        assert main and "<form" not in main, path
        assert auditor.client.post(there, {"title": "Mine", "verb": "delete"}).status_code in (403, 404, 405), path
    assert "127.0.0.1:9/hook" not in auditor.get("/ui/acme/webhooks/{webhook}".format(**values))


def test_a_token_opens_no_page(world: World, values: dict[str, str], settings: Settings) -> None:
    for scope in SCOPE_BUNDLES:
        client = Client(headers={"Authorization": f"Bearer {world.secret('owner', scope)}"})
        assert client.get("/ui/channels/inner").status_code == 302, scope
    for method, path, cells in rows():
        answer = client.get(path.format(**values)) if method == "GET" else client.post(path.format(**values))
        if cells[0] == "-" and path != "/ui/":
            assert answer.status_code in (302, 401, 403), (path, answer.status_code)
            assert answer.status_code != 302 or "/accounts/login/" in answer["Location"], path
