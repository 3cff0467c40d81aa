"""What this app gives the rooms below it: job kinds and schedules, garbage."""

from __future__ import annotations


def register() -> None:
    """Called once, when the app is ready."""
    from condahub.ops import gc
    from mirrors_app.bundles import registrations as bundles
    from mirrors_app.lazy import registering
    from mirrors_app.portal import panels
    from mirrors_app.services import collect

    gc.register_collector("fetched and never shown", collect.collect_staged)
    gc.register_collector("upstream indexes", collect.collect_upstream)

    panels.register()
    registering.register()
    bundles.register()
