"""Pages of mirrors: all of them, a new one, one with its runs, a dry run, settings."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from channels_app.listings import organization_to_create_in
from channels_app.portal.frame import head
from condahub.accounts import selectors as accounts
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can, reads_all
from condahub.errors import HubError, Unprocessable
from condahub.portal import jobs as portal_jobs
from condahub.portal import paging
from condahub.portal.forms import told_of
from condahub.portal.page import PortalRequest, asked, done, failed, page, show
from condahub.portal.views.organizations import slow_probing
from mirrors_app import selectors
from mirrors_app.models import Mirror, MirrorMode, MirrorRefusal, RunState, SyncRun
from mirrors_app.portal import words
from mirrors_app.portal.forms import MirrorForm, NewMirrorForm
from mirrors_app.portal.reasons import said
from mirrors_app.services import mirrors as services
from mirrors_app.services import runs

MAX_ORGANIZATIONS = 500
SHOWN_REFUSALS = 50
CHARTED_RUNS = 30
BAR_WIDTH = 10
LISTS = (
    ("added", gettext_lazy("Added"), "+", "added"),
    ("changed", gettext_lazy("New metadata"), "±", "changed"),
    ("removed", gettext_lazy("Removed"), "-", "removed"),
    ("kept_though_gone", gettext_lazy("Gone upstream, kept here"), "=", "changed"),
    ("retired", gettext_lazy("Past the builds that the channel keeps"), "-", "removed"),
)


@page()
def mirror_list(request: PortalRequest) -> HttpResponseBase:
    rows = Mirror.objects.visible_to(request.actor).select_related("channel__organization").prefetch_related("upstreams")
    text = asked(request, "q")
    if text:
        rows = rows.filter(channel__name__icontains=text)
    listing = paging.numbered(request, rows.order_by("channel__name"))
    latest = selectors.latest_runs([mirror.pk for mirror in listing.rows])
    context = {
        "page": listing,
        "rows": [_row(mirror, latest.get(mirror.pk)) for mirror in listing.rows],
        "q": text,
        "may_create": bool(_homes(request.actor)),
    }
    return show(request, "mirrors/list.html", context)


@page(methods=("GET", "HEAD", "POST"))
def mirror_new(request: PortalRequest) -> HttpResponseBase:
    form = NewMirrorForm(request.POST or None, initial={"organization": asked(request, "organization"), "subdirs": ["noarch", "linux-64"]})
    error: HubError | None = None
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            organization = organization_to_create_in(request.actor, given["organization"])
            with slow_probing(request):
                made = services.create_mirror(
                    actor=request.actor,
                    organization=organization,
                    name=given["name"],
                    visibility=given["visibility"],
                    upstreams=form.upstreams(),
                    settings=form.settings(),
                )
            path = reverse("mirrors:mirror", args=[made.channel.name])
            return done(request, path, gettext("The mirror is there. Look first what a run would bring, or run it now."))
        except HubError as refused:
            error = refused
    return show(request, "mirrors/new.html", {"form": form, "homes": _homes(request.actor)}, error=error)


@page()
def mirror(request: PortalRequest, channel: str) -> HttpResponseBase:
    """How it stands, what it does now, and what its runs did."""
    found = selectors.mirror_for(request.actor, channel)
    frame = head(request, found.channel, "mirror")
    listing = paging.stretch(request, SyncRun.objects.filter(mirror=found).select_related("job"), "id")
    latest = selectors.latest_run(found) if listing.newest else next(iter(listing.rows), None)
    job = selectors.job_of(found)
    refusals = list(MirrorRefusal.objects.filter(mirror=found)[: SHOWN_REFUSALS + 1])
    context = {
        **frame,
        **_row(found, latest),
        "latest": latest,
        "job": job,
        "phase_words": words.phase(job) if job is not None else "",
        "page": {"older": listing.older, "newest": listing.newest},
        "runs": [{"one": run, "look": words.look_of(run), "seconds": words.duration(run)} for run in listing.rows],
        "bars": _bars(found),
        "bar_width": CHARTED_RUNS * BAR_WIDTH,
        "filters": words.filters(found.filters),
        "schedule": words.schedule(found),
        "refusals": refusals[:SHOWN_REFUSALS],
        "more_refusals": len(refusals) > SHOWN_REFUSALS,
        "may_run": can(request.actor, Permission.MIRROR_SYNC, found),
        "may_change": (may_change := can(request.actor, Permission.MIRROR_UPDATE, found)),
        "may_look": may_change or reads_all(request.actor),
        "is_lazy": found.mode == MirrorMode.LAZY,
    }
    return show(request, "mirrors/mirror.html", context)


@page(methods=("POST",))
def act(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Run, look, cancel, pause, resume, approve."""
    found = selectors.mirror_for(request.actor, channel)
    path = reverse("mirrors:mirror", args=[found.channel.name])
    verb = request.POST.get("verb", "")
    try:
        if verb == "plan":
            job = runs.ask_plan(actor=request.actor, mirror=found)
            return done(request, reverse("mirrors:plan", args=[found.channel.name, job.pk]))
        return done(request, path, _do(request.actor, found, verb))
    except HubError as error:
        return failed(request, path, error)


def _do(actor: Actor, mirror: Mirror, verb: str) -> str:
    if verb == "run":
        runs.run_now(actor=actor, mirror=mirror)
        return gettext("A run is asked for.")
    if verb == "cancel":
        runs.cancel_run(actor=actor, mirror=mirror)
        return gettext("The run is asked to stop. What it has fetched is kept for the next one.")
    if verb == "approve":
        runs.approve(actor=actor, mirror=mirror)
        return gettext("The index is approved; a run follows it.")
    if verb == "pause":
        services.pause_mirror(actor=actor, mirror=mirror)
        return gettext("Paused: no runs by the clock.")
    if verb == "resume":
        services.resume_mirror(actor=actor, mirror=mirror)
        return gettext("Resumed.")
    raise HubError(gettext("Nothing was chosen."), code="no_verb", hint=gettext("Go back and try again."))


def _count(one: SyncRun, key: str) -> int:
    found: int = one.report["retired_count"] if key == "retired" else getattr(one, key)
    return found


@page()
def run(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    """What one run did, and what it could not."""
    found = selectors.mirror_for(request.actor, channel)
    one = selectors.run_of(found, number)
    report = one.report or {}
    context = {
        **head(request, found.channel, "mirror", whole=False),
        "mirror": found,
        "one": one,
        "look": words.look_of(one),
        "seconds": words.duration(one),
        "lists": [
            {"label": label, "sign": sign, "key": css, "rows": [_path(item) for item in report.get(key, [])], "count": _count(one, key)}
            for key, label, sign, css in LISTS
            if report.get(key)
        ],
        "refused": report.get("refused", []),
        "replaced": report.get("replaced", []),
        "broken": _explained(report.get("broken", [])),
        "left_out": _by_count(report.get("left_out", {})),
        "job_opens": one.job is not None and portal_jobs.visible_jobs(request.actor).filter(pk=one.job.pk).exists(),
    }
    return show(request, "mirrors/run.html", context)


@page()
def plan(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    """A dry run: while it is made, and then what it found."""
    found = selectors.mirror_for(request.actor, channel)
    job = selectors.plan_job(found, number)
    result = job.result if job.state == "done" else None
    context = {
        **head(request, found.channel, "mirror", whole=False),
        "mirror": found,
        "job": job,
        "phase_words": words.phase(job),
        "plan": result,
        "tried": words.filters(job.payload["filters"]) if job.payload.get("filters") is not None else None,
        "reasons": _by_count((result or {}).get("left_out", {}).get("reasons", {})),
        "broken": _explained((result or {}).get("broken_dependencies", [])),
        "may_run": can(request.actor, Permission.MIRROR_SYNC, found),
    }
    return show(request, "mirrors/plan.html", context)


@page(methods=("GET", "HEAD", "POST"))
def settings(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Change a mirror; with `look`, first see what its filters would bring."""
    looks = request.method in ("GET", "HEAD") and reads_all(request.actor)
    found = selectors.mirror_for(request.actor, channel, Permission.MIRROR_READ if looks else Permission.MIRROR_UPDATE)
    upstreams = list(found.upstreams.all())
    form = MirrorForm(request.POST or None, initial=MirrorForm.values_of_mirror(found, upstreams))
    error: HubError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            if request.POST.get("verb") == "look":
                job = runs.ask_plan(actor=request.actor, mirror=found, filters=form.settings(found)["filters"])
                return done(
                    request, reverse("mirrors:plan", args=[found.channel.name, job.pk]), gettext("Nothing is saved: this only looks.")
                )
            # The first one's credentials are all that the form knows: others are left alone while the addresses stay the same.
            same = [one.url for one in upstreams] == [line.strip() for line in form.cleaned_data["url"].splitlines() if line.strip()]
            touched = {"credential_kind", "username", "secret", "endpoint", "region"} & set(form.changed_data)
            new = None if same and not touched else form.upstreams()
            services.update_mirror(actor=request.actor, mirror=found, changes=form.settings(found), upstreams=new)
            return done(request, reverse("mirrors:mirror", args=[found.channel.name]), gettext("Saved. The next run goes by it."))
        except HubError as refused:
            error = refused
    context = {
        **head(request, found.channel, "mirror", whole=False),
        "mirror": found,
        "form": form,
        "may_delete": can(request.actor, Permission.MIRROR_DELETE, found),
        "may_change": (may_change := can(request.actor, Permission.MIRROR_UPDATE, found)),
        "told": [] if may_change else told_of(form),
        "schedule_words": words.cron_in_words(found.schedule) if found.schedule else "",
    }
    return show(request, "mirrors/settings.html", context, error=error)


@page(methods=("POST",))
def end(request: PortalRequest, channel: str) -> HttpResponseBase:
    """End a mirror; its packages stay, in a channel of one's own."""
    found = selectors.mirror_for(request.actor, channel, Permission.MIRROR_DELETE)
    name = found.channel.name
    try:
        if request.POST.get("name", "").strip() != name:
            raise Unprocessable(gettext("The name does not match."), hint=gettext("Type the channel's name to end its mirror."))
        services.delete_mirror(actor=request.actor, mirror=found, keep_packages=True)
    except HubError as error:
        return failed(request, reverse("mirrors:settings", args=[name]), error)
    told = gettext("'%(channel)s' is an ordinary channel now, with the packages it has.") % {"channel": name}
    return done(request, reverse("channels:channel", args=[name]), told)


def broken_panel(actor: Actor) -> dict[str, Any] | None:
    """For the dashboard: mirrors whose last run failed, or waits for approval. Two queries."""
    bad = selectors.broken_mirrors(actor)
    return {"mirrors": [_row(run.mirror, run) for run in bad]} if bad else None


def _row(mirror: Mirror, run: SyncRun | None) -> dict[str, Any]:
    return {
        "mirror": mirror,
        "run": run,
        "look": words.look(mirror, run),
        "mirror_sentence": words.sentence(mirror, run),
        "mode": words.MODES[MirrorMode(mirror.mode)],
    }


def _bars(mirror: Mirror) -> list[dict[str, Any]]:
    """The last runs, oldest first: how many packages each brought; heights on a square-root scale, so that one large run hides none."""
    last = list(SyncRun.objects.filter(mirror=mirror).exclude(state=RunState.RUNNING).order_by("-id")[:CHARTED_RUNS])[::-1]
    most = max((run.files for run in last), default=0) or 1
    return [
        {
            "run": run,
            "word": words.look_of(run)[1],
            "x": index * BAR_WIDTH,
            "height": (height := max(3, round(96 * (run.files / most) ** 0.5))),
            "y": 100 - height,
        }
        for index, run in enumerate(last)
    ]


def _by_count(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(((said(reason), count) for reason, count in reasons.items()), key=lambda pair: -pair[1])


def _explained(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "reason": said(row["reason"])} for row in rows]


def _path(item: Any) -> str:
    return "/".join(str(part) for part in item) if isinstance(item, list | tuple) else str(item)


def _homes(actor: Actor) -> list[Organization]:
    rows = accounts.visible_organizations(actor)[:MAX_ORGANIZATIONS]
    possible = [row for row in rows if can(actor, Permission.MIRROR_CREATE, row)]
    return sorted(possible, key=lambda row: (row.personal_of_id != actor.user_id, row.is_personal, row.name))
