"""Specifications that are lock files: exactly those packages, by their hashes, out of the hub's own channels."""

from __future__ import annotations

from collections.abc import Sequence

from channels_app.models import Channel
from condahub.engine.lock import HubLock
from condahub.errors import Unprocessable
from environments_app.models import Specification


def lock_of(specification: Specification, channels: Sequence[Channel]) -> HubLock:
    """The hub's lock of a lock file."""
    raise Unprocessable("Lock files are not taken yet.", code="lock_not_read")
