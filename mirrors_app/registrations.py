"""What this app gives the rooms below it: job kinds and schedules, garbage."""

from __future__ import annotations


def register() -> None:
    """Called once, when the app is ready."""
    from mirrors_app.bundles import registrations as bundles
    from mirrors_app.lazy import registering

    registering.register()
    bundles.register()
