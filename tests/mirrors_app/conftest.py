"""What the mirrors' tests share."""

from __future__ import annotations

from tests.mirrors_app.core.conftest import channel, server

__all__ = ["channel", "server"]
