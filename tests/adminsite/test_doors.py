"""Who comes through each door of the administration: every address there is of a known kind, and each kind has its row."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from channels_app.models import Channel
from condahub.accounts.permissions import SCOPE_BUNDLES
from tests.adminsite.conftest import browser
from tests.api.conftest import World

pytestmark = pytest.mark.django_db

# What staff and auditors get; everybody else, and every token, is asked to sign in. {model} stands for every model that is here,
# {pk} for one of its objects. A word: the answer to a GET, `look` a page, `on` elsewhere, `no` a refusal, `part` for scripts.
TABLE = """
admin/                        look  look
admin/login/                  on    on
admin/password_change/        on    on
admin/password_change/done/   look  look
admin/logout/                 no    no
admin/search/                 part  part
admin/autocomplete/           part  part
admin/jsi18n/                 part  part
admin/schedules/              look  look
admin/checks/                 look  look
admin/maintenance/            look  look
admin/collect/                look  look
admin/r/{}/{}/                no    no
admin/{model}/                look  look
admin/{model}/export/         look  look
admin/{model}/add/            no    no
admin/{model}/{}/change/      look  look
admin/{model}/{}/history/     look  look
admin/{model}/{}/delete/      no    no
admin/{model}/{}/             on    on
"""
# Where everybody is led on, whoever they are.
OPEN = {"admin/login/", "admin/password_change/", "admin/logout/"}


def rows() -> dict[str, tuple[str, str]]:
    return {path: (staff, auditor) for path, staff, auditor in (line.split() for line in TABLE.strip().splitlines())}


def addresses(patterns: list[URLPattern | URLResolver] | None = None, before: str = "") -> Iterator[str]:
    for one in get_resolver().url_patterns if patterns is None else patterns:
        path = before + re.sub(r"<[^>]+>", "{}", str(one.pattern))
        if isinstance(one, URLPattern):
            yield path
        elif path.startswith("admin/"):
            yield from addresses(one.url_patterns, path)


def kind_of(path: str) -> str:
    for model in admin.site._registry:
        path = path.replace(f"admin/{model._meta.app_label}/{model._meta.model_name}/", "admin/{model}/")
    return path


def test_every_address_is_of_a_kind_that_has_its_row() -> None:
    kinds = {kind_of(path) for path in addresses() if path.startswith("admin/")}
    # The lists of an app's models, and what no pattern before it knows.
    kinds = {kind for kind in kinds if "(?P{}" not in kind}
    assert kinds == set(rows())


def test_who_gets_what(world: World, staff: Client, auditor: Client) -> None:
    seen = {"look": {200}, "part": {200, 400, 403, 404}, "on": {301, 302}, "no": {403, 404, 405}}
    for kind, cells in rows().items():
        path = "/" + kind.replace("{model}", "channels/channel").replace("{}", str(Channel.objects.get(name="inner").pk))
        for who, cell in zip((staff, auditor), cells, strict=True):
            answer = who.get(path)
            assert answer.status_code in seen[cell], (path, answer.status_code)
            if cell == "on" and kind == "admin/{model}/{}/":
                assert answer.headers["Location"].startswith("/admin/")


def test_everybody_else_and_every_token_is_asked_to_sign_in(world: World) -> None:
    people = [Client(), *(browser(world.people[who]) for who in ("outsider", "reader", "contributor", "maintainer", "owner"))]
    tokens = [Client(headers={"Authorization": f"Bearer {world.secret('staff', scope)}"}) for scope in SCOPE_BUNDLES]
    channel = str(world.inner.pk)
    for kind in rows():
        path = "/" + kind.replace("{model}", "channels/channel").replace("{}", channel)
        for who in [] if kind in OPEN else people + tokens:
            for answer in (who.get(path), who.post(path)):
                assert answer.status_code in (302, 403, 405), (path, answer.status_code)
                assert answer.status_code != 302 or re.match(r"/(admin|accounts)/login/", answer.headers["Location"]), path
                assert b"inner" not in answer.content


def test_an_auditor_posts_nothing(world: World, auditor: Client) -> None:
    for kind, cells in rows().items():
        if cells[1] in ("look", "no") and kind != "admin/logout/":
            path = "/" + kind.replace("{model}", "channels/channel").replace("{}", str(world.inner.pk))
            answer = auditor.post(path, {"action": "retire", "_selected_action": [world.inner.pk], "confirmed": "yes"})
            assert answer.status_code in (200, 302, 403, 404, 405), (path, answer.status_code)
    world.inner.refresh_from_db()
    assert world.inner.deleted_at is None
