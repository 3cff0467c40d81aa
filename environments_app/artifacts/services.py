"""Artifacts of builds: asked for, made, found."""

from __future__ import annotations

from environments_app.models import Build


def after_build(build: Build) -> None:
    """What the settings want made at once."""
