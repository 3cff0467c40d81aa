"""Whatever goes wrong, the REST API answers with a code, a sentence and a hint, and the right status."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import DataError, IntegrityError, OperationalError
from django.test import Client

from channels_app.services import channels as channel_services
from condahub.api.parsers import MAX_JSON_BYTES
from condahub.errors import StorageFull, Unavailable
from tests.api.conftest import ROOT, Api, World

pytestmark = pytest.mark.django_db


def send(api: Api, body: bytes, content_type: str = "application/json", path: str = "channels", method: str = "POST") -> Any:
    response = api.client.generic(method, ROOT + path, data=body, content_type=content_type)
    assert set(response.json()) == {"code", "detail", "hint"}
    assert response.json()["detail"]
    return response


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"NaN", 400),
        (b'{"name": "\\ud800"}', 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"metadata": ' + b'{"a": ' * 60 + b"1" + b"}" * 60 + b', "name": "x"}', 400),
        (b'"' + b"x" * MAX_JSON_BYTES + b'"', 413),
        (b"null", 400),
    ],
)
def test_a_body_that_is_no_good_json_is_a_4xx(world: World, body: bytes, status: int) -> None:
    assert send(world.api("owner"), body).status_code == status


def test_a_form_is_not_taken_for_json(world: World) -> None:
    response = send(world.api("owner"), b"name=x", "application/x-www-form-urlencoded")
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_an_answer_in_another_form_is_406(world: World) -> None:
    response = Api().client.get(f"{ROOT}channels", headers={"Accept": "text/csv"})
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


def test_an_unknown_path_and_method_are_json_too(world: World) -> None:
    for path in ("", "nothing", "channels/", "channels/a/b/c/d/e", "jobs/x", "jobs/99999999999999999999999", "channels/%00"):
        response = Api()("GET", path)
        assert (response.status_code, response.json()["code"]) == (404, "no_such_path"), path
    response = world.api("owner")("PUT", "channels")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (OperationalError("connection refused: password=secret"), 503, "database_unavailable"),
        (DataError("out of range"), 400, "invalid"),
        (IntegrityError("duplicate key"), 409, "conflict"),
        (StorageFull(), 507, "storage_full"),
        (Unavailable("The store does not answer.", code="storage_unavailable"), 503, "storage_unavailable"),
    ],
)
def test_an_outage_is_told_without_a_traceback(
    world: World, monkeypatch: pytest.MonkeyPatch, failure: Exception, status: int, code: str
) -> None:
    def fail(**_: object) -> None:
        raise failure

    monkeypatch.setattr(channel_services, "create_channel", fail)
    response = send(world.api("owner"), json.dumps({"name": "fresh"}).encode())
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert b"secret" not in response.content
    assert ("Retry-After" in response.headers) == (status in (503, 507))


def test_a_fault_of_the_program_is_logged_and_told_by_its_request_id(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("what only the log may hold")

    monkeypatch.setattr(channel_services, "create_channel", fail)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {world.secret('owner')}"})
    response = client.post(f"{ROOT}channels", {"name": "fresh"}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert b"only the log" not in response.content


def test_there_is_nothing_but_json_and_the_schema(world: World) -> None:
    for path in ("channels", "channels/inner", "organizations/acme/quota"):
        assert world.api("owner")("OPTIONS", path).json()["code"] == "method_not_allowed"
    assert Api().get("channels", format="xml")["count"] == 1


def test_head_is_a_get_without_its_body(world: World) -> None:
    response = world.api("reader")("HEAD", "channels/inner")
    assert (response.status_code, response.content) == (200, b"")


def test_no_answer_is_kept_by_a_cache(world: World) -> None:
    assert Api()("GET", "channels").headers["Cache-Control"] == "no-store"
