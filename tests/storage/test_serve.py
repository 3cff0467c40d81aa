"""What a GET or HEAD of a blob answers, from each kind of store and in each way of sending."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import HttpRequest, HttpResponseBase
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from condahub.errors import Unavailable
from condahub.storage.base import BlobMissing, BlobStore
from condahub.storage.serve import serve_blob, serve_bytes
from tests.storage.conftest import SECRET, use_s3

DATA = bytes(range(256)) * 20
SHA256 = hashlib.sha256(DATA).hexdigest()
MODIFIED = datetime(2024, 5, 1, 12, tzinfo=UTC)
MODIFIED_TEXT = "Wed, 01 May 2024 12:00:00 GMT"


def ask_store(method: str = "GET", **options: Any) -> HttpResponseBase:
    serve = options.pop("serve", serve_blob)
    given = {name: options.pop(name) for name in list(options) if name.startswith("HTTP_")}
    request = RequestFactory().generic(method, "/file", **given)
    answer: HttpResponseBase = serve(
        request,
        namespace="packages",
        sha256=options.pop("sha256", SHA256),
        size=len(DATA),
        content_type="application/octet-stream",
        etag=SHA256,
        cache_control="private, no-cache",
        last_modified=MODIFIED,
        headers={"X-Condahub-Revision": "7"},
        **options,
    )
    return answer


def body(answer: HttpResponseBase) -> bytes:
    data = b"".join(answer)
    answer.close()
    return bytes(data)


Ask = Callable[..., HttpResponseBase]


def serve_memory(request: HttpRequest, *, namespace: str, sha256: str, size: int, **rest: Any) -> HttpResponseBase:
    return serve_bytes(request, DATA, **rest)


@pytest.fixture(params=["disk", "s3", "memory"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """The same questions to a file, to S3 through the hub, and to bytes in memory."""
    if request.param == "memory":
        return partial(ask_store, serve=serve_memory)
    request.getfixturevalue(request.param).put_bytes(DATA)
    return partial(ask_store, allow_redirect=False)


def test_a_get_has_the_whole(ask: Ask) -> None:
    answer = ask(filename="añ b.conda")
    assert answer.status_code == 200
    assert body(answer) == DATA
    assert dict(answer.items()) == {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(DATA)),
        "ETag": f'"{SHA256}"',
        "Last-Modified": MODIFIED_TEXT,
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": "attachment; filename*=utf-8''a%C3%B1%20b.conda",
        "X-Condahub-Revision": "7",
    }


def test_a_head_has_the_same_headers_and_opens_nothing(ask: Ask) -> None:
    whole = ask()
    whole.close()
    assert dict(ask("HEAD", HTTP_RANGE="bytes=0-1").items()) == dict(whole.items())
    # Not even a file that is not there matters to it.
    assert ask("HEAD", sha256="0" * 64).status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        (f"bytes={len(DATA) - 1}-", len(DATA) - 1, None),
        ("bytes=-3", len(DATA) - 3, None),
        ("bytes=0-", 0, None),
        ("bytes=5-99999999999999999999999", 5, None),
    ],
)
def test_one_range_gives_its_bytes(ask: Ask, asked: str, start: int, stop: int | None) -> None:
    answer = ask(HTTP_RANGE=asked)
    wanted = DATA[start:stop]
    assert answer.status_code == 206
    assert body(answer) == wanted
    assert answer["Content-Length"] == str(len(wanted))
    assert answer["Content-Range"] == f"bytes {start}-{start + len(wanted) - 1}/{len(DATA)}"
    assert answer["X-Condahub-Revision"] == "7"


def test_a_range_past_the_end_is_a_416_that_names_the_size(ask: Ask) -> None:
    answer = ask(HTTP_RANGE=f"bytes={len(DATA)}-")
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(DATA)}"
    assert body(answer) == b""


def test_several_ranges_or_another_version_give_the_whole(ask: Ask) -> None:
    for headers in (
        {"HTTP_RANGE": "bytes=0-1,5-6"},
        {"HTTP_RANGE": "bytes=0-1", "HTTP_IF_RANGE": '"other"'},
        {"HTTP_RANGE": "bytes=0-1", "HTTP_IF_RANGE": f'W/"{SHA256}"'},
    ):
        answer = ask(**headers)
        assert answer.status_code == 200
        assert body(answer) == DATA
    answer = ask(HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=f'"{SHA256}"')
    assert (answer.status_code, body(answer)) == (206, DATA[:2])
    answer = ask(HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=MODIFIED_TEXT)
    assert (answer.status_code, body(answer)) == (206, DATA[:2])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("HTTP_IF_NONE_MATCH", f'"{SHA256}"', 304),
        ("HTTP_IF_NONE_MATCH", f'"x", W/"{SHA256}"', 304),
        ("HTTP_IF_NONE_MATCH", "*", 304),
        ("HTTP_IF_NONE_MATCH", '"x"', 200),
        ("HTTP_IF_MODIFIED_SINCE", MODIFIED_TEXT, 304),
        ("HTTP_IF_MODIFIED_SINCE", "Wed, 01 May 2024 11:59:59 GMT", 200),
        ("HTTP_IF_MATCH", f'"{SHA256}"', 200),
        ("HTTP_IF_MATCH", f'W/"{SHA256}"', 412),
        ("HTTP_IF_MATCH", '"x"', 412),
        ("HTTP_IF_UNMODIFIED_SINCE", MODIFIED_TEXT, 200),
        ("HTTP_IF_UNMODIFIED_SINCE", "Wed, 01 May 2024 11:59:59 GMT", 412),
    ],
)
def test_conditions_are_answered(ask: Ask, method: str, header: str, value: str, status: int) -> None:
    answer = ask(method, **{header: value})
    assert answer.status_code == status
    if status == 304:
        assert body(answer) == b""
        assert answer["ETag"] == f'"{SHA256}"'
        assert answer["Cache-Control"] == "private, no-cache"
        assert answer["X-Condahub-Revision"] == "7"
        assert not answer.has_header("Content-Type")
    answer.close()


def test_a_tag_that_differs_wins_over_a_date_that_does_not(ask: Ask) -> None:
    answer = ask(HTTP_IF_NONE_MATCH='"x"', HTTP_IF_MODIFIED_SINCE=MODIFIED_TEXT)
    assert answer.status_code == 200
    answer.close()


def test_a_lost_or_damaged_file_is_a_503(disk: BlobStore) -> None:
    with pytest.raises(BlobMissing) as refused:
        ask_store()
    assert refused.value.headers["Retry-After"]
    disk.put_bytes(DATA)
    path = disk.local_path(SHA256)
    assert path is not None
    path.chmod(0o644)
    os.truncate(path, 10)
    with pytest.raises(BlobMissing):
        ask_store()


def test_nginx_is_told_the_file_and_nothing_is_opened(disk: BlobStore, folder: Path, settings: Settings) -> None:
    settings.CONDAHUB_SERVE_MODE = "accel"
    settings.CONDAHUB_ACCEL_PREFIX = "/_store/"
    answer = ask_store(HTTP_RANGE="bytes=0-1")
    assert answer.status_code == 200
    assert answer["X-Accel-Redirect"] == f"/_store/packages/{SHA256[:2]}/{SHA256}"
    assert answer["ETag"] == f'"{SHA256}"'
    assert answer["Content-Type"] == "application/octet-stream"
    assert ask_store("HEAD")["Content-Length"] == str(len(DATA))
    assert ask_store(HTTP_IF_NONE_MATCH=f'"{SHA256}"').status_code == 304


def test_what_nginx_would_misjudge_is_sent_by_the_hub(disk: BlobStore, settings: Settings) -> None:
    settings.CONDAHUB_SERVE_MODE = "accel"
    disk.put_bytes(DATA)
    answer = ask_store(HTTP_IF_MATCH=f'"{SHA256}"')
    assert not answer.has_header("X-Accel-Redirect")
    assert body(answer) == DATA


def test_s3_gives_the_bytes_by_an_address_that_ends_soon(s3: BlobStore) -> None:
    s3.put_bytes(DATA)
    answer = ask_store(filename="a.conda")
    assert answer.status_code == 302
    assert answer["Cache-Control"] == "private, no-store"
    assert SECRET not in str(answer.headers)
    assert parse_qs(urlsplit(answer["Location"]).query)["X-Amz-Expires"] == ["60"]
    assert "X-Amz-Signature" in answer["Location"]
    ranged = urllib.request.Request(answer["Location"], headers={"Range": "bytes=10-19"})
    with urllib.request.urlopen(ranged, timeout=10) as got:
        assert (got.status, got.read()) == (206, DATA[10:20])
    with urllib.request.urlopen(answer["Location"], timeout=10) as got:
        assert got.read() == DATA
        assert got.headers["Content-Disposition"] == 'attachment; filename="a.conda"'
        assert got.headers["Content-Type"] == "application/octet-stream"
    # The tag stays ours: a HEAD and a condition are answered by the hub itself.
    assert ask_store("HEAD")["Content-Length"] == str(len(DATA))
    assert ask_store(HTTP_IF_NONE_MATCH=f'"{SHA256}"').status_code == 304


def test_clients_are_sent_to_the_address_they_can_reach(s3: BlobStore, settings: Settings) -> None:
    settings.CONDAHUB_S3_PUBLIC_ENDPOINT_URL = "https://s3.example.com"
    assert ask_store()["Location"].startswith("https://s3.example.com/hub/packages/")


def test_a_lost_s3_is_a_503_and_no_half_answer(s3: BlobStore, settings: Settings) -> None:
    use_s3(settings, "http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        ask_store(allow_redirect=False)
