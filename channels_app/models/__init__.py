"""The facts of channels, and the constraints that keep them."""

from channels_app.models.channel import Channel, ChannelKind, ChannelName, NameState
from channels_app.models.downloads import DownloadCount
from channels_app.models.files import SEEN_LONG_AGO, Blob, Effect, FileState, Package, PackageFile
from channels_app.models.index import DirtyName, IndexFile, Revision, Shard, SubdirState
from channels_app.models.policy import Advisory, Missing, PackageRequest, Policy, PolicyLevel, RequestState, Severity, Waiver

__all__ = [
    "SEEN_LONG_AGO",
    "Advisory",
    "Blob",
    "Channel",
    "ChannelKind",
    "ChannelName",
    "DirtyName",
    "DownloadCount",
    "Effect",
    "FileState",
    "IndexFile",
    "Missing",
    "NameState",
    "Package",
    "PackageFile",
    "PackageRequest",
    "Policy",
    "PolicyLevel",
    "RequestState",
    "Revision",
    "Severity",
    "Shard",
    "SubdirState",
    "Waiver",
]
