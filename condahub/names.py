"""What channels, organizations, teams and environments may be called: OCI path components minus the reserved words."""

from __future__ import annotations

import re

from condahub.errors import Unprocessable

MAX_NAME_CHARS = 64

# OCI distribution spec 1.1, <name> path component.
NAME_PATTERN = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")

# First path segments of every door, and words that clients give a meaning of their own.
_RESERVED = """
    _catalog account accounts actions activity admin alias api api-keys archive artifacts auth blob blobs build builds
    channel channels conda conda-store conda-store-dynamic current dashboard data default docs environment
    environment-settings environments envs events filesystem get global health help hub inbox jobs label labels latest
    legacy live livez local login logout manifests me media members metrics metricsp mirror mirrors namespace new noarch
    none null oauth organization organizations packages paginated permission policy public pypi readyz requests robots root
    schema search setting settings signin signup simple static status sync system t tags teams token tokens ui undefined
    upload uploads usage user users v1 v2 v3 well-known www
"""
RESERVED_NAMES = frozenset(_RESERVED.split())

# Channels whose names people trust: only staff may create them.
_WELL_KNOWN = "anaconda bioconda conda-forge defaults free main msys2 nvidia pkgs pro pytorch r r-forge rapidsai robostack"
WELL_KNOWN_CHANNELS = frozenset(_WELL_KNOWN.split())


def check_name(name: str, *, what: str) -> str:
    """Return the name, or raise Unprocessable that says what is wrong with it. `what` is the noun for the sentence."""
    if not name or len(name) > MAX_NAME_CHARS or NAME_PATTERN.fullmatch(name) is None:
        raise Unprocessable(
            f"'{name[:80]}' can't be the name of {what}.",
            code="invalid_name",
            hint=f"Use 1 to {MAX_NAME_CHARS} lower-case letters and digits, with single '.', '_' or '-' between them.",
        )
    if name in RESERVED_NAMES:
        raise Unprocessable(f"'{name}' is a reserved word.", code="reserved_name", hint="Choose another name.")
    return name
