"""Specifications that are lock files: exactly those packages, out of the channels that the build recorded."""

from __future__ import annotations

from collections.abc import Sequence

from channels_app.models import Channel
from condahub.engine.lock import HubLock
from condahub.errors import Unprocessable
from environments_app.models import Specification
from environments_app.services.locked import lock_from
from environments_app.spec.kinds import read_locked


def lock_of(specification: Specification, channels: Sequence[Channel]) -> HubLock:
    """The hub's lock of a lock file. Raises Unprocessable where a package is not there any more."""
    locked = read_locked(specification.text).locked
    if locked is None:
        raise Unprocessable("This is no lock file.", code="invalid_lock")
    return lock_from(locked, channels)
