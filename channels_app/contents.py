"""Reads which files a package file installs, out of its bytes, for its page."""

from __future__ import annotations

from channels_app.models import FileState, PackageFile
from condahub.packages.limits import MIB
from condahub.packages.listing import Listed, list_files
from condahub.storage.blobs import BlobMissing, blobs

# A store without folders gives a file as a whole.
MAX_FETCHED_BYTES = 32 * MIB


def files_in(file: PackageFile) -> list[Listed] | None:
    """For who may read the file; None where its bytes are not here or looking into them would take too long."""
    if file.blob is None or file.state == FileState.PURGED:
        return None
    store = blobs()
    if store.local_path(file.blob.sha256) is None and file.size > MAX_FETCHED_BYTES:
        return None
    try:
        with store.open(file.blob.sha256) as opened:
            return list_files(opened, filename=file.filename)
    except BlobMissing:
        return None
