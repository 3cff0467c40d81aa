"""The wheels that an organization's builds are made of: kept by content, found again, counted, collected."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from django.db.models import Exists, OuterRef, Sum
from django.utils import timezone

from condahub.engine.lock import HubLock
from condahub.engine.records import PlatformLock, PypiRecord
from condahub.engine.wheels import WheelRefused
from condahub.ops.gc import Collected, Sweep
from condahub.storage.blobs import blobs
from environments_app.models import BuildPackage, Wheel
from environments_app.pip.protocol import BuiltWheel, Fetched

NAMESPACE = "artifacts"
READ_BYTES = 1024 * 1024
BATCH = 500
MAX_BUILT = 500


def keep(organization_id: int, wheels: Iterable[Fetched]) -> None:
    """Keep the bytes of wheels that were fetched and checked, and say whose they are."""
    store = blobs(NAMESPACE)
    for one in wheels:
        # One that is known counts as new, so that no collector takes it before the build names it.
        known = Wheel.objects.filter(organization_id=organization_id, sha256=one.sha256).update(created_at=timezone.now())
        if known and one.path == str(store.local_path(one.sha256)):
            continue
        with store.temporary(one.size) as temporary:
            with open(one.path, "rb") as file:
                while piece := file.read(READ_BYTES):
                    temporary.write(piece)
            if temporary.sha256 != one.sha256:
                raise WheelRefused(f"The wheel {one.filename} changed while it was kept.", code="hash_mismatch")
            store.keep(temporary)
        Wheel.objects.get_or_create(
            organization_id=organization_id,
            sha256=one.sha256,
            defaults={
                "filename": one.filename[:255],
                "name": one.name[:128],
                "version": one.version[:128],
                "size": one.size,
                "address": one.address[:2000],
                "sdist": one.sdist[:255],
                "sdist_sha256": one.sdist_sha256,
                "built_with": list(one.built_with),
            },
        )


def missing(organization_id: int, lock: HubLock) -> HubLock | None:
    """The lock with those wheels alone that the organization does not have; None where it has all."""
    wanted = {record.sha256 for platform in lock.platforms.values() for record in platform.pypi}
    held = set(Wheel.objects.filter(organization_id=organization_id, sha256__in=wanted).values_list("sha256", flat=True))
    return with_wheels(lock, lambda record: None if record.sha256 in held else record) if wanted - held else None


def with_wheels(lock: HubLock, change: Callable[[PypiRecord], PypiRecord | None]) -> HubLock:
    """The lock with other records of its wheels; None leaves one out."""
    platforms = {
        subdir: PlatformLock(
            conda=platform.conda,
            pypi=tuple(changed for record in platform.pypi if (changed := change(record)) is not None),
            virtual_packages=platform.virtual_packages,
        )
        for subdir, platform in lock.platforms.items()
    }
    return HubLock.of(channels=lock.channels, platforms=platforms)


def known_paths(organization_id: int) -> dict[str, str]:
    """Where the wheels of an organization lie, by sha256; none where the store is no folder of this machine."""
    store = blobs(NAMESPACE)
    found: dict[str, str] = {}
    for sha256 in Wheel.objects.filter(organization_id=organization_id).values_list("sha256", flat=True):
        path = store.local_path(sha256)
        if path is None:
            return {}
        found[sha256] = str(path)
    return found


@contextmanager
def built_before(organization_id: int, folder: Path) -> Iterator[tuple[BuiltWheel, ...]]:
    """The wheels that the organization has built of source distributions, each with a file, as long as the block lasts."""
    rows = list(Wheel.objects.filter(organization_id=organization_id).exclude(sdist_sha256="").order_by("-pk")[:MAX_BUILT])
    with _files((row.sha256 for row in rows), folder) as paths:
        yield tuple(
            BuiltWheel(filename=row.filename, sdist_sha256=row.sdist_sha256, path=paths[row.sha256], built_with=tuple(row.built_with))
            for row in rows
        )


@contextmanager
def at_hand(organization_id: int, records: Iterable[PypiRecord], folder: Path) -> Iterator[dict[str, str]]:
    """Files of these wheels by sha256, as long as the block lasts. Raises WheelRefused for one that the organization never had."""
    wanted = {record.sha256: record for record in records}
    held = set(Wheel.objects.filter(organization_id=organization_id, sha256__in=wanted).values_list("sha256", flat=True))
    for sha256, record in wanted.items():
        if sha256 not in held:
            raise WheelRefused(f"The hub does not have the wheel {record.filename}.", code="wheel_missing")
    with _files(wanted, folder) as paths:
        yield paths


@contextmanager
def _files(digests: Iterable[str], folder: Path) -> Iterator[dict[str, str]]:
    """A file of each by sha256: the store's own, or a copy in `folder`."""
    store = blobs(NAMESPACE)
    paths: dict[str, str] = {}
    copies: list[Path] = []
    try:
        for sha256 in digests:
            path = store.local_path(sha256)
            if path is None:
                path = folder / f"{sha256}.whl"
                copies.append(path)
                with store.open(sha256) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, READ_BYTES)
            paths[sha256] = str(path)
        yield paths
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


def addresses(organization_id: int, digests: Iterable[str]) -> Mapping[str, str]:
    """Where wheels were fetched from, by sha256; those that were built here are nowhere else."""
    rows = Wheel.objects.filter(organization_id=organization_id, sha256__in=list(digests), sdist_sha256="")
    return dict(rows.values_list("sha256", "address"))


def used_by_organization(organization_id: int) -> int:
    """Bytes of an organization's wheels."""
    return Wheel.objects.filter(organization_id=organization_id).aggregate(total=Sum("size"))["total"] or 0


def collect_wheels(sweep: Sweep) -> Iterator[Collected]:
    """Wheels that no build of their organization names any more; their bytes go with other artifacts'."""
    named = BuildPackage.objects.filter(
        kind=BuildPackage.Kind.PYPI, sha256=OuterRef("sha256"), build__environment__organization=OuterRef("organization")
    )
    loose = Wheel.objects.filter(~Exists(named), created_at__lt=sweep.cutoff)
    count = 0
    for pk in list(loose.order_by("pk").values_list("pk", flat=True)):
        sweep.check()
        # Asked again in the statement itself: a build may have come to need it.
        count += 1 if sweep.dry_run else Wheel.objects.filter(~Exists(named), pk=pk).delete()[0]
    yield Collected("wheels", count)
