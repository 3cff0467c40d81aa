"""A PUT to a package's own address publishes it, as rattler-build's artifactory uploader sends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from channels_app.models import Channel, PackageFile
from tests.channels_app.faces.conftest import House

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Path]


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_put_publishes_and_says_what_and_where(house: House, secret: Channel, package: Make, method: str) -> None:
    path = package()
    address = f"/channels/secret/noarch/{path.name}"
    response = house.call(method, address, "contributor", body=path.read_bytes())
    assert response.status_code == 201 and response["Location"].endswith(address)
    said = json.loads(response.content)
    assert said["checksums"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and said["created"]
    fetched = house.call("GET", address, "reader")
    assert fetched.getvalue() == path.read_bytes()
    again = house.call(method, address, "contributor", body=path.read_bytes())
    assert again.status_code == 201 and not json.loads(again.content)["created"]


@pytest.mark.parametrize(("who", "status"), [("", 401), ("outsider", 403), ("reader", 403)])
@pytest.mark.parametrize("channel", ["secret", "unknown"])
def test_others_may_not(house: House, secret: Channel, package: Make, who: str, status: int, channel: str) -> None:
    path = package()
    assert house.call("PUT", f"/channels/{channel}/noarch/{path.name}", who, body=path.read_bytes()).status_code == status
    assert not PackageFile.objects.exists()


@pytest.mark.parametrize("subdir", ["linux-64", "nowhere", "LINUX-64"])
def test_the_address_must_be_the_packages_own(house: House, secret: Channel, package: Make, subdir: str) -> None:
    path = package()
    response = house.call("PUT", f"/channels/secret/{subdir}/{path.name}", "owner", body=path.read_bytes())
    assert response.status_code in (400, 422)
    assert not PackageFile.objects.exists()


def test_a_checksum_that_was_sent_is_checked(house: House, secret: Channel, package: Make) -> None:
    path = package()
    response = house.call("PUT", f"/channels/secret/noarch/{path.name}", "owner", body=path.read_bytes(), HTTP_X_CHECKSUM_SHA256="0" * 64)
    assert response.status_code == 406
    assert not PackageFile.objects.exists()


def test_the_index_can_not_be_put(house: House, secret: Channel) -> None:
    response = house.call("PUT", "/channels/secret/noarch/repodata.json", "owner", body=b"{}")
    assert response.status_code == 422


def test_a_quota_is_413(house: House, secret: Channel, package: Make) -> None:
    Channel.objects.filter(pk=secret.pk).update(quota_bytes=0)
    path = package()
    assert house.call("PUT", f"/channels/secret/noarch/{path.name}", "owner", body=path.read_bytes()).status_code == 413


def test_another_method_is_405_with_those_that_are_allowed(house: House, secret: Channel) -> None:
    response = house.call("PATCH", "/channels/secret/noarch/any-1.0-0.conda", "owner")
    assert response.status_code == 405 and response["Allow"] == "GET, HEAD, POST, PUT"
