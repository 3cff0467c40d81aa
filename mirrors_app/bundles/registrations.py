"""What bundles give the rooms below: job kinds, events, quota use, garbage."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_noop

from condahub.accounts import quota
from condahub.accounts.permissions import Permission
from condahub.events import types
from condahub.events.types import EventType, Severity
from condahub.ops import gc
from condahub.ops.gc import Collected, Sweep
from condahub.storage.blobs import blobs


def register() -> None:
    """Called once, when the app is ready."""
    from mirrors_app.bundles import exporting, tasks  # noqa: F401 - importing tasks registers the job kinds

    quota.register_usage("bundles", exporting.used_by_organization)
    gc.register_collector("bundles", collect_bundles)
    types.register(
        EventType(
            "bundle.exported",
            "channel",
            gettext_noop("A bundle of a channel was made and signed."),
            gettext_noop("A bundle of {object} at revision {revision} is ready."),
            Permission.MIRROR_READ,
        )
    )
    types.register(
        EventType(
            "bundle.imported",
            "channel",
            gettext_noop("A bundle was verified and published in a channel."),
            gettext_noop("{object} shows revision {revision} of {source} now: {added} files came, {removed} went."),
            Permission.CHANNEL_READ,
        )
    )
    types.register(
        EventType(
            "bundle.refused",
            "channel",
            gettext_noop("A bundle was refused; nothing was changed."),
            gettext_noop("A bundle for {object} was refused: {reason}"),
            Permission.MIRROR_READ,
            Severity.WARNING,
            Permission.MIRROR_UPDATE,
        )
    )


def collect_bundles(sweep: Sweep) -> Iterator[Collected]:
    """Parts, plans and manifests that no export or import refers to."""
    from mirrors_app.bundles.planning import NAMESPACE
    from mirrors_app.models import BundleExport, BundleHead, BundleImport, BundlePart, BundlePiece, ExportState

    store = blobs(NAMESPACE)
    kept = set(BundlePart.objects.values_list("sha256", flat=True))
    kept |= set(BundlePiece.objects.values_list("sha256", flat=True))
    kept |= set(BundleImport.objects.values_list("manifest_sha256", flat=True))
    kept |= set(BundleHead.objects.values_list("manifest_sha256", flat=True))
    for planned, manifest in BundleExport.objects.exclude(state=ExportState.DELETED).values_list("planned", "manifest_sha256"):
        kept |= {planned, manifest}
    count = size = 0
    for entry in store.iterate():
        sweep.check()
        if entry.sha256 in kept or entry.mtime >= sweep.cutoff.timestamp():
            continue
        if sweep.dry_run or store.delete(entry.sha256, kept_before=sweep.cutoff.timestamp()):
            count, size = count + 1, size + entry.size
    yield Collected("bundles", count, size)
