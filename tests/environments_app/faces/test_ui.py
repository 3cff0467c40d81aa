"""conda-store's own UI: its page, its settings, and how one gets its cookie by signing in to the hub."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client

from condahub.accounts.models import ApiToken
from tests.api.conftest import World

pytestmark = pytest.mark.django_db
COOKIE = "conda-store-auth"


@pytest.fixture
def signed_in(world: World) -> Client:
    client = Client()
    client.force_login(world.people["contributor"], backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("path", ["", "/", "/acme/tools", "/acme/new-environment"])
def test_each_of_its_addresses_gives_the_page(path: str) -> None:
    told = Client().get(f"/conda-store/ui{path}")
    page = told.content.decode()
    assert told.status_code == 200 and 'REACT_APP_API_URL: "/conda-store"' in page and 'BASENAME: "/conda-store/ui"' in page
    assert Client().post(f"/conda-store/ui{path}").status_code == 405


def test_a_path_that_it_does_not_know_is_404_and_the_root_leads_to_it() -> None:
    assert Client().get("/conda-store/ui/not-found").status_code == 404
    for path in ("/conda-store", "/conda-store/"):
        assert Client().get(path).headers["Location"] == "/conda-store/ui/"


def test_scripts_of_the_page_need_its_nonce_and_it_asks_no_other_server() -> None:
    told = Client().get("/conda-store/ui/")
    policy = dict(part.strip().split(" ", 1) for part in told.headers["Content-Security-Policy"].split(";"))
    nonce = policy["script-src"].removeprefix("'nonce-").removesuffix("'")
    assert len(nonce) > 10 and "'" not in nonce and told.content.decode().count(f'nonce="{nonce}"') == 2
    assert policy["connect-src"] == policy["font-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
    assert "http" not in told.headers["Content-Security-Policy"]


def where(response: HttpResponse) -> str:
    assert response.status_code == 302, response.content
    return str(response.headers["Location"])


def test_who_is_not_signed_in_is_asked_to_and_comes_back(client: Client) -> None:
    address = f"{settings.CONDAHUB_PUBLIC_URL}/conda-store/ui/acme/tools"
    asked = urlsplit(where(client.get(f"/conda-store/login?next={address}")))
    assert asked.path == "/accounts/login/"
    assert parse_qs(asked.query)["next"] == ["/conda-store/login/?next=%2Fconda-store%2Fui%2Facme%2Ftools"]


def test_who_is_signed_in_to_the_hub_gets_the_cookie_once(signed_in: Client) -> None:
    told = signed_in.get("/conda-store/login/?next=/conda-store/ui/acme/tools")
    assert where(told) == "/conda-store/ui/acme/tools" and told.headers["Cache-Control"] == "no-store"
    cookie = told.cookies[COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie["path"] == "/conda-store"
    assert signed_in.get("/conda-store/api/v1/permission/").json()["data"]["authenticated"] is True
    assert not signed_in.get("/conda-store/login/").cookies, "it has one that is good"
    assert ApiToken.objects.filter(name="conda-store sign-in").count() == 1


def test_a_link_of_another_site_has_no_token_made(signed_in: Client) -> None:
    told = signed_in.get("/conda-store/login/", headers={"Sec-Fetch-Site": "cross-site"})
    assert where(told) == "/conda-store/ui/" and not told.cookies and not ApiToken.objects.filter(name="conda-store sign-in").exists()
    assert not signed_in.head("/conda-store/login/").cookies


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/conda-store/ui/",
        "//evil.example/conda-store/ui/x",
        "/\\evil.example/conda-store/ui/",
        "/conda-store/ui/../../accounts/logout/",
        "/admin/",
        "javascript:alert(1)",
        "/conda-store/ui/\r\nSet-Cookie: a=b",
        "http://[",
    ],
)
def test_it_leads_nowhere_but_to_the_ui(signed_in: Client, wanted: str) -> None:
    place = where(signed_in.get(f"/conda-store/login/?next={quote(wanted)}"))
    assert place.startswith("/conda-store/ui/") and "\n" not in place and ".." not in place and "evil" not in place


def test_signing_out_there_is_signing_out_of_the_hub(signed_in: Client) -> None:
    signed_in.get("/conda-store/login/")
    own = {"Origin": settings.CONDAHUB_PUBLIC_URL}
    assert signed_in.post("/conda-store/logout/", headers={"Origin": "https://evil.example"}).status_code == 403
    assert signed_in.get("/ui/account").status_code == 200
    assert signed_in.post("/conda-store/logout/", headers=own).status_code == 303
    assert signed_in.get("/conda-store/api/v1/permission/").json()["data"]["authenticated"] is False
    assert signed_in.get("/ui/account").status_code == 302
    assert where(signed_in.get("/conda-store/login/")).startswith("/accounts/login/")
