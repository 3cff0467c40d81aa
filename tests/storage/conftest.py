"""A store in a folder of the test's own, and one in a bucket of a real S3 server (moto)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pytest_django.fixtures import Settings

from condahub.storage.base import BlobStore
from condahub.storage.blobs import blobs, initialise

BUCKET = "hub"
SECRET = "a-secret-that-no-answer-shows"


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """The root of a store on disk, initialised."""
    root = tmp_path / "store"
    settings.CONDAHUB_TEMP_DIR = root / ".incoming"
    settings.CONDAHUB_SERVE_MODE = ""
    settings.STORAGES = {
        **settings.STORAGES,
        "blobs": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(root)}},
    }
    initialise()
    return root


@pytest.fixture
def disk(folder: Path) -> BlobStore:
    return blobs()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}" if host == "0.0.0.0" else f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(settings: Settings, tmp_path: Path, s3_endpoint: str) -> BlobStore:
    """An empty bucket."""
    client = boto3.client("s3", endpoint_url=s3_endpoint, aws_access_key_id="key", aws_secret_access_key=SECRET, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    settings.CONDAHUB_TEMP_DIR = tmp_path / "incoming"
    settings.CONDAHUB_SERVE_MODE = ""
    use_s3(settings, s3_endpoint)
    initialise()
    return blobs()


def use_s3(settings: Settings, endpoint: str, bucket: str = BUCKET) -> None:
    options = {
        "bucket_name": bucket,
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "access_key": "key",
        "secret_key": SECRET,
        "addressing_style": "path",
        "default_acl": None,
    }
    settings.STORAGES = {**settings.STORAGES, "blobs": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}}


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest) -> BlobStore:
    """Every kind of store in turn: what it promises is the same."""
    found: BlobStore = request.getfixturevalue(request.param)
    return found
