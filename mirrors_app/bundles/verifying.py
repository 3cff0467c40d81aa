"""Reads every byte of a bundle, checks its packages as uploads are checked, and keeps them where nobody sees them yet."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

from condahub.errors import HubError
from condahub.packages.pool import inspect
from condahub.packages.reader import check_identity
from condahub.storage.blobs import TemporaryBlob, blobs
from mirrors_app.bundles.core.errors import BundleRefused, damaged
from mirrors_app.bundles.core.layout import BundleFile
from mirrors_app.bundles.core.manifest import PACKAGES, RECORDS, Manifest, Member
from mirrors_app.bundles.core.reader import Found, Place, walk
from mirrors_app.bundles.core.records import read_lines
from mirrors_app.bundles.exporting import Watch
from mirrors_app.models import BundleImport, BundleVerified

NOTE_FILES, NOTE_SECONDS = 100, 1.0
# Bytes that nobody refers to are collected after a week at least: what lay for longer than this is stored again.
GOOD_FOR = timedelta(days=2)


def verify_packages(taken: BundleImport, manifest: Manifest, place: Place, watch: Watch) -> None:
    """What was verified before is not read again. Raises BundleRefused, StorageFull."""
    taken.verified.filter(at__lt=timezone.now() - GOOD_FOR).delete()
    known = set(taken.verified.values_list("path", flat=True))
    reader = _Reader(taken)
    watch.phase("verifying")
    if known:
        watch.log(f"{len(known)} packages were verified before")
    done, total = 0, manifest.size
    try:
        for part in manifest.parts:
            with place.open_part(part) as file:
                for found in walk(file, part, skip=lambda member: member.whole.path in known):
                    watch.check()
                    reader.take(found)
                    watch.progress(done + found.member.size, total)
            done += part.size
            watch.progress(done, total)
    finally:
        reader.close()


class _Reader:
    """Takes members in order; a package in pieces is put together again."""

    def __init__(self, taken: BundleImport) -> None:
        self._taken = taken
        self._store = blobs("packages")
        self._open: TemporaryBlob | None = None
        self._text = b""
        self._notes: list[BundleVerified] = []
        self._noted_at = time.monotonic()

    def take(self, found: Found) -> None:
        path = found.member.whole.path
        if path.startswith(PACKAGES):
            self._package(found)
        elif path.startswith(RECORDS):
            self._records(found)
        else:
            for _ in found.chunks:
                pass

    def _records(self, found: Found) -> None:
        """Whatever can be wrong with them is found before anything is changed; they are read again when they are published."""
        self._text += b"".join(found.chunks)
        if _is_last(found.member):
            text, self._text = self._text, b""
            for _ in read_lines([text]):
                pass

    def _package(self, found: Found) -> None:
        member, whole = found.member, found.member.whole
        if self._open is None:
            self._open = self._store.temporary(whole.size)
        for chunk in found.chunks:
            self._open.write(chunk)
        if _is_last(member):
            temporary, self._open = self._open, None
            with temporary:
                self._keep(temporary, whole)

    def _keep(self, temporary: TemporaryBlob, whole: BundleFile) -> None:
        if (temporary.sha256, temporary.size) != (whole.sha256, whole.size):
            raise damaged(f"'{whole.path}'")
        subdir, _, filename = whole.path.removeprefix(PACKAGES).partition("/")
        try:
            check_identity(inspect(temporary.path, filename=filename), subdir=subdir, filename=filename)
        except HubError as error:
            if error.status >= 500:
                raise
            raise BundleRefused(
                f"'{whole.path}' is no package that may be shown: {error.detail}",
                code="bundle_package",
                hint="Its signer must look at it; nothing was changed here.",
            ) from error
        self._store.keep(temporary)
        note: dict[str, Any] = {"path": whole.path, "sha256": temporary.sha256, "md5": temporary.md5, "size": temporary.size}
        self._notes.append(BundleVerified(taken_by=self._taken, at=timezone.now(), **note))
        if len(self._notes) >= NOTE_FILES or time.monotonic() - self._noted_at >= NOTE_SECONDS:
            self._note()

    def _note(self) -> None:
        BundleVerified.objects.bulk_create(self._notes, ignore_conflicts=True)
        self._notes, self._noted_at = [], time.monotonic()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._note()


def _is_last(member: Member) -> bool:
    return not member.file or member.offset + member.size == member.file_size
