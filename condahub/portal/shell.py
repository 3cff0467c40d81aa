"""What the frame around every page shows: who is signed in, the navigation, how many jobs run, light or dark."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from condahub import __version__
from condahub.accounts.policy import HUB, Actor, Permission, can
from condahub.jobs.models import Job
from condahub.maintenance.selectors import Notice, notice
from condahub.portal import jobs, registry
from condahub.portal.page import actor_of

THEME_COOKIE = "condahub-theme"
THEMES = ("light", "dark")


class Shell:
    """Read by the base template alone; each part costs its query only when it is shown."""

    version = __version__

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def actor(self) -> Actor:
        return actor_of(self._request)

    @property
    def signed_in(self) -> bool:
        return not self.actor.is_anonymous

    @cached_property
    def navigation(self) -> list[dict[str, Any]]:
        path = self._request.path
        return [
            {"entry": entry, "here": path == entry.path or (entry.path != "/ui/" and path.startswith(f"{entry.path}/"))}
            for entry in registry.navigation(self.actor)
        ]

    @cached_property
    def running(self) -> list[Job]:
        known = getattr(self._request, "active_jobs", None)
        return jobs.going_on(self.actor) if known is None else known

    @property
    def theme(self) -> str:
        """light, dark, or '' to follow the person's machine."""
        wanted = self._request.COOKIES.get(THEME_COOKIE, "")
        return wanted if wanted in THEMES else ""

    @property
    def mails(self) -> bool:
        """Whether addresses can be verified."""
        return bool(settings.CONDAHUB_EMAIL_ENABLED)

    @property
    def administers(self) -> bool:
        """Whether the Django admin opens for who is signed in: staff, who act there, and auditors, who look."""
        return can(self.actor, Permission.AUDIT_READ, HUB)

    @property
    def notice(self) -> Notice:
        """What everybody is told; costs nothing but a query every few seconds."""
        return notice()


def shell(request: HttpRequest) -> dict[str, Any]:
    """The context processor."""
    return {"shell": SimpleLazyObject(lambda: Shell(request))}
