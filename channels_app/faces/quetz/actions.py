"""Quetz's channel actions: each name leads to a job of this hub, or to a sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import json_object, moment_of, text_of
from channels_app.faces.quetz import jobs
from channels_app.index.stage2 import RENDER_KIND
from channels_app.models import Channel, Revision
from condahub.accounts.policy import Actor, Permission
from condahub.errors import HubError, Unprocessable
from condahub.jobs.models import Job
from condahub.jobs.services import enqueue

# run_after: None starts it now.
Action = Callable[[Actor, Channel, datetime | None], Job]

_actions: dict[str, Action] = {}
DECLINED: Mapping[str, tuple[str, str]] = {
    "synchronize_metrics": (
        "Downloads that other servers counted are not added to this hub's own.",
        "Downloads of this hub are counted at /api/metrics.",
    ),
    "validate_packages": (
        "Every package was checked before it became visible, so there is nothing to validate later.",
        "Whether stored bytes are still whole, the operator finds out with 'condahub verify'.",
    ),
    "cleanup": (
        "A channel holds nothing that its records do not name, so there is nothing to clean up in it.",
        "Bytes that nothing holds any more are collected for the whole hub by 'condahub admin gc'; 'keep_builds' limits old builds.",
    ),
    "cleanup_dry_run": (
        "A channel holds nothing that its records do not name, so there is nothing to clean up in it.",
        "'condahub admin gc --dry-run' tells what would be collected for the whole hub.",
    ),
}


def register_action(name: str, action: Action) -> None:
    """Offer an action under Quetz's name for it; called by apps above this one when they are ready."""
    _actions[name] = action


def run_action(request: HttpRequest, actor: Actor, channel: str) -> object:
    """The job that does it, in Quetz's shape. Actions that are declined answer 501 with the reason."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_UPDATE)
    body = json_object(request)
    name = text_of(body, "action")
    if body.get("repeat_every_seconds") is not None:
        raise Unprocessable(
            "Actions do not repeat here.",
            code="no_repeats",
            hint="The index follows each change by itself; send the action when it is needed.",
        )
    asked = text_of(body, "start_at", "")
    start_at = moment_of("start_at", asked) if asked else None
    action = _actions.get(name)
    if action is not None:
        return jobs.shaped(action(actor, found, start_at))
    if name in DECLINED:
        detail, hint = DECLINED[name]
        raise HubError(detail, code="declined", status=501, hint=hint)
    raise Unprocessable(
        f"There is no action '{name[:60]}'.", code="unknown_action", hint=f"One of {', '.join(sorted({*_actions, *DECLINED}))}."
    )


def render_index(actor: Actor, channel: Channel, run_after: datetime | None) -> Job:
    """Order every large file of the index; the job of channeldata.json, which reads them all, stands for them."""
    subdirs = Revision.objects.values_list("subdirs", flat=True).get(channel=channel, number=channel.head)
    job = None
    for subdir in [*sorted(subdirs), ""]:
        job = enqueue(
            kind=RENDER_KIND,
            payload={"channel": channel.pk, "subdir": subdir},
            coalesce_key=f"{channel.pk}/{subdir}",
            organization_id=channel.organization_id,
            actor_label=actor.label,
            run_after=run_after,
        )
    assert job is not None
    return job


register_action("reindex", render_index)
register_action("generate_indexes", render_index)
