"""What a run would do: the same plan as a run makes, and nothing of it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condahub.errors import NotFound
from condahub.jobs.context import JobContext
from mirrors_app.core import run as core
from mirrors_app.filling.target import ChannelTarget
from mirrors_app.models import Mirror
from mirrors_app.services.configuring import core_config
from mirrors_app.services.coring import Beside


def plan(context: JobContext, *, mirror_id: int, filters: Mapping[str, Any] | None) -> dict[str, Any]:
    """`Plan.as_dict()`. Raises HubError when the upstream can't be read."""
    mirror = Mirror.objects.existing().select_related("channel__organization").filter(pk=mirror_id).first()
    if mirror is None:
        raise NotFound("The mirror is gone.", code="no_mirror")
    with core_config(mirror, instead=filters) as config:
        made = Beside(lambda watch, stopped: core.plan(config, ChannelTarget(mirror), progress=watch)).run(context)
    return made.as_dict()
