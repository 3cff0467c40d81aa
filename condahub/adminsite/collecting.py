"""The admin's page of garbage collection: what would go, counted by a job that changes nothing, and the run itself."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from condahub.adminsite.pages import back, require_may_act, shown
from condahub.audit.services import record
from condahub.jobs import services
from condahub.jobs.models import Job
from condahub.ops.gc import GC_DRY_KIND, GC_KIND

MAX_SHOWN = 10


def page(request: HttpRequest) -> HttpResponse:
    """GET: the last runs, dry and real, with what they found; POST `dry_run` or `run`: ask for one."""
    if request.method == "POST":
        actor = require_may_act(request)
        dry_run = request.POST.get("what") != "run"
        kind = GC_DRY_KIND if dry_run else GC_KIND
        job = services.enqueue(kind=kind, payload={}, coalesce_key="by hand", actor_label=actor.label)
        if not dry_run:
            record(actor=actor, action="hub.gc", target="hub", details={"job": job.pk})
        return back(request, "collect", f"Job {job.pk} counts what would go." if dry_run else f"Job {job.pk} collects garbage.")
    jobs = list(Job.objects.filter(kind__in=(GC_KIND, GC_DRY_KIND)).order_by("-pk")[:MAX_SHOWN])
    rows = [
        {
            "job": job,
            "dry_run": job.kind == GC_DRY_KIND,
            "collected": [one for one in (job.result or {}).get("collected", ()) if one["count"]],
            "bytes": sum(one["bytes"] for one in (job.result or {}).get("collected", ())),
        }
        for job in jobs
    ]
    return shown(request, "admin/collect.html", "Garbage collection", rows=rows)
