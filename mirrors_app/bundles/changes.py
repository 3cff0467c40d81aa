"""Reads what an import would change in its channel, from its signed manifest alone."""

from __future__ import annotations

from dataclasses import dataclass

from channels_app.models import PackageFile
from channels_app.models.files import OCCUPYING_STATES
from mirrors_app.bundles.core.manifest import PACKAGES, Manifest
from mirrors_app.models import BundleImport

MAX_COMPARED = 50_000


@dataclass(frozen=True)
class Changes:
    """Files as `subdir/filename`. added: what comes and is not here; gone: what is here and goes; brought: all that the bundle carries.

    compared: False where there are too many files to compare: then `added` is what it carries and `gone` what it says.
    """

    added: list[str]
    gone: list[str]
    brought: int
    compared: bool


def would_change(taken: BundleImport, manifest: Manifest) -> Changes:
    """Of a whole bundle also what is here and not in it; of a difference what its manifest takes away."""
    brought = {member.whole.path.removeprefix(PACKAGES) for member in manifest.members() if member.whole.path.startswith(PACKAGES)}
    takes = [f"{one.subdir}/{one.filename}" for one in manifest.takes]
    rows = PackageFile.objects.filter(channel=taken.channel, state__in=OCCUPYING_STATES)
    if len(brought) > MAX_COMPARED or len(rows.values_list("pk")[: MAX_COMPARED + 1]) > MAX_COMPARED:
        return Changes(sorted(brought), takes, len(brought), compared=False)
    here = {f"{subdir}/{filename}" for subdir, filename in rows.values_list("subdir", "filename")}
    gone = takes if manifest.base is not None else list(here - brought)
    return Changes(sorted(brought - here), sorted(gone), len(brought), compared=True)
