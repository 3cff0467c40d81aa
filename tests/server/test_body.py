"""Uploads come whole or are refused: chunked, with a length, multipart; under gunicorn and in Django's own test client."""

from __future__ import annotations

import hashlib
import json
import os
from io import BytesIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from condahub.errors import HubError, Invalid, TooLarge
from condahub.server.body import iterate_body, multipart_files
from condahub.storage.base import BlobStore
from condahub.storage.blobs import blobs, initialise
from tests.server.conftest import Server

DATA = os.urandom(5_000_001)
SHA256 = hashlib.sha256(DATA).hexdigest()
CHUNKED = b"PUT /upload HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"
FORM = b'--boundary-of-this-test\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
FILE = (
    b'--boundary-of-this-test\r\nContent-Disposition: form-data; name="package"; filename="%s"\r\nContent-Type: application/x\r\n\r\n%s\r\n'
)


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> BlobStore:
    settings.CONDAHUB_TEMP_DIR = tmp_path / ".incoming"
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "blobs": backend}
    initialise()
    return blobs()


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_an_upload_comes_whole(server: Server, chunked: bool) -> None:
    pieces = [DATA[start : start + 70_000] for start in range(0, len(DATA), 70_000)]
    answer = server.ask("PUT", "/upload", body=iter(pieces) if chunked else DATA)
    got = answer.json()
    assert (got["size"], got["sha256"]) == (len(DATA), SHA256)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PUT /upload HTTP/1.1\r\nHost: hub\r\nContent-Length: 50\r\n\r\nabc", "body_short"),
        (b"PUT /upload HTTP/1.1\r\nHost: hub\r\nContent-Length: 5000000\r\n\r\nabc", "body_short"),
        (CHUNKED + b"5\r\nab", "body_short"),
        (CHUNKED + b"5\r\nabcde\r\n", "body_short"),
        (CHUNKED + b"5\r\nabcde\r\n0\r\n", "body_broken"),
        (CHUNKED + b"5\r\nabcdefgh\r\n0\r\n\r\n", "body_broken"),
        (CHUNKED + b"zz\r\nabcde\r\n0\r\n\r\n", "body_broken"),
        (CHUNKED + b"-5\r\nabcde\r\n0\r\n\r\n", "body_broken"),
    ],
)
def test_a_body_that_is_not_whole_is_a_400(server: Server, data: bytes, code: str) -> None:
    status, body = server.raw(data, then_shut=True)
    assert (status, json.loads(body)["code"]) == (400, code)
    assert os.listdir(server.store / ".incoming") == []


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_a_body_past_the_limit_is_a_413(server: Server, chunked: bool) -> None:
    answer = server.ask("PUT", "/upload?limit=1000000", body=iter([DATA]) if chunked else DATA)
    assert (answer.status, answer.json()["code"]) == (413, "too_large")


def test_a_large_upload_takes_little_memory(server: Server) -> None:
    server.ask("PUT", "/upload", body=DATA)
    before = server.ask("PUT", "/upload", body=DATA).json()["peak_kilobytes"]
    piece = bytes(1024**2)
    after = server.ask("PUT", "/upload", body=(piece for _ in range(200))).json()["peak_kilobytes"]
    assert after - before < 32_000


def test_multipart_comes_whole_chunked_or_not(server: Server) -> None:
    body = (
        FORM % (b"note", b"first")
        + FILE % (b"a-1-0.conda", DATA)
        + FILE % (b"../b-1-0.conda", b"b")
        + FORM % (b"note", b"2")
        + b"--boundary-of-this-test--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=boundary-of-this-test"}
    for sent in (body, iter([body[:100], body[100:]])):
        got = server.ask("POST", "/multipart", body=sent, headers=headers).json()
        assert got["fields"] == {"note": ["first", "2"]}
        assert got["files"] == [
            ["package", "a-1-0.conda", len(DATA), SHA256],
            ["package", "b-1-0.conda", 1, hashlib.sha256(b"b").hexdigest()],
        ]
    assert os.listdir(server.store / ".incoming") == []


@pytest.mark.parametrize("cut", [1, 10, 200, 5_000_000])
def test_multipart_that_ends_early_is_a_400(server: Server, cut: int) -> None:
    body = FILE % (b"a-1-0.conda", DATA) + b"--boundary-of-this-test--"
    headers = {"Content-Type": "multipart/form-data; boundary=boundary-of-this-test"}
    answer = server.ask("POST", "/multipart", body=iter([body[:-cut]]), headers=headers)
    assert (answer.status, answer.json()["code"]) == (400, "multipart_broken")
    assert os.listdir(server.store / ".incoming") == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--boundary-of-this-test--"),
        ("multipart/form-data; boundary=\xff", b"--boundary-of-this-test--"),
        ("multipart/form-data; boundary=boundary-of-this-test", b""),
        ("multipart/form-data; boundary=boundary-of-this-test", b"no boundary at all"),
        ("multipart/form-data; boundary=boundary-of-this-test", (FORM % (b"x", b"y")) * 2000 + b"--boundary-of-this-test--"),
    ],
)
def test_what_is_no_multipart_is_a_400(store: BlobStore, content_type: str, body: bytes) -> None:
    request = RequestFactory().generic("POST", "/", body, content_type=content_type)
    with pytest.raises(Invalid) as refused, multipart_files(request, store=store):
        pass
    assert refused.value.status == 400


def test_django_test_client_is_read_too(store: BlobStore) -> None:
    factory = RequestFactory()
    assert b"".join(iterate_body(factory.put("/", DATA), chunk_bytes=1000)) == DATA
    assert b"".join(iterate_body(factory.get("/"))) == b""
    files = [SimpleUploadedFile("a.conda", b"aa"), SimpleUploadedFile("b.conda", b"bb")]
    with multipart_files(factory.post("/", {"package": files, "force": "true"}), store=store) as form:
        assert [(file.field, file.filename, file.blob.path.read_bytes()) for file in form.files] == [
            ("package", "a.conda", b"aa"),
            ("package", "b.conda", b"bb"),
        ]
        assert form.fields == {"force": ["true"]}
        store.keep(form.files[1].blob)
    assert [entry.size for entry in store.iterate()] == [2]
    assert store.read_bytes(hashlib.sha256(b"bb").hexdigest()) == b"bb"
    assert not form.files[0].blob.path.exists()


def test_too_large_a_promise_is_refused_before_the_body() -> None:
    request = RequestFactory().put("/", b"x" * 11)
    request.META["wsgi.input"] = None
    with pytest.raises(TooLarge):
        iterate_body(request, limit_bytes=10)


def test_a_server_that_cannot_read_chunks_asks_for_the_length() -> None:
    request = RequestFactory().put("/", b"x", headers={"Transfer-Encoding": "chunked"})
    request.META.pop("CONTENT_LENGTH")
    with pytest.raises(Invalid) as refused:
        iterate_body(request)
    assert refused.value.status == 411


def test_a_body_that_failed_once_never_ends_well_after() -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            self.read = lambda size=-1: b""  # type: ignore[method-assign]
            raise TimeoutError

    request = RequestFactory().put("/", b"x" * 10)
    request.META["wsgi.input"] = Failing()
    pieces = iterate_body(request)
    for _ in range(2):
        with pytest.raises(HubError) as refused:
            next(pieces)
        assert refused.value.status == 408
