"""Packages and versions through Quetz's API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from channels_app.models import Channel, PackageFile
from channels_app.services import states
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Path]
PACKAGE_FIELDS = {"name", "summary", "description", "url", "platforms", "current_version", "latest_change"}


@pytest.fixture
def filled(house: House, secret: Channel, package: Make) -> Channel:
    """demo 1.0 and 2.0, other 1.0 for linux-64."""
    for path in (package(version="1.0"), package(version="2.0"), package("other", subdir="linux-64")):
        assert house.upload(path).status_code == 201
    return secret


def test_a_package_has_exactly_quetz_fields(house: House, filled: Channel) -> None:
    said = house.get("/api/channels/secret/packages/demo", "reader")
    assert set(said) == PACKAGE_FIELDS
    assert (said["name"], said["current_version"], said["platforms"]) == ("demo", "2.0", ["noarch"])
    listed = house.get("/api/paginated/channels/secret/packages?q=&order_by=", "reader")
    assert listed["pagination"]["all_records_count"] == 2 and listed["result"][0] == said
    assert house.get("/api/channels/secret", "reader")["packages_count"] == 2


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("order_by=name:desc", ["other", "demo"]),
        ("order_by=latest_change:desc", ["other", "demo"]),
        ("order_by=latest_change:asc", ["demo", "other"]),
        ("q=dem", ["demo"]),
        ("q=platform:linux-64", ["other"]),
        ("q=-platform:linux-64", ["demo"]),
        ("q=version:2.0", ["demo"]),
        ("limit=1", ["demo"]),
        ("skip=1", ["other"]),
    ],
)
def test_lists_are_narrowed_and_ordered(house: House, filled: Channel, query: str, names: list[str]) -> None:
    assert [one["name"] for one in house.get(f"/api/channels/secret/packages?{query}", "reader")] == names


def test_an_unknown_order_is_422(house: House, filled: Channel) -> None:
    assert house.call("GET", "/api/channels/secret/packages?order_by=size", "reader").status_code == 422


def test_versions_tell_of_each_live_file(house: House, filled: Channel) -> None:
    versions = house.get("/api/channels/secret/packages/demo/versions", "owner")
    assert [one["version"] for one in versions] == ["2.0", "1.0"]
    newest = versions[0]
    assert (newest["platform"], newest["filename"], newest["build_string"]) == ("noarch", "demo-2.0-0.conda", "0")
    assert newest["info"]["name"] == "demo" and newest["download_count"] == 0 and newest["uploader"]["name"] == "owner"
    assert house.get("/api/channels/secret/packages/demo/versions/noarch/demo-2.0-0.conda", "owner") == newest
    page = house.get("/api/paginated/channels/secret/packages/demo/versions?limit=1", "owner")
    assert page["pagination"]["all_records_count"] == 2 and page["result"] == [newest]


def test_who_uploaded_is_told_to_those_who_may_see_the_members(house: House, filled: Channel) -> None:
    assert house.get("/api/channels/secret/packages/demo/versions", "reader")[0]["uploader"]["name"] == ""


@pytest.mark.parametrize(("spec", "versions"), [("%3E=2", ["2.0"]), ("%3C2", ["1.0"]), ("1.0", ["1.0"]), ("%3E=1,%3C3", ["2.0", "1.0"])])
def test_versions_are_matched_in_condas_language(house: House, filled: Channel, spec: str, versions: list[str]) -> None:
    listed = house.get(f"/api/channels/secret/packages/demo/versions?version_match_str={spec}", "reader")
    assert [one["version"] for one in listed] == versions


@pytest.mark.parametrize("query", ["version_match_str=[url=x]", "version_match_str=%3E%3E", "time_created__ge=yesterday"])
def test_a_condition_that_is_none_is_422(house: House, filled: Channel, query: str) -> None:
    assert house.call("GET", f"/api/channels/secret/packages/demo/versions?{query}", "reader").status_code == 422


def test_versions_since_a_time(house: House, filled: Channel) -> None:
    since = PackageFile.objects.get(filename="demo-2.0-0.conda").indexed_at.isoformat()
    listed = house.get(f"/api/channels/secret/packages/demo/versions?time_created__ge={since}", "reader")
    assert [one["version"] for one in listed] == ["2.0"]
    assert house.get("/api/channels/secret/packages/demo/versions?time_created__ge=2100-01-01", "reader") == []


def test_run_exports_of_a_version(house: House, secret: Channel, package: Make) -> None:
    house.upload(package(run_exports={"weak": ["demo >=1"]}))
    assert house.get("/api/channels/secret/packages/demo/versions/1.0-0/run_exports", "reader") == {"weak": ["demo >=1"]}
    assert house.call("GET", "/api/channels/secret/packages/demo/versions/9-0/run_exports", "reader").status_code == 404


def test_what_is_yanked_or_held_is_told_nowhere(house: House, filled: Channel) -> None:
    states.change_state(
        actor=house.staff, channel=filled, verb=states.QUARANTINE, files=[("linux-64", "other-1.0-0.conda")], reason="virus"
    )
    states.change_state(actor=house.staff, channel=filled, verb=states.YANK, files=[("noarch", "demo-2.0-0.conda")])
    assert [one["name"] for one in house.get("/api/channels/secret/packages", "owner")] == ["demo"]
    assert house.call("GET", "/api/channels/secret/packages/other", "owner").status_code == 404
    assert [one["version"] for one in house.get("/api/channels/secret/packages/demo/versions", "owner")] == ["1.0"]
    assert house.get("/api/channels/secret", "owner")["packages_count"] == 1


def test_a_version_is_deleted_by_a_maintainer_alone(house: House, filled: Channel) -> None:
    address = "/api/channels/secret/packages/demo/versions/noarch/demo-2.0-0.conda"
    assert house.call("DELETE", address, "contributor").status_code == 403
    response = house.call("DELETE", address, "maintainer")
    assert (response.status_code, response.content) == (200, b"null")
    assert house.call("GET", address, "reader").status_code == 404
    assert house.call("GET", "/get/secret/noarch/demo-2.0-0.conda", "reader").status_code == 404
    assert house.get("/api/channels/secret/packages/demo", "reader")["current_version"] == "1.0"


def test_a_version_is_deleted_at_its_own_package_alone(house: House, filled: Channel) -> None:
    assert house.call("DELETE", "/api/channels/secret/packages/other/versions/noarch/demo-2.0-0.conda", "owner").status_code == 422
    assert house.call("DELETE", "/api/channels/secret/packages/demo/versions/noarch/demo-3.0-0.conda", "owner").status_code == 404


def test_a_package_is_deleted_with_all_its_files(house: House, filled: Channel) -> None:
    assert house.call("DELETE", "/api/channels/secret/packages/demo", "contributor").status_code == 403
    assert house.call("DELETE", "/api/channels/secret/packages/demo", "maintainer").status_code == 200
    assert house.call("GET", "/api/channels/secret/packages/demo", "reader").status_code == 404
    assert house.call("DELETE", "/api/channels/secret/packages/demo", "maintainer").status_code == 404
    assert house.get("/get/secret/noarch/repodata.json", "reader")["packages.conda"] == {}


def test_making_a_package_ahead_settles_the_right_and_nothing_else(house: House, filled: Channel) -> None:
    assert house.call("POST", "/api/channels/secret/packages", "contributor", body={"name": "new"}).status_code == 201
    assert house.call("POST", "/api/channels/secret/packages", "reader", body={"name": "new"}).status_code == 403
    assert house.call("POST", "/api/channels/secret/packages", "owner", body={"name": "demo"}).status_code == 409
    assert house.call("POST", "/api/channels/secret/packages", "owner", body={"name": "No Name"}).status_code == 422


def test_a_copy_needs_reading_there_and_uploading_here(house: House, filled: Channel) -> None:
    house.channel("target")
    address = "/api/channels/target/packages/copy?source_channel=secret&source_package=demo&subdir=noarch&filename=demo-1.0-0.conda"
    assert house.call("POST", address, "reader").status_code == 403
    assert house.call("POST", address, "outsider").status_code == 403
    response = house.call("POST", address, "contributor")
    assert (response.status_code, response.content) == (201, b"null")
    assert list(house.get("/get/target/noarch/repodata.json", "reader")["packages.conda"]) == ["demo-1.0-0.conda"]
    assert house.call("POST", address.replace("=demo&", "=other&"), "owner").status_code == 422
    assert house.call("POST", address.replace("1.0-0", "9.0-0"), "owner").status_code == 404
    assert house.call("POST", "/api/channels/target/packages/copy?source_channel=secret", "owner").status_code == 422


def test_copy_may_be_a_packages_name_too(house: House, secret: Channel, package: Make) -> None:
    house.upload(package("copy"))
    assert house.get("/api/channels/secret/packages/copy", "reader")["name"] == "copy"
    assert house.call("DELETE", "/api/channels/secret/packages/copy", "owner").status_code == 200
