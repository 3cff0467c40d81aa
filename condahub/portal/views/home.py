"""The dashboard, search, and what runs."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext

from condahub.errors import HubError
from condahub.jobs import selectors as job_selectors
from condahub.jobs import services as job_services
from condahub.jobs.states import JobState
from condahub.portal import jobs, paging, registry
from condahub.portal.page import PortalRequest, asked, done, failed, page, show
from condahub.portal.polled import unless_known

FOUND_OF_A_KIND = 20
ASKED_IN = 6
FOUND_WHILE_TYPING = 6
MIN_SEARCH_CHARS = 2
MAX_LOG_CHUNKS = 400


@page(anonymous=True)
def dashboard(request: PortalRequest) -> HttpResponseBase:
    """What needs me, what runs, and what is mine. Nobody signed in sees the public channels instead."""
    if request.actor.is_anonymous:
        return HttpResponseRedirect(registry.welcome() or settings.LOGIN_URL)
    news = jobs.news(request.actor)
    request.active_jobs = news.active
    made = registry.panels(request.actor)
    wide = [{"template": panel.template, **context} for panel, context in made if not panel.aside]
    aside = [{"template": panel.template, **context} for panel, context in made if panel.aside]
    return show(request, "portal/dashboard.html", {"panels": wide, "aside_panels": aside, "failed": news.failed})


@page(anonymous=True)
def search(request: PortalRequest) -> HttpResponseBase:
    """Over everything that the asker may see; while somebody types, only the list is answered."""
    text = asked(request, "q", 200)
    typing = request.headers.get("HX-Target", "") == "suggestions"
    found = []
    if len(text) >= MIN_SEARCH_CHARS:
        found = registry.search(request.actor, text, FOUND_WHILE_TYPING if typing else FOUND_OF_A_KIND)
    asks = (
        []
        if typing or found or len(text) < MIN_SEARCH_CHARS or request.actor.is_anonymous
        else registry.asks(request.actor, text, ASKED_IN)
    )
    context = {"text": text, "asks": asks, "found": found, "too_short": 0 < len(text) < MIN_SEARCH_CHARS, "limit": FOUND_OF_A_KIND}
    response = show(request, "portal/parts/suggestions.html" if typing else "portal/search.html", context)
    patch_vary_headers(response, ("HX-Target", "Cookie"))
    return response


@page()
def job_list(request: PortalRequest) -> HttpResponseBase:
    rows = jobs.visible_jobs(request.actor)
    state = request.GET.get("state", "")
    if state in JobState.values:
        rows = rows.filter(state=state)
    context = {"page": paging.stretch(request, rows, "id"), "state": state, "states": JobState.choices}
    return show(request, "portal/jobs.html", context)


@page()
def running(request: PortalRequest) -> HttpResponseBase:
    """The part of the dashboard that is asked for again and again; 304 as long as nothing moved."""
    response = render(request, "portal/parts/running.html")
    return unless_known(request, response)


@page()
def job(request: PortalRequest, number: int) -> HttpResponseBase:
    found = jobs.job_for(request.actor, number)
    chunks = list(job_selectors.log_of(found).order_by("-sequence")[:MAX_LOG_CHUNKS])
    context = {
        "job": found,
        "log": list(reversed(chunks)),
        "cut": len(chunks) == MAX_LOG_CHUNKS,
        "may_cancel": jobs.may_cancel(request.actor, found),
    }
    response = show(request, "portal/job.html", context)
    return unless_known(request, response)


@page(methods=("POST",))
def job_cancel(request: PortalRequest, number: int) -> HttpResponseBase:
    found = jobs.job_for(request.actor, number)
    path = reverse("portal:job", args=[number])
    try:
        if not jobs.may_cancel(request.actor, found):
            raise HubError(gettext("This job has ended, or you may not stop it."), code="forbidden", status=403)
        job_services.cancel(request.actor, found)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("The job is asked to stop."))
