"""Takes the upstream's index into a proxy channel, in the background: all of its metadata, and no bytes of packages."""

from __future__ import annotations

from condahub.jobs import services as jobs

REFRESH_KIND = "mirrors.refresh"


def ask(mirror_id: int) -> None:
    """Have it done by a worker; one that waits already is enough."""
    jobs.enqueue(kind=REFRESH_KIND, payload={"mirror": mirror_id}, coalesce_key=f"mirror:{mirror_id}", actor_label="proxy")
