"""Who comes past the door of a view; what may be seen and done behind it is for selectors and services to say."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from condahub.api.authentication import actor_of


class SignedIn(BasePermission):
    """Everybody with a valid token or session: the default of every view."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return actor_of(request).is_active


class Anybody(BasePermission):
    """Nobody signed in too: the view's selectors find out what is public."""

    def has_permission(self, request: Request, view: Any) -> bool:
        actor = actor_of(request)
        return actor.is_anonymous or actor.is_active
