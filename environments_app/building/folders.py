"""Where environments, what they are linked from and what is still being made lie on this machine's disk."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from django.conf import settings

# What the placeholder of packages from before 2016 has room for.
SAFE_PREFIX_BYTES = 80

_MACHINES = {"x86_64": "64", "amd64": "64", "aarch64": "aarch64", "arm64": "aarch64"}


def root() -> Path:
    """The folder of all of it, one filesystem."""
    return Path(settings.CONDAHUB_ENVIRONMENTS_DIR)


def prefixes() -> Path:
    """Where finished prefixes lie, by key."""
    return root() / ".b"


def prefix(key: str) -> Path:
    return prefixes() / key


def stagings() -> Path:
    """Where prefixes are put together."""
    return root() / ".s"


def attempt(key: str, number: int) -> Path:
    """All that one attempt makes on its way: one whose lease was lost may still be writing to its own."""
    return stagings() / f"{key}-{number}"


def staging(key: str, number: int) -> Path:
    """The prefix that an attempt puts together; what its children leave beside it goes with the attempt's folder."""
    return attempt(key, number) / "prefix"


def caches() -> Path:
    return root() / ".c"


def shared_cache() -> Path:
    """Extracted packages of public channels."""
    return caches() / "shared"


def organization_cache(organization_id: int) -> Path:
    """Extracted packages that one organization's builds fetched from channels that not everybody may read."""
    return caches() / f"o{organization_id}"


def index_cache(organization_id: int) -> Path:
    """What one organization's solves read of indexes."""
    return caches() / f"i{organization_id}"


def current_platform() -> str:
    """The platform that is installed here; the others are solved."""
    return f"linux-{_MACHINES.get(platform.machine().lower(), platform.machine().lower())}"


def hidden() -> tuple[str, ...]:
    """Folders of the hub that no code of a package may see, wherever an operator has put them."""
    return str(settings.CONDAHUB_DATA), str(root())


def baked_bytes() -> int:
    """How long the path is that is written into binaries."""
    return len(os.fsencode(prefix("0" * 12)))
