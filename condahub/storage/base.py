"""What every kind of store promises: bytes named by their sha256, durable before they are visible."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from condahub.errors import Unavailable
from condahub.storage.temporary import TemporaryBlob

NAMESPACES = frozenset({"packages", "index", "artifacts", "upstream", "bundles"})
# Enough for the disk to take several fsyncs in one go.
PUT_THREADS = 8
STREAM_BYTES = 256 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobMissing(Unavailable):
    """A blob that the hub has recorded is not in the store (503, never 404: conda remembers a 404)."""

    code = "blob_missing"

    def __init__(self, detail: str = "The hub's storage does not have these bytes at the moment.", **kwargs: object) -> None:
        super().__init__(detail, **kwargs)  # type: ignore[arg-type]


class BlobEntry(NamedTuple):
    """One blob in the store: its name, its bytes, and when it was last kept (seconds since the epoch)."""

    sha256: str
    size: int
    mtime: float


class BlobStore(ABC):
    """The blobs of one namespace, at `<namespace>/<aa>/<sha256>`.

    Every method raises Unavailable (503 with Retry-After) when the store is lost, StorageFull (507) when it is full, and
    ValueError for what is no lower-case sha256.
    """

    def __init__(self, namespace: str) -> None:
        if namespace not in NAMESPACES:
            raise ValueError(f"unknown blob namespace: {namespace}")
        self.namespace = namespace

    def name(self, sha256: str) -> str:
        """The blob's path below the store's root."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a lower-case hexadecimal sha256")
        return f"{self.namespace}/{sha256[:2]}/{sha256}"

    @abstractmethod
    def temporary(self, expected_bytes: int | None = None) -> TemporaryBlob:
        """A file to write to, as a context manager; refused up front when `expected_bytes` do not fit."""

    @abstractmethod
    def keep(self, temp: TemporaryBlob) -> None:
        """Moves the temporary file into the store under its sha256: durable first, visible after, quietly when it is there already."""

    def keep_many(self, temps: Sequence[TemporaryBlob]) -> None:
        """The same for many files: all are durable when it returns, and none is visible before it is."""
        with ThreadPoolExecutor(PUT_THREADS, thread_name_prefix="keep-blobs") as pool:
            list(pool.map(self.keep, temps))

    @abstractmethod
    def find(self, sha256: str) -> BlobEntry | None:
        """The blob's size and time, or None when the store answers and does not have it."""

    @abstractmethod
    def open(self, sha256: str) -> BinaryIO:
        """The blob's bytes, seekable (from S3: a temporary copy on disk). Raises BlobMissing."""

    @abstractmethod
    def stream(self, sha256: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The blob's bytes from `start`, in pieces of at most STREAM_BYTES. Raises BlobMissing at once, not at the first piece."""

    @abstractmethod
    def local_path(self, sha256: str) -> Path | None:
        """Where the file lies, when the store is a folder (it is not looked at)."""

    @abstractmethod
    def delete(self, sha256: str, *, kept_before: float | None = None) -> bool:
        """Removes the blob (only when it was last kept before that time, if one is given); False when nothing was removed."""

    @abstractmethod
    def iterate(self) -> Iterator[BlobEntry]:
        """Every blob of the namespace, by sha256."""

    @abstractmethod
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
        """An address that gives these bytes to whoever holds it, for that long; None when the store is a folder."""

    def exists(self, sha256: str) -> bool:
        return self.find(sha256) is not None

    def size(self, sha256: str) -> int:
        """The blob's bytes. Raises BlobMissing."""
        entry = self.find(sha256)
        if entry is None:
            raise BlobMissing()
        return entry.size

    def read_bytes(self, sha256: str) -> bytes:
        """All of a small blob. Raises BlobMissing."""
        return b"".join(self.stream(sha256))

    def put_bytes(self, data: bytes) -> str:
        """Keeps these bytes and returns their sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self._renew(sha256, len(data)):
            with self.temporary(len(data)) as temp:
                temp.write(data)
                self.keep(temp)
        return sha256

    def put_many(self, datas: Iterable[bytes]) -> list[str]:
        """Keeps many small blobs at once, in the order given: much faster than one by one, as the waits for the disk overlap."""
        with ThreadPoolExecutor(PUT_THREADS, thread_name_prefix="put-blobs") as pool:
            return list(pool.map(self.put_bytes, datas))

    @abstractmethod
    def _renew(self, sha256: str, size: int) -> bool:
        """True when the store holds this blob whole already; it then counts as kept now, so that no collector takes it."""
