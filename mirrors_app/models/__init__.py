"""The facts of mirrors: what is copied from where, what is known of it, and what each run did."""

from mirrors_app.models.attestations import WantedSidecar
from mirrors_app.models.bundles import (
    ENDED_IMPORTS,
    BundleExport,
    BundleHead,
    BundleImport,
    BundlePart,
    BundlePiece,
    BundleStream,
    BundleVerified,
    ExportState,
    ImportState,
    SigningKey,
    TrustedKey,
)
from mirrors_app.models.demand import Demand, Location
from mirrors_app.models.files import MirroredFile, MirrorRefusal
from mirrors_app.models.mirror import CredentialKind, DeniedRule, Mirror, MirrorMode, RegisteredMirror, RemovedRule, ReplacedRule, Upstream
from mirrors_app.models.revisions import MirrorSubdir, UpstreamRevision
from mirrors_app.models.runs import ENDED_STATES, PLAN_KIND, REFRESH_KIND, SYNC_KIND, RunState, RunTrigger, SyncRun

__all__ = [
    "ENDED_IMPORTS",
    "ENDED_STATES",
    "PLAN_KIND",
    "REFRESH_KIND",
    "SYNC_KIND",
    "BundleExport",
    "BundleHead",
    "BundleImport",
    "BundlePart",
    "BundlePiece",
    "BundleStream",
    "BundleVerified",
    "CredentialKind",
    "Demand",
    "DeniedRule",
    "ExportState",
    "ImportState",
    "Location",
    "Mirror",
    "MirrorMode",
    "MirrorRefusal",
    "MirrorSubdir",
    "MirroredFile",
    "RegisteredMirror",
    "RemovedRule",
    "ReplacedRule",
    "RunState",
    "RunTrigger",
    "SigningKey",
    "SyncRun",
    "TrustedKey",
    "Upstream",
    "UpstreamRevision",
    "WantedSidecar",
]
