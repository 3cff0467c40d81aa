"""What goes by itself: deleted environments, folders that no build is in, what killed builds left, packages that nothing is linked from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from condahub.engine import package_cache
from condahub.engine import prefix as prefixes
from condahub.ops.gc import Collected, Sweep
from environments_app.building import folders
from environments_app.models import FINAL_STATES, Build, BuildState, Environment, Lock

DAY_SECONDS = 24 * 3600
_UNFINISHED = tuple(state for state in BuildState if state not in FINAL_STATES)


def revisions_of(channel_id: int) -> Collection[int]:
    """The revisions of a channel at which kept builds found their packages."""
    made_of = Build.objects.filter(made_of__channel=channel_id, made_of__revision__isnull=False)
    numbers = made_of.order_by().values_list("made_of__revision", flat=True).distinct()
    return {number for number in numbers if number is not None}


def collect_environments(sweep: Sweep) -> Iterator[Collected]:
    """Environments that were deleted before the grace period, with all their builds; then locks that no build has."""
    gone = Environment.objects.filter(deleted_at__lt=sweep.cutoff).exclude(builds__state__in=_UNFINISHED)
    count = 0
    for environment in gone.distinct():
        sweep.check()
        count += 1
        if not sweep.dry_run:
            with transaction.atomic():
                Environment.objects.filter(pk=environment.pk).update(current_build=None)
                environment.builds.all().delete()
                environment.delete()
    yield Collected("deleted environments", count)
    locks = Lock.objects.filter(builds__isnull=True, created_at__lt=sweep.cutoff)
    yield Collected("locks", locks.count())
    if not sweep.dry_run:
        locks.delete()


def collect_folders(sweep: Sweep) -> Iterator[Collected]:
    """Prefixes and staging folders that belong to no build, and cached packages that no folder is linked from.

    On the machine where environments are; elsewhere there is nothing to find.
    """
    count = size = 0
    known = set(Build.objects.exclude(prefix="").values_list("prefix", flat=True))
    unfinished = set(Build.objects.filter(state__in=_UNFINISHED).values_list("key", flat=True))
    for folder in (folders.prefixes(), folders.stagings()):
        for path in _older_than(folder, sweep.cutoff):
            sweep.check()
            # Of a staging folder the name begins with the build's key.
            if path.name in known or path.name.partition("-")[0] in unfinished:
                continue
            count += 1
            size += _own_bytes(path)
            if not sweep.dry_run:
                prefixes.remove(path)
        if not sweep.dry_run and folder.is_dir():
            prefixes.remove_left_over([folder])
    yield Collected("environment folders", count, size)
    freed = 0
    if not sweep.dry_run:
        for cache in sorted(folders.caches().glob("*")):
            sweep.check()
            if cache.is_dir() and cache.name[0] in "so":
                freed += package_cache.trim(cache, unused_seconds=settings.CONDAHUB_PACKAGE_CACHE_DAYS * DAY_SECONDS)
            elif cache.is_dir():
                freed += _forget_answers(cache, sweep.now.timestamp() - settings.CONDAHUB_PACKAGE_CACHE_DAYS * DAY_SECONDS)
    yield Collected("cached packages", int(freed > 0), freed)


def _forget_answers(cache: Path, before: float) -> int:
    """Remove what indexes of channels and of wheels said, where nobody has read or written it since; the bytes freed."""
    freed = 0
    for _, entry, status in list(prefixes.walk(cache)):
        # Locks stay: another process may hold one, whatever its age.
        if max(status.st_atime, status.st_mtime) < before and not entry.name.endswith(".lock"):
            os.unlink(entry.path)
            freed += status.st_size
    for parent, _, _ in os.walk(cache, topdown=False):
        with suppress(OSError):
            if parent != str(cache):
                os.rmdir(parent)
    return freed


def _older_than(folder: Path, cutoff: datetime) -> Iterator[Path]:
    if folder.is_dir():
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.stat(follow_symlinks=False).st_mtime < cutoff.timestamp():
                yield Path(entry.path)


def _own_bytes(path: Path) -> int:
    return prefixes.survey(path).unshared_bytes if path.is_dir() else 0
