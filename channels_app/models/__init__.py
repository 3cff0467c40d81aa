"""The facts of channels, and the constraints that keep them."""

from channels_app.models.attestations import Attestation
from channels_app.models.channel import Channel, ChannelKind, ChannelName, NameState
from channels_app.models.downloads import DownloadCount
from channels_app.models.files import SEEN_LONG_AGO, Blob, Effect, FileState, Package, PackageFile, PackageNeed
from channels_app.models.index import DirtyName, IndexFile, Revision, Shard, SubdirState
from channels_app.models.policy import Advisory, Missing, PackageRequest, Policy, PolicyLevel, RequestState, Severity, Waiver
from channels_app.models.virtual import (
    AllowedName,
    DueName,
    FormerName,
    ReservedName,
    UnsettledName,
    VirtualChannel,
    VirtualMember,
    VirtualRevision,
)

__all__ = [
    "SEEN_LONG_AGO",
    "Advisory",
    "AllowedName",
    "Attestation",
    "Blob",
    "Channel",
    "ChannelKind",
    "ChannelName",
    "DirtyName",
    "DownloadCount",
    "DueName",
    "Effect",
    "FileState",
    "FormerName",
    "IndexFile",
    "Missing",
    "NameState",
    "Package",
    "PackageFile",
    "PackageNeed",
    "PackageRequest",
    "Policy",
    "PolicyLevel",
    "RequestState",
    "ReservedName",
    "Revision",
    "Severity",
    "Shard",
    "SubdirState",
    "UnsettledName",
    "VirtualChannel",
    "VirtualMember",
    "VirtualRevision",
    "Waiver",
]
