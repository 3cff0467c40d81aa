"""Links a lock's packages into a staging prefix, written for the path it will have; runs in a child process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rattler
from rattler import MatchSpec, Subdir
from rattler.exceptions import InstallerError
from rattler.install import InstallerReporter
from rattler.package_cache import PackageCache, PackageCacheLayer

from condahub.engine.addresses import Addresses
from condahub.engine.disk import is_disk_full
from condahub.engine.package_cache import protect
from condahub.engine.prefix import clean_records, survey, write_history, write_variables
from condahub.engine.protocol import Install, InstallAnswer, Progress
from condahub.engine.rattler_records import rattler_record
from condahub.engine.records import CondaRecord
from condahub.errors import HubError, StorageFull, Unprocessable

# Longer ones don't fit into the place that binaries keep for the path they are installed at.
MAX_PREFIX_BYTES = 255
# Of macOS' files rattler signs those it changes, with a program that no other system has; all else it links as Linux' files.
UNSIGNED_AS = "linux-64"
SAY_EVERY_BYTES = 4 * 1024 * 1024

Say = Callable[[Progress], None]


class InstallFailed(HubError):
    code = "install_failed"
    status = 422


def install(request: Install, say: Say) -> InstallAnswer:
    """Link the packages; the staging folder must not exist. Raises Unprocessable for a lock that can't be linked here,
    InstallFailed when a package can't be fetched, is not what its sha256 promises, or can't be linked.
    """
    records = request.lock.platform(request.platform).conda
    staging = Path(request.staging)
    _check(request, records)
    staging.mkdir(parents=True)
    addresses = Addresses(request.channels, request.token)
    reporter = _Reporter(  # type: ignore[abstract]  # the others do nothing
        say, total_packages=len(records), total_bytes=sum(record.size or 0 for record in records)
    )
    try:
        asyncio.run(_link(request, records, addresses, reporter))
    except (InstallerError, OSError) as error:
        if is_disk_full(error):
            raise StorageFull("There is no room left for the environment's files.") from None
        raise InstallFailed("The environment's packages can't be installed.", hint=addresses.scrub(str(error))[:2000]) from None
    say(Progress("finish"))
    return _finish(request, records, addresses, staging, reporter.fetched_bytes)


def _check(request: Install, records: tuple[CondaRecord, ...]) -> None:
    if len(os.fsencode(request.prefix)) > MAX_PREFIX_BYTES:
        raise Unprocessable(
            f"'{request.prefix[:80]}...' is longer than the {MAX_PREFIX_BYTES} bytes that packages have room for.", code="prefix_too_long"
        )
    known = {channel.name for channel in request.channels}
    for record in records:
        if record.channel not in known:
            raise Unprocessable(f"{record.filename} comes from the channel {record.channel}, which was not given.", code="no_such_channel")
        if "/" in record.filename or record.filename.startswith("."):
            raise Unprocessable(f"'{record.filename[:80]}' can't be the name of a package's file.", code="invalid_lock")
    if os.path.lexists(request.staging):
        raise Unprocessable("There is something at the staging folder already.", code="staging_exists")


async def _link(request: Install, records: tuple[CondaRecord, ...], addresses: Addresses, reporter: _Reporter) -> None:
    await rattler.install(
        records=[
            rattler_record(record, channel=addresses.public_address(record)[0], address=addresses.package(record)) for record in records
        ],
        target_prefix=request.staging,
        alternative_target_prefix=request.prefix,
        installed_packages=[],
        platform=Subdir(_linked_as(request.platform)),
        package_cache=_package_cache(request, records),
        client=addresses.client(),
        reporter=reporter,
        execute_link_scripts=False,
        show_progress=False,
    )


def _linked_as(platform: str) -> Any:
    """Elsewhere an environment of macOS is put together to be packed with its packages' own files, and signed where it is unpacked."""
    return UNSIGNED_AS if platform.startswith("osx-") and sys.platform != "darwin" else platform


def _package_cache(request: Install, records: tuple[CondaRecord, ...]) -> PackageCache:
    """The shared layer takes none but public channels' packages. With its origin in the key, a record that claims another's
    hash finds nothing that was fetched from elsewhere.
    """
    public = {channel.name for channel in request.channels if channel.public}
    layers = []
    if request.shared_cache:
        shared = PackageCacheLayer(_made(request.shared_cache))
        for record in records:
            if record.channel not in public:
                shared = shared.excluding(MatchSpec(record.name))
        layers.append(shared)
    layers.append(PackageCacheLayer(_made(request.organization_cache)))
    return PackageCache.from_layers(layers, cache_origin=True)


def _made(folder: str) -> Path:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _finish(request: Install, records: tuple[CondaRecord, ...], addresses: Addresses, staging: Path, fetched_bytes: int) -> InstallAnswer:
    origins = {record.stem: addresses.public_address(record) for record in records}
    cleaned = clean_records(staging, origins)
    protect(cleaned.folders)
    write_history(staging, request.lock.only(request.platform), origins, specs=request.specs)
    write_variables(staging, request.variables)
    found = survey(staging, os.fsencode(request.staging) if request.staging != request.prefix else b"")
    if found.holders:
        raise InstallFailed(f"{found.holders[0]} still names the folder the environment was put together in.", code="not_relocated")
    return InstallAnswer(
        packages=len(records),
        files=found.files,
        shared_files=found.shared,
        total_bytes=found.total_bytes,
        unshared_bytes=found.unshared_bytes,
        downloaded_bytes=fetched_bytes,
        link_scripts=cleaned.scripts,
    )


class _Reporter(InstallerReporter):
    """py-rattler calls it from its own threads; what it raises is lost, so it does nothing that could."""

    def __init__(self, say: Say, *, total_packages: int, total_bytes: int) -> None:
        self._say = say
        self._total_packages, self._total_bytes = total_packages, total_bytes
        self._lock = threading.Lock()
        self._downloads: dict[int, int] = {}
        self._said_bytes = 0
        self._linked = 0

    @property
    def fetched_bytes(self) -> int:
        return sum(self._downloads.values())

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        with self._lock:
            self._downloads[download_idx] = progress
            fetched = self.fetched_bytes
            if fetched - self._said_bytes >= SAY_EVERY_BYTES:
                self._said_bytes = fetched
                self._say(Progress("fetch", fetched, self._total_bytes, "bytes"))

    def on_link_complete(self, index: int) -> None:
        with self._lock:
            self._linked += 1
            self._say(Progress("link", self._linked, self._total_packages, "packages"))

    def on_download_start(self, cache_entry: int) -> int:
        with self._lock:
            self._downloads[len(self._downloads)] = 0
            return len(self._downloads) - 1
