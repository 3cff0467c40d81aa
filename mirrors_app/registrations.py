"""What this app gives the rooms below it: garbage, what Quetz's clients call mirrors, words on what is missing, origins, checks."""

from __future__ import annotations


def register() -> None:
    """Called once, when the app is ready."""
    from channels_app import origins
    from channels_app.services import requests
    from condahub.ops import doctor, gc, metrics
    from mirrors_app import measures, quetz
    from mirrors_app.bundles import registrations as bundles
    from mirrors_app.lazy import registering
    from mirrors_app.portal import panels
    from mirrors_app.selectors import origins_of
    from mirrors_app.services import admitting, collect

    gc.register_collector("fetched and never shown", collect.collect_staged)
    gc.register_collector("upstream indexes", collect.collect_upstream)

    requests.explain_missing("mirrors", admitting.explain_missing)
    requests.on_answer("mirrors", admitting.admit_approved)
    origins.register(origins_of)
    doctor.register_check("mirrors", measures.check_mirrors)
    metrics.register_measure("mirrors", measures.measure_mirrors)
    quetz.register()

    panels.register()
    registering.register()
    bundles.register()
