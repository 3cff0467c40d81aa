"""Whether a bundle follows what an importer has: a pure function of the two."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mirrors_app.bundles.core.errors import BASE_MISSING, OLDER, OTHER_STREAM, BundleOutOfOrder
from mirrors_app.bundles.core.manifest import Manifest


class Position(NamedTuple):
    """How far an importer is: what the last bundle brought it to."""

    stream: str
    source_name: str
    sequence: int
    revision: int
    state: str


def decide(position: Position | None, manifest: Manifest) -> Literal["apply", "unchanged"]:
    """What to do with the bundle. Raises BundleOutOfOrder: bundle_older, bundle_base_missing, bundle_other_stream."""
    head, base = manifest.head, manifest.base
    if position is None:
        if base is not None:
            raise _base_missing(f"It brings only what changed since revision {base.revision}, and nothing was imported here yet.")
        return "apply"
    if manifest.subject.stream != position.stream:
        raise BundleOutOfOrder(
            f"The bundle is of another source than the '{position.source_name}' that this channel follows.",
            code=OTHER_STREAM,
            hint="Import it into a channel of its own.",
        )
    if (head.revision, head.state) == (position.revision, position.state):
        return "unchanged"
    if (head.revision, manifest.sequence) <= (position.revision, position.sequence):
        raise BundleOutOfOrder(
            f"The bundle brings revision {head.revision}, and this channel is at {position.revision} already.",
            code=OLDER,
            hint="Nothing was changed. A past state is to be had at @N.",
        )
    if base is not None and (base.revision, base.state) != (position.revision, position.state):
        raise _base_missing(f"It stands on revision {base.revision}, and this channel is at {position.revision}.")
    return "apply"


def _base_missing(detail: str) -> BundleOutOfOrder:
    hint = "Import the bundles in between first, in order, or ask for a whole one. Nothing was changed."
    return BundleOutOfOrder(detail, code=BASE_MISSING, hint=hint)
