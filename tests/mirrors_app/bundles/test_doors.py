"""Bundles through the REST API: fetched with ranges, sent file by file, refused before a part is read."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from channels_app.models import Channel
from channels_app.services import applying
from channels_app.services.policies import set_policy
from channels_app.services.scopes import Scope
from channels_app.services.states import DELETE, PURGE, QUARANTINE, change_state
from channels_app.services.virtual import create_virtual
from condahub.accounts import services
from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from condahub.jobs import services as jobs
from condahub.jobs.models import Job
from mirrors_app.bundles import exporting, importing, signing, sweeping
from mirrors_app.models import BundleExport, BundleImport, BundlePart, BundlePiece, ImportState
from tests.api.conftest import Api
from tests.mirrors_app.bundles.conftest import Exporter
from tests.mirrors_app.bundles.test_channels import Push, shown, trace

pytestmark = pytest.mark.django_db
BAD = ("noarch", "bad-1.0-0.conda")


@pytest.fixture
def api(staff: Actor) -> Api:
    assert staff.user is not None
    return Api(services.create_token(actor=staff, name="test", scopes=["full"]).secret)


def send(api: Api, number: int, path: Path) -> Any:
    url = f"/api/hub/v1/imports/{number}/files/{path.name}"
    return api.client.put(url, data=path.read_bytes(), content_type="application/octet-stream")


def test_a_bundle_is_fetched_file_by_file_with_ranges(push: Push, carry_out: Exporter, outside: Channel, api: Api) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    made = BundleExport.objects.get()
    told = api.get(f"exports/{made.pk}")
    assert [one["name"] for one in told["files"]] == ["manifest.sig", "manifest.json", "part-0001.tar"]
    assert api.get(f"channels/{outside.name}/exports")["count"] == 1
    for file in told["files"]:
        url = f"/api/hub/v1/exports/{made.pk}/files/{file['name']}"
        whole = b"".join(api.client.get(url))
        assert whole == (folder / file["name"]).read_bytes() and len(whole) == file["size"]
        rest = api.client.get(url, headers={"Range": "bytes=10-"})
        assert rest.status_code == 206 and b"".join(rest) == whole[10:]
        assert api.client.get(url, headers={"If-None-Match": rest["ETag"]}).status_code == 304
        assert "private" in rest["Cache-Control"]
    assert api.client.get(f"/api/hub/v1/exports/{made.pk}/files/part-0002.tar").status_code == 404


def test_a_bundle_is_sent_file_by_file_and_goes_on_where_it_was(
    push: Push, carry_out: Exporter, outside: Channel, inside: Channel, api: Api, staff: Actor
) -> None:
    push(name="one", version="1.0", files={"x": random.Random(1).randbytes(110_000)})
    folder = carry_out()
    number = api.do("POST", f"channels/{inside.name}/imports", {}, 201)["id"]
    assert api.get(f"imports/{number}")["missing"] == ["manifest.sig", "manifest.json"]
    assert send(api, number, folder / "manifest.json").json()["code"] == "signature_first"
    assert send(api, number, folder / "part-0001.tar").json()["code"] == "manifest_first"
    send(api, number, folder / "manifest.sig")
    told = send(api, number, folder / "manifest.json").json()
    assert told["missing"] == ["part-0001.tar", "part-0002.tar", "part-0003.tar"]
    assert api("POST", f"imports/{number}/run").json()["code"] == "bundle_incomplete"
    send(api, number, folder / "part-0002.tar")
    good = (folder / "part-0003.tar").read_bytes()
    (folder / "part-0003.tar").write_bytes(good[:-1] + b"x")
    assert send(api, number, folder / "part-0003.tar").json()["code"] == "wrong_sha256"
    (folder / "part-0003.tar").write_bytes(good + b"more")
    assert send(api, number, folder / "part-0003.tar").status_code == 413
    (folder / "part-0003.tar").write_bytes(good)
    assert api.get(f"imports/{number}")["missing"] == ["part-0001.tar", "part-0003.tar"]
    for name in ("part-0001.tar", "part-0003.tar", "part-0003.tar"):
        assert send(api, number, folder / name).status_code == 200
    assert api.do("POST", f"imports/{number}/run", status=202)["state"] == "ready"
    taken = importing.run_import(BundleImport.objects.select_related("channel__organization").get(pk=number))
    assert taken.state == ImportState.DONE and shown(inside) == shown(outside)
    assert not BundlePiece.objects.exists()
    assert send(api, number, folder / "part-0001.tar").json()["code"] == "import_closed"
    again = api.do("POST", f"channels/{inside.name}/imports", {}, 201)["id"]
    send(api, again, folder / "manifest.sig")
    assert send(api, again, folder / "manifest.json").json()["state"] == "unchanged"


def test_a_manifest_that_nobody_trusts_is_refused_before_its_parts(
    push: Push, carry_out: Exporter, inside: Channel, api: Api, staff: Actor
) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    signing.distrust(actor=staff, key=signing.TrustedKey.objects.get())
    before = trace(inside)
    number = api.do("POST", f"channels/{inside.name}/imports", {}, 201)["id"]
    send(api, number, folder / "manifest.sig")
    answer = send(api, number, folder / "manifest.json")
    assert (answer.status_code, answer.json()["code"]) == (422, "bundle_untrusted")
    assert send(api, number, folder / "part-0001.tar").json()["code"] == "manifest_first"
    assert trace(inside) == before


def test_permission_comes_before_the_body(push: Push, carry_out: Exporter, inside: Channel, api: Api) -> None:
    number = api.do("POST", f"channels/{inside.name}/imports", {}, 201)["id"]
    stranger = User.objects.create(username="stranger")
    other = Api(services.create_token(actor=Actor.of(stranger), name="t", scopes=["full"]).secret)

    class Unread:
        def read(self, *_: int) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    url = f"/api/hub/v1/imports/{number}/files/manifest.sig"
    for client, status in ((other, 403), (Api(), 401)):
        answer = client.client.generic("PUT", url, b"x", content_type="application/octet-stream", **{"wsgi.input": Unread()})
        assert answer.status_code == status
        assert client.client.put("/api/hub/v1/imports/999999/files/manifest.sig", b"x").status_code == status


def test_a_deleted_export_gives_nothing_more(push: Push, carry_out: Exporter, api: Api, staff: Actor, outside: Channel) -> None:
    push(name="one", version="1.0")
    carry_out()
    number = BundleExport.objects.get().pk
    base = Channel.objects.get(pk=outside.pk).head
    assert api("DELETE", f"exports/{number}").status_code == 204
    assert api.client.get(f"/api/hub/v1/exports/{number}/files/manifest.json").status_code == 404
    push(name="two", version="1.0")
    assert exporting.order_export(actor=staff, channel=outside, since=base).previous == BundleExport.objects.get(pk=number).manifest_sha256


@pytest.mark.parametrize(
    ("close", "status", "code"),
    [
        (
            lambda staff, channel: set_policy(actor=staff, scope=Scope.of_channel(channel), rules={"names": {"denied": ["bad"]}}),
            403,
            "policy_denied",
        ),
        (lambda staff, channel: change_state(actor=staff, channel=channel, verb=QUARANTINE, files=[BAD], reason="looked at"), 403, "held"),
        (lambda staff, channel: change_state(actor=staff, channel=channel, verb=PURGE, files=[BAD], reason="a secret"), 410, "purged"),
    ],
    ids=["denied", "held", "purged"],
)
def test_a_bundle_obeys_what_was_decided_after_it_was_made(
    close: Callable[[Actor, Channel], object],
    status: int,
    code: str,
    push: Push,
    carry_out: Exporter,
    api: Api,
    staff: Actor,
    outside: Channel,
) -> None:
    whole, later = with_and_without_bad(push, carry_out, outside)
    assert file_of(api, whole).status_code == file_of(api, later).status_code == 200
    close(staff, outside)
    applied(outside)
    refused = file_of(api, whole)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert "noarch/bad-1.0-0.conda" in refused.json()["detail"]
    # The other has no bytes of it.
    assert file_of(api, later).status_code == 200


def test_a_bundle_of_a_past_revision_obeys_too_and_waits_while_an_edit_is_applied(
    push: Push, carry_out: Exporter, api: Api, staff: Actor, outside: Channel
) -> None:
    push(name="bad", version="1.0")
    number = Channel.objects.get(pk=outside.pk).head
    change_state(actor=staff, channel=outside, verb=DELETE, files=[BAD])
    carry_out(revision=number)
    export = BundleExport.objects.get().pk
    assert file_of(api, export).status_code == 200
    set_policy(actor=staff, scope=Scope.of_channel(outside), rules={"names": {"denied": ["bad"]}})
    waiting = file_of(api, export)
    assert (waiting.status_code, waiting.json()["code"], waiting["Retry-After"]) == (503, "policy_applying", "5")
    applied(outside)
    assert file_of(api, export).json()["code"] == "policy_denied"


def test_a_bundle_with_purged_bytes_is_let_go_of_and_no_other(
    push: Push, carry_out: Exporter, api: Api, staff: Actor, outside: Channel
) -> None:
    whole, later = with_and_without_bad(push, carry_out, outside)
    assert sweeping.withdraw_purged() == []
    change_state(actor=staff, channel=outside, verb=PURGE, files=[BAD], reason="a secret")
    assert sweeping.withdraw_purged() == [whole]
    assert list(BundlePart.objects.values_list("export", flat=True).distinct()) == [later]
    told = api.get(f"exports/{whole}")
    assert (told["state"], told["error"]["code"]) == ("deleted", "purged")
    assert file_of(api, whole).status_code == 404 and file_of(api, later).status_code == 200


def with_and_without_bad(push: Push, carry_out: Exporter, outside: Channel) -> tuple[int, int]:
    """A bundle that holds the package `bad`, and one since it that does not."""
    push(name="bad", version="1.0")
    carry_out()
    base = Channel.objects.get(pk=outside.pk).head
    push(name="fine", version="1.0")
    carry_out(since=base)
    whole, later = BundleExport.objects.order_by("pk").values_list("pk", flat=True)
    return whole, later


def file_of(api: Api, export: int) -> Any:
    return api.client.get(f"/api/hub/v1/exports/{export}/files/part-0001.tar")


def applied(channel: Channel) -> None:
    applying.apply(channel_id=channel.pk)


def test_an_upload_that_nobody_goes_on_with_is_let_go_of(
    push: Push, carry_out: Exporter, inside: Channel, api: Api, settings: Settings
) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    number = api.do("POST", f"channels/{inside.name}/imports", {}, 201)["id"]
    for name in ("manifest.sig", "manifest.json", "part-0001.tar"):
        assert send(api, number, folder / name).status_code == 200
    assert sweeping.forget_abandoned() == []
    BundleImport.objects.update(touched_at=timezone.now() - timedelta(days=15))
    settings.CONDAHUB_BUNDLE_UPLOAD_DAYS = 0
    assert sweeping.forget_abandoned() == []
    settings.CONDAHUB_BUNDLE_UPLOAD_DAYS = 14
    assert sweeping.forget_abandoned() == [number]
    assert not BundlePiece.objects.exists() and sweeping.forget_abandoned() == []
    told = api.get(f"imports/{number}")
    assert (told["state"], told["error"]["code"]) == ("cancelled", "upload_abandoned")
    # Who comes back after all sends it again.
    assert send(api, number, folder / "part-0001.tar").status_code == 200
    assert BundlePiece.objects.count() == 1


def test_keys_over_the_api(api: Api, staff: Actor) -> None:
    made = api.do("POST", "signing-keys", {"name": "first"}, 201)
    assert "sealed" not in made and len(made["public"]) == 64
    assert api("POST", "signing-keys", {"name": "second"}).json()["code"] == "key_exists"
    api.do("POST", "trusted-keys", {"name": "first", "public": made["public"]}, 201)
    rotated = api.do("POST", "signing-keys/rotate", {"name": "second"}, 201)
    followed = api.do("POST", "trusted-keys/follow", {"rotations": [rotated["rotation"]]}, 201)
    assert followed["public"] == rotated["public"] and followed["follows"] == made["public"]
    assert api("DELETE", f"trusted-keys/{followed['id']}").status_code == 204
    assert [one["revoked_at"] is None for one in api.get("trusted-keys")["results"]] == [False, True]


def test_bundles_say_that_their_job_was_cancelled(
    push: Push, carry_out: Exporter, outside: Channel, inside: Channel, api: Api, staff: Actor
) -> None:
    push(name="one", version="1.0")
    folder = carry_out()
    number = api.do("POST", f"channels/{inside.name}/imports", {}, 201)["id"]
    for name in ("manifest.sig", "manifest.json", "part-0001.tar"):
        send(api, number, folder / name)
    api.do("POST", f"imports/{number}/run", {}, 202)
    made = exporting.order_export(actor=staff, channel=outside)
    assert sweeping.settle_lost() == {"exports": [], "imports": []}
    for job in Job.objects.filter(kind__in=(exporting.EXPORT_KIND, importing.IMPORT_KIND)):
        jobs.cancel(staff, job)
    assert sweeping.settle_lost() == {"exports": [made.pk], "imports": [number]}
    told = api.get(f"exports/{made.pk}")
    assert (told["state"], told["error"]["code"]) == ("failed", "cancelled")
    told = api.get(f"imports/{number}")
    assert (told["state"], told["error"]["code"]) == ("cancelled", "cancelled")
    api.do("POST", f"imports/{number}/run", {}, 202)
    importing.run_import(BundleImport.objects.select_related("channel__organization").get(pk=number))
    assert sweeping.settle_lost() == {"exports": [], "imports": []}
    assert api.get(f"imports/{number}")["state"] == "done" and shown(inside) == shown(outside)


def test_a_virtual_channel_has_no_bundles_whoever_asks(staff: Actor, outside: Channel, api: Api) -> None:
    create_virtual(actor=staff, organization=outside.organization, name="union", members=[outside.name], visibility="public")
    for method in ("GET", "POST"):
        answer = api(method, "channels/union/exports", {} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (409, "virtual_channel")
