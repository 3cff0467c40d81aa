"""Where no door answers, programs hear it in JSON and browsers on a page; nothing of it is a 500."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.test import Client

from condahub.handlers import DataHandler, take_token_out

pytestmark = pytest.mark.django_db

BROWSER = {"headers": {"accept": "text/html,application/xhtml+xml"}}


@pytest.mark.parametrize("path", ["/api/no-such-thing", "/nowhere", "/channels", "/api/hub/v2/me"])
def test_a_program_hears_in_json_that_there_is_nothing(client: Client, path: str) -> None:
    answered = client.get(path)
    assert answered.status_code == 404
    assert set(answered.json()) == {"code", "detail", "hint"}


def test_a_browser_gets_a_page_but_not_from_an_api(client: Client) -> None:
    assert "<h1>" in client.get("/nowhere", **BROWSER).content.decode()  # type: ignore[arg-type]
    assert client.get("/api/no-such-thing", **BROWSER).json()["code"] == "no_such_path"  # type: ignore[arg-type]


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_another_hosts_name_is_a_400_whoever_asks(client: Client, accept: str) -> None:
    answered = client.get("/api/hub/v1/hub", headers={"host": "elsewhere.example.org", "accept": accept})
    assert (answered.status_code, "unknown_host" in answered.content.decode() or "another address" in answered.content.decode()) == (
        400,
        True,
    )
    assert settings.CONDAHUB_PUBLIC_URL in answered.content.decode()


@pytest.mark.parametrize("path", ["/", "/nowhere", "/t/some-token", "/t/some-token/", "/t/some-token/api/me"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_byte_serving_says_404_to_every_other_path(path: str, accept: str) -> None:
    get_wsgi_application()
    began: list[tuple[str, Any]] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "HTTP_ACCEPT": accept,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    body = b"".join(take_token_out(DataHandler())(environ, lambda status, headers: began.append((status, headers))))
    assert began[0][0].startswith("404")
    assert b'"code": "no_such_path"' in body
