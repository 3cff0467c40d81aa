"""The facts of mirrors: what is copied from where, what is known of it, and what each run did."""

from mirrors_app.models.demand import Demand, Location
from mirrors_app.models.files import MirroredFile, MirrorRefusal
from mirrors_app.models.mirror import CredentialKind, Mirror, MirrorMode, RemovedRule, ReplacedRule, Upstream
from mirrors_app.models.revisions import MirrorSubdir, UpstreamRevision
from mirrors_app.models.runs import ENDED_STATES, RunState, RunTrigger, SyncRun

__all__ = [
    "ENDED_STATES",
    "CredentialKind",
    "Demand",
    "Location",
    "Mirror",
    "MirrorMode",
    "MirrorRefusal",
    "MirrorSubdir",
    "MirroredFile",
    "RemovedRule",
    "ReplacedRule",
    "RunState",
    "RunTrigger",
    "SyncRun",
    "Upstream",
    "UpstreamRevision",
]
