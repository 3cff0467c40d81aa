"""Why a bundle is refused: a stable code and a sentence for each reason."""

from __future__ import annotations

from typing import Final

from condahub.errors import Conflict, Unprocessable

UNTRUSTED: Final = "bundle_untrusted"
KEY_ROTATED: Final = "bundle_key_rotated"
SIGNATURE: Final = "bundle_signature"
MANIFEST: Final = "bundle_manifest"
VERSION: Final = "bundle_version"
INCOMPLETE: Final = "bundle_incomplete"
DAMAGED: Final = "bundle_damaged"
OLDER: Final = "bundle_older"
BASE_MISSING: Final = "bundle_base_missing"
OTHER_STREAM: Final = "bundle_other_stream"

_COPY_AGAIN = "Copy the bundle again from where it was made; nothing was changed here."


class BundleRefused(Unprocessable):
    """The bundle is not taken, and nothing was changed (422)."""

    code = MANIFEST
    hint = _COPY_AGAIN


class BundleOutOfOrder(Conflict):
    """The bundle is right, but does not follow what is here (409)."""

    code = OLDER


def damaged(what: str) -> BundleRefused:
    """Bytes that are not those that were signed."""
    return BundleRefused(f"{what} is not what the manifest says.", code=DAMAGED)


def malformed(detail: str) -> BundleRefused:
    """A manifest that no version of this format has."""
    return BundleRefused(detail, code=MANIFEST)
