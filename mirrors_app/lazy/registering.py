"""What lazy mirrors give the rooms below: the source of proxy channels."""

from __future__ import annotations

from channels_app import sources
from channels_app.models import ChannelKind
from mirrors_app.lazy.source import SOURCE


def register() -> None:
    """Called once, when the app is ready."""
    sources.register(ChannelKind.PROXY, SOURCE)
