"""Job kinds of the audit: seal what was left over, stream it, and every night verify the chain and let its old beginning go."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings

from condahub.audit import chain, forwarding, releasing
from condahub.errors import HubError, Unavailable
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind

log = logging.getLogger(__name__)
FORWARD_SECONDS = 10


@job_kind("audit.seal", lane="quick")
def seal(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Seal the events that came too soon after another seal, or late out of a long transaction."""
    return {"sealed": chain.seal()}


@job_kind("audit.verify", lane="heavy")
def verify(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Fails, so that staff sees it, when the chain is not whole."""
    chain.seal()
    report = chain.verify()
    # The log leaves this machine where the operator collects logs: there nobody can change the noted head.
    log.info("The audit's chain: ok=%s, %s events, head %s", report.ok, report.count, report.head)
    if not report.ok:
        raise HubError(f"The audit was tampered with: {report.problem}", code="audit_broken", status=500)
    return asdict(report)


@job_kind("audit.release", lane="heavy")
def release(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Let events older than CONDAHUB_AUDIT_DAYS go into files; fails, and deletes nothing, when the chain is not whole."""

    def between(released: int) -> None:
        context.progress(released, unit="events")
        context.check_cancelled()

    chain.seal()
    count, files = releasing.release(between=between)
    return {"released": count, "files": files}


@job_kind("audit.forward", lane="quick")
def forward(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Give the syslog server what is new."""
    if not forwarding.is_configured():
        return {"sent": 0}
    chain.seal()
    try:
        return {"sent": forwarding.forward()}
    except Unavailable as error:
        # It comes again in seconds: the doctor tells when it goes on, rather than a failed job each time.
        context.log(error.detail, "warning")
        return {"sent": 0, "why": error.detail}


schedules.register("audit seal", kind="audit.seal", payload={}, every_seconds=300)
schedules.register("audit verify", kind="audit.verify", payload={}, crontab="41 4 * * *")
if settings.CONDAHUB_AUDIT_DAYS:
    schedules.register("audit release", kind="audit.release", payload={}, crontab="11 5 * * *")
if settings.CONDAHUB_AUDIT_SYSLOG:
    schedules.register("audit forward", kind="audit.forward", payload={}, every_seconds=FORWARD_SECONDS)
