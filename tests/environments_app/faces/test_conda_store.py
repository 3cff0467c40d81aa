"""conda-store's API as its clients use it, quirks included, and without its faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels_app.models import PackageFile
from condahub.accounts import services
from condahub.accounts.models import ApiToken, Organization
from condahub.accounts.policy import SYSTEM, Actor
from condahub.engine.lock import CondaRecord, HubLock, LockedChannel, PlatformLock
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, BuildPackage, Environment
from environments_app.services.environments import create_environment, update_environment
from environments_app.services.policies import change_settings
from tests.api.conftest import World
from tests.environments_app.building import SPEC, Submit, finish
from tests.environments_app.faces.conftest import Store
from tests.queries import counted

pytestmark = pytest.mark.django_db
Stores = Callable[..., Store]
PRIVATE = "name: secret\nchannels: [inner]\ndependencies: [inside]\n"


@pytest.mark.parametrize("root", ["/conda-store/api/v1", "/api/v1"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_address_answers_with_and_without_its_last_slash_and_without_a_redirect(
    world: World, store: Stores, submit: Submit, root: str, slash: str
) -> None:
    build = finish(submit())
    client = store("owner", root=root)
    for path in (
        "/permission /usage /namespace /namespace/acme /environment /environment/acme/tools /build /channel /package /setting "
        f"/setting/acme /setting/acme/tools /build/{build.pk} /build/{build.pk}/packages /build/{build.pk}/yaml"
    ).split():
        assert client("GET", path + slash).status_code == 200, path
    assert client("POST", f"/specification{slash}", {"specification": SPEC, "namespace": "acme"}).status_code == 200
    assert client("PUT", f"/environment/acme/tools{slash}", {"build_id": build.pk}).status_code == 200
    assert client("PUT", f"/build/{build.pk}/cancel{slash}").status_code == 200
    assert client("POST", f"/token{slash}", {}).status_code == 200
    assert Client().get(f"{root}{slash}" if slash else f"{root}/").json()["data"]["version"]


def test_prefix_dev_s_way_of_uploading_keeps_its_address(store: Stores) -> None:
    assert store("owner", root="/api/v1/")("POST", "upload/inner").json()["code"] != "no_such_path"


def test_who_am_i_in_conda_store_s_words(world: World, store: Stores) -> None:
    told = store("contributor").data("permission/")
    assert told["authenticated"] is True and told["primary_namespace"] == "contributor"
    assert told["entity_roles"] == {"acme/*": ["developer"], "contributor/*": ["admin"]}
    assert (
        "environment::update" in told["entity_permissions"]["acme/*"] and "environment::delete" not in told["entity_permissions"]["acme/*"]
    )
    assert store("reader").data("permission")["entity_roles"]["acme/*"] == ["viewer"]
    assert list(store("staff").data("permission")["entity_permissions"]) == ["*/*"]
    anonymous = store().data("permission")
    assert (anonymous["authenticated"], anonymous["entity_permissions"]) == (False, {})


def test_a_grant_on_an_environment_is_told_as_one_entity(world: World, store: Stores) -> None:
    environment = create_environment(actor=Actor.of(world.people["owner"]), organization=world.acme, name="tools")
    services.grant(actor=Actor.of(world.people["owner"]), on=environment, role="contributor", user=world.people["outsider"])
    assert store("outsider").data("permission")["entity_roles"]["acme/tools"] == ["developer"]


def test_a_specification_becomes_a_build_that_can_be_followed(world: World, store: Stores) -> None:
    client = store("contributor")
    told = client("POST", "specification/", {"namespace": "acme", "specification": SPEC, "environment_description": "Of the team."})
    assert told.status_code == 200, told.content
    number = told.json()["data"]["build_id"]
    build = client.data(f"build/{number}/")
    assert (build["status"], build["specification"]["name"], build["specification"]["spec"]["channels"]) == ("QUEUED", "tools", ["outer"])
    assert build["scheduled_on"] and datetime.fromisoformat(build["scheduled_on"]).tzinfo is None, "naive UTC: the UI appends Z"
    environment = client.data("environment/acme/tools/")
    assert (environment["id"], environment["description"]) == (build["environment_id"], "Of the team.")
    assert environment["current_build_id"] == number, "its clients follow the first build by this name"
    assert [row["current_build_id"] for row in client.data("environment/")] == [number]
    finish(Build.objects.get(pk=number))
    assert client.data("environment/acme/tools/")["current_build_id"] == number
    assert client.data("environment/acme/tools/")["current_build"]["status"] == "COMPLETED"
    packages = client.get(f"build/{number}/packages/?page=1&size=100")
    assert [(row["name"], row["version"], row["channel"]["name"]) for row in packages["data"]] == [("open", "1.0", "outer")]
    assert (packages["page"], packages["size"], packages["count"]) == (1, 100, 1)


def test_packages_of_a_build_are_those_of_one_platform(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit(text=SPEC + "platforms: [osx-arm64, linux-64]\n"), {"open": "1.0", "glue": "2.0"})
    BuildPackage.objects.create(build=build, platform="osx-arm64", name="open", version="1.0", sha256="ab" * 32, size=1)
    shown = store("reader").get(f"build/{build.pk}/packages/?page=1&size=100")
    assert (shown["count"], [row["name"] for row in shown["data"]]) == (2, ["glue", "open"])


def test_an_environment_can_be_posted_as_an_object(world: World, store: Stores) -> None:
    index = "https://wheels.example/simple"
    change_settings(actor=SYSTEM, on=None, changes={"pip_index": index, "allowed_pip_indexes": [index]})
    specification = {"name": "made", "channels": ["outer"], "dependencies": ["open", {"pip": ["requests"]}]}
    told = store("contributor")("POST", "environment/", {"namespace": "acme", "specification": specification})
    assert told.status_code == 200
    build = Build.objects.get(pk=told.json()["data"]["build_id"])
    assert build.request["pip"] == ["requests"] and str(build.environment) == "acme/made"


def test_the_lock_file_of_a_build_is_posted_again_as_it_was_downloaded(world: World, store: Stores, submit: Submit) -> None:
    package = PackageFile.objects.get(filename="open-1.0-0.conda")
    record = CondaRecord(
        name="open", version="1.0", build="0", subdir="noarch", filename=package.filename, sha256=package.sha256, channel="outer"
    )
    lock = HubLock.of(channels=[LockedChannel("outer", 1)], platforms={"linux-64": PlatformLock(conda=(record,))})
    build = finish(submit())
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(lock))
    client = store("contributor")
    text = client("GET", f"build/{build.pk}/lockfile/").content.decode()
    sent = {"namespace": "acme", "specification": text, "is_lockfile": True, "environment_name": "again"}
    made = Build.objects.get(pk=client("POST", "specification/", sent).json()["data"]["build_id"])
    assert made.specification.kind == "conda-lock" and [row.name for row in made.made_of.all()] == ["outer"]
    refused = client("POST", "specification/", {**sent, "specification": SPEC})
    assert refused.status_code == 422 and "no lock file" in refused.json()["message"]


def test_a_lock_file_is_posted_under_a_name_of_its_own(world: World, store: Stores) -> None:
    package = PackageFile.objects.get(filename="open-1.0-0.conda")
    lock = f"@EXPLICIT\n{settings.CONDAHUB_PUBLIC_URL}/channels/outer/noarch/{package.filename}#{package.sha256}\n# platform: linux-64\n"
    sent = {
        "namespace": "acme",
        "specification": lock,
        "is_lockfile": True,
        "environment_name": "exact",
        "environment_description": "As it was.",
    }
    number = store("contributor")("POST", "specification/", sent).json()["data"]["build_id"]
    shown = store("contributor").data(f"build/{number}")["specification"]
    assert shown["name"] == shown["spec"]["name"] == "exact"
    assert store("contributor").data("environment/acme/exact")["description"] == "As it was."


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"namespace": "acme", "specification": "name: x\nchannels: [nowhere]\n"}, 422),
        ({"namespace": "acme", "specification": "a: [\n"}, 422),
        ({"namespace": "acme", "specification": "name: " + "x" * 100}, 422),
        ({"namespace": "acme", "specification": {"name": "x"}}, 422),
        ({"namespace": "acme"}, 422),
        ({"namespace": "hidden", "specification": SPEC}, 403),
    ],
)
def test_a_bad_specification_is_refused_at_the_post_with_a_message(store: Stores, body: dict, status: int) -> None:
    told = store("contributor")("POST", "specification", body)
    assert told.status_code == status and told.json()["status"] == "error" and told.json()["message"]
    assert not Environment.objects.exists()


def test_a_namespace_is_made_for_those_who_may(world: World, store: Stores) -> None:
    assert store("staff")("POST", "specification", {"namespace": "labs", "specification": SPEC}).status_code == 200
    assert Organization.objects.filter(name="labs").exists()
    assert store("owner")("POST", "namespace/other").status_code == 403
    assert store("staff")("POST", "namespace/other/").status_code == 200
    assert store("staff")("POST", "namespace/other/").status_code == 409


def test_lists_come_whole_unless_a_page_is_asked_for(world: World, store: Stores) -> None:
    owner = Actor.of(world.people["owner"])
    for number in range(130):
        create_environment(actor=owner, organization=world.acme, name=f"e{number:03}")
    client = store("reader")
    everything = client.get("environment/")
    assert len(everything["data"]) == everything["count"] == 130, "its command asks again until it has as many as are counted"
    page = client.get("environment/?page=2&size=100")
    assert (len(page["data"]), page["page"], page["size"], page["count"]) == (30, 2, 100, 130)
    assert client.get("environment/?page=2&size=9999")["size"] == 100
    assert client.get("environment/?page=2/")["data"] == client.get("environment/?page=2")["data"], "the command's slash after the query"
    assert client.get("environment/?page=9")["data"] == []
    assert [row["name"] for row in client.get("environment/?order=desc&sort_by=name&size=2&page=1")["data"]] == ["e129", "e128"]
    assert [row["name"] for row in client.get("environment/?search=e12&page=1&size=3/")["data"]] == ["e120", "e121", "e122"]
    assert store().get("build/")["size"] >= 1, "clients divide by it"


@pytest.mark.parametrize("query", ["page=0", "page=x", "size=-1", "page=99999999999999", "sort_by=secret", "status=NONSENSE", "page=%00"])
def test_a_query_that_can_not_be_is_refused(store: Stores, query: str) -> None:
    told = store("reader")("GET", f"environment/?{query}")
    assert told.status_code == 400 and told.json()["message"]


def test_the_second_version_pages_by_a_cursor(world: World, store: Stores) -> None:
    owner = Actor.of(world.people["owner"])
    for number in range(7):
        create_environment(actor=owner, organization=world.acme, name=f"e{number}")
    for order in ("asc", "desc"):
        names, cursor = [], ""
        client = store("reader", root="/conda-store/api/v2/")
        while cursor is not None:
            told = client.get(f"environment/?limit=3&order={order}" + (f"&cursor={cursor}" if cursor else ""))
            names += [row["name"] for row in told["data"]]
            cursor = told["cursor"]
            assert told["count"] == 7
        assert names == sorted(names, reverse=order == "desc") and len(names) == 7
    assert store("reader", root="/api/v2/")("GET", "environment?cursor=nonsense").status_code == 400


def test_a_list_of_environments_takes_the_same_few_queries_however_long(world: World, store: Stores, submit: Submit) -> None:
    for number in range(5):
        finish(submit(name=f"tools-{number}"))
    client = store("reader")
    client.get("environment/")
    with CaptureQueriesContext(connection) as captured:
        client.get("environment/?page=1&size=2")
    with counted("conda-store environments"):
        assert client.get("environment/?page=1&size=100")["count"] == 5
    assert len(captured) <= 6


def test_nothing_of_another_tenant_is_found_counted_or_told_apart(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit("owner", text=PRIVATE), {"inside": "1.0"})
    for client in (store(), store("outsider")):
        for path in (
            "environment/",
            "build/",
            "environment/?search=sec",
            "environment/?packages=inside",
            "build/?packages=inside",
            "build/?namespace=acme",
        ):
            assert client.get(path)["count"] == 0, path
        assert client.data("usage") == {}
        assert "inner" not in json.dumps(client.data("channel/")) and not client.data("package/?search=inside&exact=true")
        for path in ("environment/{}/secret", "build/{}", "build/{}/packages", "build/{}/yaml", "setting/{}", "namespace/{}"):
            hidden = client("GET", path.format(build.pk if path.startswith("build") else "acme"))
            unknown = client("GET", path.format(build.pk + 5000 if path.startswith("build") else "nobody"))
            assert hidden.status_code == unknown.status_code >= 400 and hidden.content == unknown.content, path
    assert "outsider/*" in store("outsider").data("permission")["entity_roles"]


def test_an_underscore_in_a_search_is_an_underscore(world: World, store: Stores) -> None:
    owner = Actor.of(world.people["owner"])
    for name in ("a_b", "axb"):
        create_environment(actor=owner, organization=world.acme, name=name)
    assert [row["name"] for row in store("reader").data("environment/?search=a_b")] == ["a_b"]
    assert store("reader").data("environment/?search=%25") == []


def test_a_shared_environment_hides_builds_of_channels_one_may_not_read(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit())
    update_environment(actor=Actor.of(world.people["owner"]), environment=build.environment, changes={"visibility": "public"})
    assert store().data("environment/acme/tools")["current_build_id"] == build.pk
    type(world.outer).objects.filter(pk=world.outer.pk).update(visibility="private")
    told = store().data("environment/acme/tools")
    assert (told["current_build_id"], told["current_build"]) == (None, None)
    assert store()("GET", f"build/{build.pk}/yaml").status_code == 404
    assert store()("GET", "environment/acme/tools/lockfile/").status_code == 404


def test_a_deleted_environment_and_the_active_build_behave(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit())
    assert store("maintainer")("DELETE", f"build/{build.pk}/").status_code == 409, "the active build can't be deleted"
    assert store("contributor")("DELETE", "environment/acme/tools/").status_code == 403
    assert store("maintainer")("DELETE", "environment/acme/tools/").status_code == 200
    for path in ("environment/acme/tools/", f"build/{build.pk}/"):
        assert store("owner")("GET", path).status_code in (403, 404)


def test_a_build_is_activated_rebuilt_and_cancelled(world: World, store: Stores, submit: Submit) -> None:
    one, _two = finish(submit()), finish(submit())
    client = store("contributor")
    assert client("PUT", "environment/acme/tools", {"build_id": one.pk, "description": "New."}).status_code == 200
    assert client.data("environment/acme/tools")["current_build_id"] == one.pk
    again = client("PUT", f"build/{one.pk}/").json()["data"]["build_id"]
    assert client.data(f"build/{again}")["status"] == "QUEUED"
    assert client("PUT", f"build/{again}/cancel/").status_code == 200
    assert client.data(f"build/{again}")["status"] == "CANCELED"
    assert client.get("build/?status=CANCELED")["count"] == 1
    assert client.get("build/?namespace=acme&name=tools&order=desc&sort_by=scheduled_on")["data"][0]["id"] == again
    assert store("reader")("PUT", f"build/{one.pk}/").status_code == 403


def test_files_of_a_build(world: World, store: Stores, submit: Submit) -> None:
    build = finish(submit())
    client = store("reader")
    assert client("GET", f"build/{build.pk}/yaml/").content.decode() == SPEC
    for file in ("archive", "lockfile", "conda-lock.yml"):
        assert client("GET", f"build/{build.pk}/{file}/").status_code == 404, "there is no lock to make it of"
    build.lock = keep_lock(HubLock.of(channels=(), platforms={"linux-64": PlatformLock()}))
    build.save(update_fields=["lock"])
    assert client("GET", f"build/{build.pk}/lockfile/").json()["version"] == 1
    for path in (f"build/{build.pk}/conda-lock.yml", "environment/acme/tools/conda-lock.yaml/"):
        assert client("GET", path).content.startswith(b"version: 1\n"), path
    types = {row["artifact_type"] for row in client.data(f"build/{build.pk}")["build_artifacts"]}
    assert types == {"LOCKFILE", "YAML", "LOGS", "CONDA_PACK", "CONSTRUCTOR_INSTALLER"}, "what can be made counts as there"
    assert client.get("build/?artifact=LOCKFILE")["count"] == 1 and client.get("build/?artifact=DIRECTORY")["count"] == 0
    assert store()("GET", f"build/{build.pk}/lockfile/").status_code == 404


def test_a_token_has_a_part_of_its_maker_s_power_and_lives_no_longer(world: World, store: Stores) -> None:
    client = store("contributor")
    current = client.data("permission")
    sent = {"primary_namespace": current["primary_namespace"], "role_bindings": current["entity_roles"], "exp": current["expiration"]}
    assert client("POST", "token/", sent).status_code == 200, "what its command sends when nothing is asked for"
    ends = timezone.now() + timedelta(minutes=5)
    made = client("POST", "token", {"role_bindings": {"acme/*": ["viewer"]}, "exp": str(ends)}).json()["data"]["token"]
    assert ApiToken.objects.latest("pk").expires_at == ends
    narrow = Store(made)
    assert narrow.data("permission")["entity_roles"] == {"acme/*": ["viewer"]}
    assert narrow("POST", "specification", {"namespace": "acme", "specification": SPEC}).status_code == 403
    for body in ({"role_bindings": {"acme/*": ["admin"]}}, {"role_bindings": {"*/*": ["admin"]}}, {}):
        wide = narrow("POST", "token/", body)
        assert wide.status_code in (400, 403), "a narrow token can't make tokens at all"
    assert store()("POST", "token/", {}).status_code == 401
    for bindings in ({"labs/*": ["viewer"]}, {"acme/tools": ["viewer"]}, {"acme/*": ["king"]}, {"acme/*": []}, []):
        told = client("POST", "token/", {"role_bindings": bindings} if bindings else {"role_bindings": ["x"]})
        assert told.status_code == 400 and told.json()["message"], bindings


def test_packages_to_choose_from(world: World, store: Stores) -> None:
    world.push(world.inner, name="inside", version="10.0")
    client = store("reader")
    assert [row["name"] for row in client.data("package/?search=&page=1&size=100&distinct_on=name")] == ["inside", "open"]
    told = client.data("package/?search=inside&exact=true&distinct_on=version&page=1&size=100&order=desc&sort_by=version")
    assert [row["version"] for row in told] == ["10.0", "2.0", "1.0"]
    assert [row["name"] for row in store().data("package/?distinct_on=name")] == ["open"]


# --- signing in by cookie ---


@pytest.fixture
def browser(world: World) -> Client:
    """Signed in as the contributor, as the UI does it."""
    world.people["contributor"].set_password("correct horse")
    world.people["contributor"].save()
    client = Client()
    told = client.post(
        "/conda-store/login/", json.dumps({"username": "contributor", "password": "correct horse"}), content_type="application/json"
    )
    assert told.status_code == 200 and told.json()["data"]["redirect_url"] == "/conda-store/ui/"
    cookie = told.cookies["conda-store-auth"]
    assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie["path"] == "/conda-store"
    return client


OWN = {"Origin": settings.CONDAHUB_PUBLIC_URL}


def test_a_cookie_signs_one_in_and_out(browser: Client) -> None:
    assert browser.get("/conda-store/api/v1/permission/").json()["data"]["authenticated"] is True
    secret = browser.cookies["conda-store-auth"].value
    told = browser.post("/conda-store/logout/", headers=OWN)
    assert (told.status_code, told.headers["Location"]) == (303, "/conda-store/ui/")
    assert Store(secret)("GET", "permission/").status_code == 401, "the token ended with it"


def test_a_wrong_password_is_403(world: World) -> None:
    for body in ({"username": "contributor", "password": "no"}, {"username": "nobody", "password": "no"}):
        told = Client().post("/conda-store/login", json.dumps(body), content_type="application/json")
        assert told.status_code == 403 and not told.cookies
    assert Client().post("/conda-store/login/", "{}", content_type="application/json").status_code == 422


def test_a_change_by_cookie_comes_from_our_own_pages_as_json(browser: Client) -> None:
    body = json.dumps({"namespace": "acme", "specification": SPEC})

    def post(content_type: str = "application/json", **headers: str) -> int:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return browser.post("/conda-store/api/v1/specification/", body, content_type=content_type, headers=headers).status_code

    own = settings.CONDAHUB_PUBLIC_URL
    assert post() == 403
    assert post(Origin="https://evil.example") == 403
    assert post(Origin="null") == 403
    assert post(Sec_Fetch_Site="cross-site") == 403
    assert post(Sec_Fetch_Site="same-site") == 403
    assert post("text/plain", Origin=own) == 403
    assert post("application/x-www-form-urlencoded", Sec_Fetch_Site="same-origin") == 403
    assert not Build.objects.exists()
    assert post(Sec_Fetch_Site="same-origin") == 200
    assert post(Origin=own) == 200


def test_a_bad_cookie_does_not_hide_a_good_token_nor_a_good_one_a_bad_token(world: World, browser: Client) -> None:
    good = Client(headers={"Authorization": f"Bearer {world.secret('owner')}"})
    good.cookies["conda-store-auth"] = "nonsense"
    assert good.get("/conda-store/api/v1/permission").json()["data"]["primary_namespace"] == "owner"
    lost = Client()
    lost.cookies["conda-store-auth"] = "nonsense"
    assert lost.get("/conda-store/api/v1/permission").json()["data"]["authenticated"] is False
    assert browser.get("/conda-store/api/v1/permission", headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert browser.get("/api/hub/v1/me").status_code == 401, "the cookie opens this door alone"


def test_no_other_origin_is_let_in_with_credentials(store: Stores) -> None:
    told = store("owner")("GET", "environment/", Origin="https://evil.example")
    assert not [name for name in told.headers if name.lower().startswith("access-control")]


def test_who_signs_in_is_no_administrator(world: World, store: Stores) -> None:
    somebody = services.create_user(actor=SYSTEM, username="somebody")
    secret = services.create_token(actor=Actor.of(somebody), name="x", scopes=["full"]).secret
    assert Store(secret).data("permission")["entity_roles"] == {"somebody/*": ["admin"]}
