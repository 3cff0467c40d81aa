"""Blobs in an S3-compatible bucket: uploaded in parts, verified, given out by presigned addresses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast
from weakref import WeakKeyDictionary

import boto3.exceptions
import botocore.exceptions
import urllib3.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.conf import settings
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

from condahub.errors import HubError, StorageFull, Unavailable
from condahub.storage.base import STREAM_BYTES, BlobEntry, BlobMissing, BlobStore
from condahub.storage.temporary import TemporaryBlob, storage_errors, store_lost, temporary_folder

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 3
READ_SECONDS = 30
# Parts in flight times their size bounds what an upload may hold in memory.
PART_BYTES = 8 * 1024**2
PARTS_IN_FLIGHT = 4
# A blob that is kept again counts as kept now; an object's time is renewed by a copy onto itself, not more often than this.
RENEW_AFTER_SECONDS = 24 * 3600

_transfer = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_IN_FLIGHT)
_clients: WeakKeyDictionary[S3Storage, dict[str | None, Any]] = WeakKeyDictionary()
_clients_lock = threading.Lock()

_LOST = (
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
    boto3.exceptions.Boto3Error,
    urllib3.exceptions.HTTPError,
)


class S3Store(BlobStore):
    """Blobs in the bucket of a django-storages S3Storage, whose settings (endpoint, keys, region, location) it uses."""

    def __init__(self, namespace: str, storage: S3Storage) -> None:
        super().__init__(namespace)
        self.storage = storage
        self.bucket: str = storage.bucket_name

    def temporary(self, expected_bytes: int | None = None) -> TemporaryBlob:
        with storage_errors("making the folder for uploads"):
            temporary_folder().mkdir(parents=True, exist_ok=True)
        return TemporaryBlob(temporary_folder(), expected_bytes)

    def keep(self, temp: TemporaryBlob) -> None:
        sha256, key = temp.sha256, self._key(temp.sha256)
        if self._renew(sha256, temp.size):
            return
        with s3_errors("keeping a blob"):
            self._client().upload_file(str(temp.path), self.bucket, key, Config=_transfer)
        stored = self.find(sha256)
        if stored is None or stored.size != temp.size:
            logger.error("storage: S3 took %s with %s bytes in place of %d", sha256, stored and stored.size, temp.size)
            raise Unavailable("The hub's storage did not take the bytes whole.", hint="Try again.")

    def find(self, sha256: str) -> BlobEntry | None:
        key = self._key(sha256)
        with s3_errors("looking for a blob"):
            try:
                head = self._client().head_object(Bucket=self.bucket, Key=key)
            except botocore.exceptions.ClientError as error:
                if _status(error) != 404:
                    raise
                # A bucket that is gone answers a HEAD just like a missing object.
                self._client().head_bucket(Bucket=self.bucket)
                return None
        return BlobEntry(sha256, head["ContentLength"], head["LastModified"].timestamp())

    def open(self, sha256: str) -> BinaryIO:
        with self.temporary(self.size(sha256)) as temp:
            for piece in self.stream(sha256):
                temp.write(piece)
            return temp.path.open("rb")

    def stream(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        key = self._key(sha256)
        if length == 0:
            return iter(())
        wanted: dict[str, str] = {}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        with s3_errors("reading a blob"):
            body = self._client().get_object(Bucket=self.bucket, Key=key, **wanted)["Body"]
        return _pieces(body)

    def local_path(self, sha256: str) -> Path | None:
        return None

    def delete(self, sha256: str, *, kept_before: float | None = None) -> bool:
        entry = self.find(sha256)
        if entry is None or (kept_before is not None and entry.mtime >= kept_before):
            return False
        with s3_errors("deleting a blob"):
            self._client().delete_object(Bucket=self.bucket, Key=self._key(sha256))
        return True

    def iterate(self) -> Iterator[BlobEntry]:
        prefix = self._below(f"{self.namespace}/")
        with s3_errors("listing blobs"):
            for page in self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", ()):
                    yield BlobEntry(item["Key"].rpartition("/")[2], item["Size"], item["LastModified"].timestamp())

    def presigned_url(
        self,
        sha256: str,
        *,
        filename: str | None,
        content_type: str,
        seconds: int,
        cache_control: str | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> str | None:
        wanted = {"Bucket": self.bucket, "Key": self._key(sha256), "ResponseContentType": content_type}
        if filename:
            wanted["ResponseContentDisposition"] = content_disposition_header(True, filename) or "attachment"
        if cache_control:
            wanted["ResponseCacheControl"] = cache_control
        public = getattr(settings, "CONDAHUB_S3_PUBLIC_ENDPOINT_URL", None) or None
        with s3_errors("signing an address"):
            call = "get_object" if method == "GET" else "head_object"
            return cast(str, self._client(public).generate_presigned_url(call, Params=wanted, ExpiresIn=seconds, HttpMethod=method))

    def _below(self, name: str) -> str:
        location = self.storage.location.strip("/")
        return f"{location}/{name}" if location else name

    def _key(self, sha256: str) -> str:
        return self._below(self.name(sha256))

    def _renew(self, sha256: str, size: int) -> bool:
        entry = self.find(sha256)
        if entry is None or entry.size != size:
            return False
        if entry.mtime < time.time() - RENEW_AFTER_SECONDS:
            key = self._key(sha256)
            with s3_errors("renewing a blob"):
                itself = {"Bucket": self.bucket, "Key": key}
                self._client().copy(itself, self.bucket, key, ExtraArgs={"MetadataDirective": "REPLACE"}, Config=_transfer)
        return True

    def _client(self, endpoint_url: str | None = None) -> Any:
        """One client a process and address: boto3's clients may be shared by threads and are dear to make."""
        with _clients_lock:
            clients = _clients.setdefault(self.storage, {})
            if endpoint_url not in clients:
                with s3_errors("connecting"):
                    clients[endpoint_url] = _make_client(self.storage, endpoint_url)
            return clients[endpoint_url]


def _make_client(storage: S3Storage, endpoint_url: str | None) -> Any:
    limits = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "max_attempts": 2},
        max_pool_connections=64,
        signature_version=storage.signature_version or "s3v4",
        # Checksum trailers are not understood by every S3-compatible store; sizes and digests are checked by the hub.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return storage._create_session().client(
        "s3",
        region_name=storage.region_name,
        use_ssl=storage.use_ssl,
        endpoint_url=endpoint_url or storage.endpoint_url,
        verify=storage.verify,
        config=storage.client_config.merge(limits),
    )


@contextmanager
def s3_errors(doing: str) -> Iterator[None]:
    """Turns what boto3 and urllib3 raise into BlobMissing, StorageFull or Unavailable; `doing` goes to the log only."""
    try:
        yield
    except _LOST as error:
        raise _s3_error(error, doing) from error


def _s3_error(error: Exception, doing: str) -> HubError:
    cause = error.__cause__ or error.__context__
    failed = error if isinstance(error, botocore.exceptions.ClientError) else cause
    code = failed.response.get("Error", {}).get("Code", "") if isinstance(failed, botocore.exceptions.ClientError) else ""
    # The message of a ClientError may quote the request: its code is enough.
    logger.error("storage: S3: %s failed: %s %s", doing, type(error).__name__, code)
    if code == "NoSuchKey":
        return BlobMissing()
    if isinstance(failed, botocore.exceptions.ClientError) and (_status(failed) == 507 or code in ("XMinioStorageFull", "QuotaExceeded")):
        return StorageFull()
    return store_lost()


def _status(error: botocore.exceptions.ClientError) -> int:
    return cast(int, error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _pieces(body: Any) -> Iterator[bytes]:
    try:
        with s3_errors("reading a blob"):
            yield from body.iter_chunks(STREAM_BYTES)
    finally:
        body.close()
