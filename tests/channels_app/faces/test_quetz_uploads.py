"""Uploads as Quetz's clients send them: the statuses they know, and nothing half done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from channels_app.models import Channel, PackageFile
from channels_app.services.channels import update_channel
from condahub.accounts.actors import Limit
from tests.channels_app.faces.conftest import House, form_of

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Path]


def live(channel: Channel) -> dict[str, str]:
    return dict(PackageFile.objects.filter(channel=channel, state="live").values_list("filename", "sha256"))


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_an_upload_answers_201_null_and_is_in_the_index(house: House, secret: Channel, package: Make, extension: str) -> None:
    path = package(extension=extension)
    response = house.upload(path, "contributor")
    assert (response.status_code, response.content) == (201, b"null")
    repodata = house.get("/get/secret/noarch/repodata.json", "reader")
    assert path.name in {**repodata["packages.conda"], **repodata["packages"]}


def test_the_same_bytes_again_are_201_and_other_bytes_409_with_a_sentence(house: House, secret: Channel, package: Make) -> None:
    first = package()
    assert house.upload(first).status_code == 201
    assert house.upload(first).status_code == 201
    refused = house.upload(package(files={"share/other": b"other"}))
    assert refused.status_code == 409
    said = json.loads(refused.content)
    assert set(said) == {"code", "detail", "hint"} and said["code"] == "duplicate" and first.name in said["detail"]
    assert live(secret) == {first.name: hashlib.sha256(first.read_bytes()).hexdigest()}


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "1"])
def test_force_in_any_case_overwrites_where_the_channel_allows_it(house: House, secret: Channel, package: Make, word: str) -> None:
    house.upload(package())
    other = package(files={"share/other": b"other"})
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    address = f"/api/channels/secret/upload/{other.name}?sha256={digest}&force={word}"
    assert house.call("POST", address, "owner", body=other.read_bytes()).status_code == 409
    update_channel(actor=house.staff, channel=secret, changes={"allow_overwrite": True})
    assert house.call("POST", address, "contributor", body=other.read_bytes()).status_code == 403
    assert house.call("POST", address, "owner", body=other.read_bytes()).status_code == 201
    assert live(secret) == {other.name: digest}


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 422), ("?force=false", 422), ("?sha256=abc", 422), (f"?sha256={'0' * 64}", 406), ("?sha256={good}&force=perhaps", 422)],
)
def test_a_missing_or_wrong_sha256_is_refused_as_quetz_does(house: House, secret: Channel, package: Make, query: str, status: int) -> None:
    path = package()
    query = query.replace("{good}", hashlib.sha256(path.read_bytes()).hexdigest())
    assert house.call("POST", f"/api/channels/secret/upload/{path.name}{query}", "owner", body=path.read_bytes()).status_code == status
    assert live(secret) == {}


@pytest.mark.parametrize(
    ("filename", "status"),
    [("other-1.0-0.conda", 400), ("demo-1.0-1.conda", 400), ("demo-1.0-0.tar.bz2", 400), ("demo.conda", 422), ("demo-1.0-0.zip", 422)],
)
def test_a_file_under_another_name_is_refused(house: House, secret: Channel, package: Make, filename: str, status: int) -> None:
    data = package().read_bytes()
    address = f"/api/channels/secret/upload/{filename}?sha256={hashlib.sha256(data).hexdigest()}"
    assert house.call("POST", address, "owner", body=data).status_code == status
    assert live(secret) == {}


@pytest.mark.parametrize(("who", "status"), [("", 401), ("outsider", 403), ("reader", 403)])
@pytest.mark.parametrize("channel", ["secret", "unknown"])
def test_who_may_not_upload_learns_nothing_of_the_channel(
    house: House, secret: Channel, package: Make, who: str, status: int, channel: str
) -> None:
    response = house.upload(package(), who, channel=channel)
    assert response.status_code == status
    body, content_type = form_of(package())
    form = house.call("POST", f"/api/channels/{channel}/files/", who, body=body, content_type=content_type)
    assert form.status_code == status and form.content == response.content


@pytest.mark.parametrize("kind", ["mirror", "proxy"])
def test_channels_that_a_mirror_fills_take_no_uploads(house: House, secret: Channel, package: Make, kind: str) -> None:
    Channel.objects.filter(pk=secret.pk).update(kind=kind)
    assert house.upload(package()).status_code == 405


def test_a_quota_is_422_for_quetz_clients(house: House, secret: Channel, package: Make) -> None:
    Channel.objects.filter(pk=secret.pk).update(quota_bytes=100)
    response = house.upload(package())
    assert response.status_code == 422 and json.loads(response.content)["code"] == "quota_exceeded"
    body, content_type = form_of(package())
    assert house.call("POST", "/api/channels/secret/files/", "owner", body=body, content_type=content_type).status_code == 422
    assert live(secret) == {}


def test_a_form_of_files_is_published_as_a_whole(house: House, secret: Channel, package: Make) -> None:
    body, content_type = form_of(package("one"), package("two"))
    response = house.call("POST", "/api/channels/secret/files/", "contributor", body=body, content_type=content_type)
    assert (response.status_code, response.content) == (201, b"null")
    assert set(live(secret)) == {"one-1.0-0.conda", "two-1.0-0.conda"}


def test_one_bad_file_refuses_the_whole_form(house: House, secret: Channel, package: Make, tmp_path: Path) -> None:
    bad = tmp_path / "bad-1.0-0.conda"
    bad.write_bytes(b"no package")
    body, content_type = form_of(package("one"), bad)
    response = house.call("POST", "/api/channels/secret/files", "owner", body=body, content_type=content_type)
    assert response.status_code == 400
    assert live(secret) == {}


def test_force_of_a_form_needs_the_right_to_overwrite(house: House, secret: Channel, package: Make) -> None:
    update_channel(actor=house.staff, channel=secret, changes={"allow_overwrite": True})
    house.upload(package())
    body, content_type = form_of(package(files={"share/other": b"other"}), force="True")
    assert house.call("POST", "/api/channels/secret/files/", "contributor", body=body, content_type=content_type).status_code == 403
    assert house.call("POST", "/api/channels/secret/files/", "owner", body=body, content_type=content_type).status_code == 201


def test_a_key_for_one_package_uploads_that_package_alone(house: House, secret: Channel, package: Make) -> None:
    token = house.token("owner", limits=[Limit(house.organization.pk, secret.pk, "demo", "maintainer")])
    assert house.upload(package("demo"), token=token).status_code == 201
    assert house.upload(package("other"), token=token).status_code == 403
    body, content_type = form_of(package("demo", "2.0"))
    address = "/api/channels/secret/packages/{}/files/"
    assert house.call("POST", address.format("demo"), token=token, body=body, content_type=content_type).status_code == 201
    assert house.call("POST", address.format("other"), token=token, body=body, content_type=content_type).status_code == 403
    body, content_type = form_of(package("other"))
    assert house.call("POST", address.format("demo"), token=token, body=body, content_type=content_type).status_code == 400
    assert set(live(secret)) == {"demo-1.0-0.conda", "demo-2.0-0.conda"}


def test_a_form_without_the_field_says_so(house: House, secret: Channel, package: Make) -> None:
    body, content_type = form_of(package(), field="file")
    response = house.call("POST", "/api/channels/secret/files/", "owner", body=body, content_type=content_type)
    assert response.status_code == 422 and "files" in json.loads(response.content)["detail"]


def test_a_signed_in_browser_is_nobody_at_these_doors(house: House, secret: Channel, package: Make) -> None:
    from django.test import Client

    from condahub.accounts.models import User

    browser = Client()
    browser.force_login(User.objects.get(username="owner"))
    path = package()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    address = f"/api/channels/secret/upload/{path.name}?sha256={digest}"
    assert browser.generic("POST", address, path.read_bytes()).status_code == 401
    assert browser.delete("/api/channels/secret").status_code == 401
    assert browser.get("/api/me").status_code == 401
