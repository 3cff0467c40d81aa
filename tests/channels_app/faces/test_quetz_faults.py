"""Each fault that was seen in Quetz, and the test that it is absent here. Those of its mirrors belong to the mirrors' tests."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import zstandard
from django.apps import apps

from channels_app.index import beside
from channels_app.models import Channel, DownloadCount, PackageFile
from condahub.accounts.models import User
from condahub.errors import StorageFull
from condahub.packages.maker import make_package
from condahub.storage.blobs import blobs
from condahub.storage.disk import DiskStore
from tests.channels_app.faces.conftest import House, form_of
from tests.hub import RunningHub

Make = Callable[..., Path]
database = pytest.mark.django_db(transaction=True)
ANSWER_SECONDS = 5


@database
@pytest.mark.parametrize("door", ["get", "channels"])
@pytest.mark.parametrize(
    "path",
    [
        "../../tests.sqlite3",
        "..%2f..%2ftests.sqlite3",
        "%2e%2e/%2e%2e/tests.sqlite3",
        "noarch/../../secret/noarch/repodata.json",
        "..%2fsecret%2fnoarch%2frepodata.json",
        "noarch/..%2f..%2fsecret%2fnoarch%2frepodata.json",
        "noarch/..\\..\\secret\\noarch\\repodata.json",
        "noarch//etc/passwd",
        "noarch/shards/../../../store/packages/x.conda",
    ],
)
def test_no_path_leads_out_of_a_channel(house: House, secret: Channel, door: str, path: str) -> None:
    house.channel("open", "public")
    response = house.call("GET", f"/{door}/open/{path}")
    assert response.status_code == 404
    assert b"SQLite format" not in response.getvalue()


@database
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_test_login_is_open(house: House, method: str) -> None:
    response = house.call(method, "/api/dummylogin/owner")
    assert response.status_code == 501 and not response.cookies
    assert json.loads(response.content)["code"] == "declined"


@database
def test_keys_are_not_in_the_database(house: House) -> None:
    made = json.loads(house.call("POST", "/api/api-keys", "owner", body={"description": "k", "roles": []}).content)
    secret_part = made["key"].rpartition("-")[0].removeprefix("chub-user-")
    rows = [row for model in apps.get_models() for row in model._default_manager.values_list()]
    assert rows and not any(secret_part in str(value) for row in rows for value in row)


@database
@pytest.mark.parametrize("role", ["owner", "maintainer", "member", None])
def test_nobody_changes_a_role_anonymously(house: House, secret: Channel, role: str | None) -> None:
    before = list(User.objects.order_by("pk").values_list("is_staff", "is_superuser", "is_active"))
    for method, path, body in (
        ("PUT", "/api/users/outsider/role", {"role": role}),
        ("DELETE", "/api/users/outsider", None),
        ("POST", "/api/channels/secret/members", {"username": "outsider", "role": role}),
        ("POST", "/api/channels/secret/packages/demo/members", {"username": "outsider", "role": role}),
        ("DELETE", "/api/channels/secret/members?username=owner", None),
    ):
        assert house.call(method, path, body=body).status_code == 401
    assert list(User.objects.order_by("pk").values_list("is_staff", "is_superuser", "is_active")) == before


@database
def test_download_counts_of_private_channels_are_closed(house: House, secret: Channel, package: Make) -> None:
    house.upload(package())
    DownloadCount.objects.create(file=PackageFile.objects.get(), day="2026-01-01", count=7)
    for path in ("", "/packages/demo/versions/noarch/demo-1.0-0.conda", "/packages/none/versions/noarch/none-1.0-0.conda"):
        for who, status in (("", 401), ("outsider", 403)):
            response = house.call("GET", f"/api/metrics/channels/secret{path}", who)
            assert response.status_code == status
            assert response.content == house.call("GET", f"/api/metrics/channels/unknown{path}", who).content
    assert house.get("/api/metrics/channels/secret", "reader")["packages"]


@database
def test_the_raw_upload_keeps_to_the_quota(house: House, secret: Channel, package: Make) -> None:
    first, second = package("one"), package("two")
    Channel.objects.filter(pk=secret.pk).update(quota_bytes=first.stat().st_size)
    assert house.upload(first).status_code == 201
    assert house.upload(second).status_code == 422
    assert house.upload(first).status_code in (201, 422)
    assert PackageFile.objects.count() == 1


@database
@pytest.mark.parametrize("cut", ["empty", "half", "flipped", "text", "zip"])
@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
def test_a_corrupt_package_is_a_4xx_with_a_sentence(house: House, secret: Channel, package: Make, cut: str, extension: str) -> None:
    path = package(extension=extension)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    spoiled = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "text": b"<html>",
        "zip": b"PK\x05\x06" + bytes(18),
    }
    path.write_bytes(spoiled[cut])
    raw = house.upload(path)
    body, content_type = form_of(path)
    form = house.call("POST", "/api/channels/secret/files/", "owner", body=body, content_type=content_type)
    for response in (raw, form):
        assert 400 <= response.status_code < 500 and json.loads(response.content)["detail"]
    assert not PackageFile.objects.exists()


@database
@pytest.mark.parametrize(("who", "status"), [("", 401), ("owner", 403), ("staff", 403)])
def test_a_missing_channel_is_a_refusal_and_no_crash(house: House, package: Make, who: str, status: int) -> None:
    assert house.upload(package(), who, channel="missing").status_code == status
    for path in ("/get/missing/noarch/repodata.json", "/api/channels/missing", "/api/channels/missing/packages/demo/versions"):
        assert house.call("GET", path, who).status_code == status


@database
def test_a_rejected_duplicate_leaves_the_stored_bytes(house: House, secret: Channel, package: Make) -> None:
    first = package()
    house.upload(first)
    stored = PackageFile.objects.get()
    assert house.upload(package(files={"share/other": b"other"})).status_code == 409
    assert blobs().read_bytes(stored.sha256) == first.read_bytes()
    assert house.call("GET", f"/get/secret/noarch/{first.name}", "reader").getvalue() == first.read_bytes()


@database
def test_a_failed_upload_is_not_in_the_index(house: House, secret: Channel, package: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    before = house.get("/get/secret/noarch/repodata.json", "reader")
    path = package()
    wrong = house.call("POST", f"/api/channels/secret/upload/{path.name}?sha256={'0' * 64}", "owner", body=path.read_bytes())
    assert wrong.status_code == 406

    def full(*arguments: object) -> None:
        raise StorageFull

    with monkeypatch.context() as patch:
        patch.setattr(DiskStore, "keep", full)
        assert house.upload(path).status_code == 507
    assert house.get("/get/secret/noarch/repodata.json", "reader") == before
    assert house.upload(path).status_code == 201


@database
def test_the_file_is_in_the_store_before_its_row(house: House, secret: Channel, package: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows_while_storing: list[int] = []
    keep = DiskStore.keep

    def watched(self: DiskStore, temporary: Any) -> None:
        rows_while_storing.append(PackageFile.objects.count())
        keep(self, temporary)

    monkeypatch.setattr(DiskStore, "keep", watched)
    assert house.upload(package()).status_code == 201
    assert set(rows_while_storing) == {0}
    assert blobs().exists(PackageFile.objects.get().sha256)


@database
def test_a_write_renders_its_own_package_alone(house: House, secret: Channel, package: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        house.upload(package(f"other-{number}"))
    rendered: list[str] = []
    render = beside.render_name

    def watched(name: str, rows: Any) -> Any:
        rendered.append(name)
        return render(name, rows)

    monkeypatch.setattr(beside, "render_name", watched)
    assert house.upload(package("demo")).status_code == 201
    assert set(rendered) == {"demo"}


@database
def test_every_variant_of_the_index_is_there_by_default(house: House, secret: Channel, package: Make) -> None:
    house.upload(package(run_exports={"weak": ["demo"]}))
    base = "/get/secret/noarch"
    plain = house.get(f"{base}/repodata.json", "reader")
    assert list(plain["packages.conda"]) == ["demo-1.0-0.conda"]
    assert json.loads(zstandard.decompress(house.call("GET", f"{base}/repodata.json.zst", "reader").getvalue())) == plain
    assert list(house.get(f"{base}/current_repodata.json", "reader")["packages.conda"]) == ["demo-1.0-0.conda"]
    assert house.get(f"{base}/run_exports.json", "reader")["packages.conda"]
    shards = msgspec.msgpack.decode(zstandard.decompress(house.call("GET", f"{base}/repodata_shards.msgpack.zst", "reader").getvalue()))
    shard = house.call("GET", f"{base}/shards/{shards['shards']['demo'].hex()}.msgpack.zst", "reader")
    assert "demo-1.0-0.conda" in msgspec.msgpack.decode(zstandard.decompress(shard.getvalue()))["packages.conda"]


@database
@pytest.mark.parametrize("subdir", ["noarch", "linux-64", "osx-arm64", "win-64"])
def test_a_subdir_without_packages_is_valid_and_empty(house: House, secret: Channel, subdir: str) -> None:
    repodata = house.get(f"/get/secret/{subdir}/repodata.json", "reader")
    assert repodata["packages"] == repodata["packages.conda"] == {} and repodata["info"]["subdir"] == subdir
    for name in ("repodata.json.zst", "current_repodata.json", "run_exports.json", "repodata_shards.msgpack.zst"):
        assert house.call("GET", f"/get/secret/{subdir}/{name}", "reader").status_code == 200


@database
@pytest.mark.parametrize("name", ["demo-1.0-0.conda", "repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"])
def test_answers_have_a_length_a_quoted_etag_conditions_and_ranges(house: House, secret: Channel, package: Make, name: str) -> None:
    house.upload(package())
    address = f"/get/secret/noarch/{name}"
    whole = house.call("GET", address, "reader")
    body = whole.getvalue()
    assert int(whole["Content-Length"]) == len(body) and whole["Accept-Ranges"] == "bytes"
    assert whole["ETag"].startswith('"') and whole["ETag"].endswith('"')
    head = house.call("HEAD", address, "reader")
    assert (head["Content-Length"], head["ETag"], head.getvalue()) == (whole["Content-Length"], whole["ETag"], b"")
    assert house.call("GET", address, "reader", HTTP_IF_NONE_MATCH=whole["ETag"]).status_code == 304
    part = house.call("GET", address, "reader", HTTP_RANGE="bytes=2-5")
    assert part.status_code == 206 and part.getvalue() == body[2:6] and part["Content-Range"] == f"bytes 2-5/{len(body)}"


# From here on a running hub: what its sockets and processes do.


@pytest.fixture
def hub_channel(running_hub: RunningHub) -> Iterator[str]:
    name = f"faults-{time.monotonic_ns()}"
    with httpx.Client(base_url=running_hub.url, headers=running_hub.headers, trust_env=False) as client:
        assert client.post("/api/channels", json={"name": name, "private": True}).status_code == 201
        yield name
        client.delete(f"/api/channels/{name}")


def answer_to_head(hub: RunningHub, head: str) -> bytes:
    """What comes back when the head of a request was sent and none of its body."""
    host, port = hub.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        return connection.recv(65536)


@pytest.mark.real
@pytest.mark.parametrize("framing", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/channels/{}/upload/demo-1.0-0.conda?sha256=00"),
        ("POST", "/api/channels/{}/files/"),
        ("POST", "/api/channels/{}/packages/demo/files/"),
        ("POST", "/api/v1/upload/{}"),
        ("PUT", "/channels/{}/noarch/demo-1.0-0.conda"),
    ],
)
def test_permission_is_settled_before_the_body(running_hub: RunningHub, hub_channel: str, method: str, path: str, framing: str) -> None:
    for channel in (hub_channel, "missing"):
        head = f"{method} {path.format(channel)} HTTP/1.1\nHost: 127.0.0.1\nContent-Type: multipart/form-data; boundary=x\n{framing}"
        assert answer_to_head(running_hub, head).startswith(b"HTTP/1.1 401")
    refused = f"{method} {path.format('missing')} HTTP/1.1\nHost: 127.0.0.1\nX-API-Key: {running_hub.admin_token}\n{framing}"
    assert answer_to_head(running_hub, refused).startswith(b"HTTP/1.1 403")


@pytest.mark.real
def test_a_body_that_does_not_fit_is_refused_before_it_comes(running_hub: RunningHub, hub_channel: str) -> None:
    limited = httpx.patch(f"{running_hub.url}/api/channels/{hub_channel}", json={"size_limit": 1000}, headers=running_hub.headers)
    assert limited.status_code == 200
    head = (
        f"POST /api/channels/{hub_channel}/upload/demo-1.0-0.conda?sha256={'0' * 64} HTTP/1.1\nHost: 127.0.0.1\n"
        f"X-API-Key: {running_hub.admin_token}\nContent-Length: 50000000"
    )
    assert answer_to_head(running_hub, head).startswith(b"HTTP/1.1 422")


@pytest.mark.real
@pytest.mark.parametrize("base", ["url", "data_url"])
@pytest.mark.parametrize("path", ["../../condahub.sqlite3", "..%2f..%2fcondahub.sqlite3", "noarch/%2e%2e/%2e%2e/condahub.sqlite3"])
def test_no_raw_path_leads_out_of_a_channel(running_hub: RunningHub, base: str, path: str) -> None:
    name = f"open-{time.monotonic_ns()}"
    made = httpx.post(f"{running_hub.url}/api/channels", json={"name": name, "private": False}, headers=running_hub.headers)
    assert made.status_code == 201
    host, port = getattr(running_hub, base).removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)) as connection:
        connection.sendall(f"GET /get/{name}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 401")) and b"SQLite format" not in answer


@pytest.mark.real
def test_small_reads_stay_quick_while_packages_come_in(running_hub: RunningHub, hub_channel: str, tmp_path: Path) -> None:
    files = [make_package(tmp_path, f"part-{number}") for number in range(30)]
    waited: list[float] = []
    done = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=running_hub.url, headers=running_hub.headers, trust_env=False) as client:
            while not done.is_set():
                began = time.monotonic()
                assert client.get(f"/get/{hub_channel}/noarch/repodata_shards.msgpack.zst").status_code == 200
                waited.append(time.monotonic() - began)
                time.sleep(0.05)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with httpx.Client(base_url=running_hub.url, headers=running_hub.headers, trust_env=False, timeout=30) as client:
            for file in files:
                data = file.read_bytes()
                query = {"sha256": hashlib.sha256(data).hexdigest(), "force": "false"}
                assert client.post(f"/api/channels/{hub_channel}/upload/{file.name}", params=query, content=data).status_code == 201
    finally:
        done.set()
        reader.join()
    # Quetz's took 3.5 s; a single one may meet a busy machine.
    assert len(waited) > 5 and sorted(waited)[-2] < 1
