"""Every address of the hub stands in a table of who may come through it, and what is in no other table is in the one here."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client

from tests.api.conftest import World, _fresh_memories, world
from tests.channels_app import test_conda_walls as conda
from tests.channels_app.faces import test_quetz_walls as quetz
from tests.doors import Row, covered, patterns, surprises, token_clients
from tests.environments_app.faces import test_walls as conda_store

__all__ = ["_fresh_memories", "world"]

pytestmark = pytest.mark.django_db

# These have tables that fail by themselves where an address has no row: tests/api/test_access_table.py, tests/portal/test_walls.py,
# tests/accounts/test_signin.py, tests/adminsite/test_doors.py.
ELSEWHERE = ("api/hub/v1/", "ui/", "accounts/", "admin/")
# What is left, by token.
TABLE = """
GET    {nothing}                                               a u r c m o s x R I U C M O F
GET    ui                                                      a u r c m o s x R I U C M O F
GET    livez                                                   a u r c m o s x R I U C M O F
GET    readyz                                                  a u r c m o s x R I U C M O F
GET    health/live                                             a u r c m o s x R I U C M O F
GET    health/ready                                            a u r c m o s x R I U C M O F
GET    metrics                                                 - - - - - - s x - - - - - - -
"""
WEB = TABLE + quetz.TABLE + quetz.DECLINED + conda_store.TABLE + conda_store.PAGES + conda.TABLE


def _numbers() -> Any:
    # An address has the same door whatever stands for its names; those of some are numbers.
    return defaultdict(lambda: "1", nothing="")


def test_every_address_of_the_web_has_its_row() -> None:
    ours = set(patterns("condahub.urls", besides=ELSEWHERE))
    assert len(ours) > 90
    assert ours - covered(WEB, _numbers()) == set(), "these have no row"


def test_every_address_of_the_byte_serving_process_has_its_row() -> None:
    ours = set(patterns("condahub.urls_data"))
    assert len(ours) == 3
    assert ours - covered(conda.TABLE + conda.DATA, _numbers(), "condahub.urls_data") == set(), "these have no row"


def test_an_address_without_a_row_is_noticed() -> None:
    for lost in (
        "GET    metrics",
        "POST   api/v1/upload/",
        "DELETE api/channels/{channel}/members",
        "PUT    conda-store/api/v1/build",
    ):
        left = "\n".join(line for line in WEB.splitlines() if not line.startswith(lost))
        assert left != WEB, lost
        assert set(patterns("condahub.urls", besides=ELSEWHERE)) - covered(left, _numbers()), lost


def test_the_table_is_what_happens(world: World) -> None:
    wrong = surprises(TABLE, token_clients(world), _get)
    assert not wrong, "\n".join(wrong)


def test_a_session_counts_for_nothing_here(world: World) -> None:
    sessions = {who: world.session(who).client for who in ("owner", "auditor", "staff")}
    assert not surprises(TABLE, sessions, _get, cells_of="a")


def _get(client: Client, row: Row) -> HttpResponseBase:
    return client.get("/" + row.path.format(nothing=""))
