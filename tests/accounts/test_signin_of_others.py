"""The pages of signing in are one's own, whatever one's role; a token opens none of them: for every row of their table."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client

from condahub.accounts.models import User
from tests.accounts.test_signin import PASSWORD, is_in, rows, sign_in
from tests.api.conftest import World, _fresh_memories, world
from tests.api.test_access_table import COLUMNS
from tests.doors import SIGN_IN, token_clients

__all__ = ["_fresh_memories", "world"]

pytestmark = pytest.mark.django_db

PEOPLE = [who[0] for who in COLUMNS.values() if len(who) == 1]
# Words of the table that are no status: where they lead.
LEADS_TO = {"in": SIGN_IN, "ask": "/accounts/reauthenticate/"}


def _path(row: str) -> str:
    return "/accounts/" + row.format(key="made-up", uid="1", number=1, name="nowhere")


def _told(answer: HttpResponseBase) -> tuple[int, str]:
    return answer.status_code, urlsplit(answer.headers.get("Location", "")).path


def test_somebody_of_any_role_gets_what_anybody_signed_in_gets(world: World) -> None:
    wrong = []
    for who in PEOPLE:
        client = _signed_in(world.people[who])
        for path, _, cell in rows():
            with transaction.atomic():
                status, where = _told(client.get(_path(path)))
                transaction.set_rollback(True)
            if cell in LEADS_TO:
                as_told = (status, where) == (302, LEADS_TO[cell])
            else:
                as_told = status in (200, 302) if cell == "->" else status == int(cell)
            if not as_told:
                wrong.append(f"{path}: {who} got {status} {where}, the table says {cell}")
    assert not wrong, "\n".join(wrong)


def _signed_in(person: User) -> Client:
    person.set_password(PASSWORD)
    person.save()
    client = sign_in(person.username)
    assert is_in(client)
    return client


def test_a_token_of_any_scope_is_nobody_here(world: World) -> None:
    clients = {column: client for column, client in token_clients(world).items() if column in "asxRIUCMOF"}
    for path, _, _ in rows():
        asked = {column: _told(client.get(_path(path))) for column, client in clients.items()}
        assert asked == dict.fromkeys(clients, asked["a"]), path


def test_a_token_changes_nothing_here(world: World) -> None:
    """What a form would do is done for nobody: each is led to signing in, or gets the form again."""
    clients = {column: client for column, client in token_clients(world).items() if column in "aF"}
    for path, _, _ in rows():
        nobody, owner = (_told(client.post(_path(path))) for client in clients.values())
        assert owner == nobody, path
    assert not is_in(clients["F"])
