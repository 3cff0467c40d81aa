"""prefix.dev's form publishes one package, as rattler-build and pixi send it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from channels_app.models import Attestation, Channel, PackageFile
from channels_app.services.channels import update_channel
from tests.attested import make_bundle
from tests.channels_app.faces.conftest import House, form_of

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Path]


def send(house: House, who: str, *paths: Path, channel: str = "secret", query: str = "", **fields: str) -> tuple[int, dict[str, object]]:
    body, content_type = form_of(*paths, field="file", **fields)
    response = house.call("POST", f"/api/v1/upload/{channel}{query}", who, body=body, content_type=content_type)
    return response.status_code, json.loads(response.content)


def test_a_form_publishes_and_the_same_bytes_again_succeed(house: House, secret: Channel, package: Make) -> None:
    path = package()
    status, said = send(house, "contributor", path)
    assert status == 201 and said["filename"] == path.name and said["created"]
    status, said = send(house, "contributor", path)
    assert status == 201 and not said["created"]


def test_other_bytes_are_409_which_skip_existing_understands_and_force_overwrites(house: House, secret: Channel, package: Make) -> None:
    update_channel(actor=house.staff, channel=secret, changes={"allow_overwrite": True})
    send(house, "owner", package())
    other = package(files={"share/other": b"other"})
    assert send(house, "owner", other)[0] == 409
    assert send(house, "owner", other, query="?force=true")[0] == 201


@pytest.mark.parametrize(("who", "status"), [("", 401), ("outsider", 403), ("reader", 403)])
@pytest.mark.parametrize("channel", ["secret", "unknown"])
def test_others_may_not(house: House, secret: Channel, package: Make, who: str, status: int, channel: str) -> None:
    assert send(house, who, package(), channel=channel)[0] == status
    assert not PackageFile.objects.exists()


def test_an_attestation_is_kept_with_the_package_and_one_of_another_is_refused_with_it(
    house: House, secret: Channel, package: Make
) -> None:
    path = package()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for wrong in ("{}", json.dumps(make_bundle(path.name, "0" * 64))):
        status, said = send(house, "contributor", path, attestation=wrong)
        assert status == 422 and said["code"] == "bad_attestation"
        assert not PackageFile.objects.exists()
    status, said = send(house, "contributor", path, attestation=json.dumps(make_bundle(path.name, sha256)))
    assert status == 201 and said["created"]
    sidecar = Attestation.objects.get()
    assert json.loads(PackageFile.objects.get().record)["attestations_sha256"] == sidecar.sha256


def test_one_package_at_a_time(house: House, secret: Channel, package: Make) -> None:
    assert send(house, "owner", package("one"), package("two"))[0] == 422
    assert not PackageFile.objects.exists()


def test_a_body_that_is_no_form_is_refused(house: House, secret: Channel) -> None:
    assert house.call("POST", "/api/v1/upload/secret", "owner", body=b"PK").status_code == 400
