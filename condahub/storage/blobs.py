"""The hub's content-addressed store: which kind it is (a folder or S3, by the storage alias "blobs") and how to get at it."""

from __future__ import annotations

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage, storages

from condahub.storage.base import BlobEntry, BlobMissing, BlobStore
from condahub.storage.disk import DiskStore, initialise_folder
from condahub.storage.temporary import TemporaryBlob, storage_errors, sweep_temporary, temporary_folder

__all__ = ["BlobEntry", "BlobMissing", "BlobStore", "TemporaryBlob", "blobs", "initialise", "sweep_temporary"]

ALIAS = "blobs"


def blobs(namespace: str = "packages") -> BlobStore:
    """The store of one namespace: "packages" for packages' bytes, "index" for files derived from records."""
    storage = storages[ALIAS]
    if isinstance(storage, FileSystemStorage):
        return DiskStore(namespace, Path(storage.location))
    from storages.backends.s3 import S3Storage

    if isinstance(storage, S3Storage):
        from condahub.storage.s3 import S3Store

        return S3Store(namespace, storage)
    raise ImproperlyConfigured("The storage alias 'blobs' must be a FileSystemStorage or an S3Storage.")


def initialise() -> None:
    """Readies the store on the hub's start: marks the folder as a store, or makes sure that the bucket answers. Raises Unavailable."""
    storage = storages[ALIAS]
    if isinstance(storage, FileSystemStorage):
        initialise_folder(Path(storage.location))
        return
    with storage_errors("making the folder for uploads"):
        temporary_folder().mkdir(parents=True, exist_ok=True)
    blobs().exists("0" * 64)
