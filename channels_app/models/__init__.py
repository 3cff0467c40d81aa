"""The facts of channels, and the constraints that keep them."""

from channels_app.models.channel import Channel, ChannelKind, ChannelName, NameState
from channels_app.models.downloads import DownloadCount
from channels_app.models.files import Blob, FileState, Package, PackageFile
from channels_app.models.index import DirtyName, IndexFile, Revision, Shard, SubdirState

__all__ = [
    "Blob",
    "Channel",
    "ChannelKind",
    "ChannelName",
    "DirtyName",
    "DownloadCount",
    "FileState",
    "IndexFile",
    "NameState",
    "Package",
    "PackageFile",
    "Revision",
    "Shard",
    "SubdirState",
]
