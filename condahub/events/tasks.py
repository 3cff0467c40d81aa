"""Job kinds and schedules of events: tell who is to be told, send, and watch what nobody reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condahub.events.services import mailing, sending, spreading, upkeep, watching
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from condahub.jobs.states import Lane


@job_kind("events.deliver", lane="quick")
def deliver(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    count = 0
    for batch in spreading.spread():
        count += batch
        context.check_cancelled()
    return {"events": count}


@job_kind("events.mail", lane="quick", max_attempts=6)
def mail(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"events": mailing.send_mail(int(payload["user"]))}


@job_kind("events.webhook", lane="quick", timeout_seconds=900)
def webhook(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"attempts": sending.send_due(context.check_cancelled)}


@job_kind("events.catch_up", lane="quick")
def catch_up(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"found": upkeep.catch_up()}


@job_kind("events.expiring", lane="quick")
def expiring(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"told": watching.tell_expiring_tokens()}


@job_kind("events.quotas", lane="quick")
def quotas(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"told": watching.tell_quotas()}


@job_kind("events.watch_heavy", lane="quick")
def watch_heavy(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"told": watching.tell_silent_lane(Lane.HEAVY)}


@job_kind("events.watch_quick", lane="heavy")
def watch_quick(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The lane that tells people things is the one that is silent: this one does it in its place."""
    told = watching.tell_silent_lane(Lane.QUICK)
    if told:
        for _ in spreading.spread():
            context.check_cancelled()
        mailing.send_all_due()
    return {"told": told}


@job_kind("events.upkeep", lane="quick")
def keep(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"deleted": upkeep.prune(), "resealed": upkeep.reseal()}


schedules.register("events left over", "events.catch_up", every_seconds=60)
schedules.register("tokens about to end", "events.expiring", crontab="7 6 * * *")
schedules.register("quotas nearly used up", "events.quotas", crontab="23 * * * *")
schedules.register("silent heavy lane", "events.watch_heavy", every_seconds=60)
schedules.register("silent quick lane", "events.watch_quick", every_seconds=60)
schedules.register("upkeep of events", "events.upkeep", crontab="29 3 * * *")
