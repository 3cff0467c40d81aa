"""Whether the code of packages can be held where environments are built: told by the builders, asked by the settings and the doctor."""

from __future__ import annotations

import socket
from datetime import timedelta

from django.utils import timezone

from condahub.engine import sandbox
from condahub.errors import Unprocessable
from environments_app.models import Builder

PROBE_KIND = "environments.sandbox"
PROBE_EVERY_SECONDS = 300
# Older words are of a machine that is there no more.
BELIEVED = timedelta(hours=1)


def probe() -> str:
    """Try it on this machine, which builds, and have it known; the problem, '' for none."""
    sentence, hint = sandbox.problem()
    Builder.objects.filter(seen_at__lt=timezone.now() - BELIEVED).delete()
    Builder.objects.update_or_create(
        hostname=socket.gethostname()[:200], defaults={"problem": sentence[:1000], "hint": hint[:1000], "seen_at": timezone.now()}
    )
    return sentence


def problem() -> tuple[str, str]:
    """(a sentence, what to do) of the first builder that can't; of this machine, tried now, where no builder has spoken lately."""
    known = list(Builder.objects.filter(seen_at__gte=timezone.now() - BELIEVED))
    # This one's word may be older than what its operator has installed since.
    if not known or all(one.hostname == socket.gethostname() for one in known):
        return sandbox.problem()
    failing = next((one for one in known if one.problem), None)
    return (f"{failing.hostname}: {failing.problem}", failing.hint) if failing is not None else ("", "")


def require() -> None:
    """Raises Unprocessable `sandbox_missing` where a builder can't hold the code of packages."""
    sentence, hint = problem()
    if sentence:
        raise Unprocessable(f"The code of packages can't be held in a sandbox here. {sentence}", code="sandbox_missing", hint=hint)
