"""Namespaces, which are our organizations, and what they hold."""

from __future__ import annotations

from django.db.models import QuerySet

from condahub import __version__
from condahub.accounts.models import Organization
from condahub.accounts.policy import HUB, Permission, can
from condahub.accounts.selectors import visible_organizations
from condahub.accounts.services import create_organization
from condahub.errors import Conflict, Forbidden, NotAuthenticated
from environments_app import selectors
from environments_app.faces.conda_store import shapes
from environments_app.faces.conda_store.entry import Asked, ordered, page_of
from environments_app.models import Environment


def version(asked: Asked) -> object:
    return {"version": __version__}


def _known(asked: Asked) -> QuerySet[Organization]:
    """Those one may know of: one's own, and those with an environment that one may see."""
    shown = Environment.objects.visible_to(asked.actor).order_by().values("organization")
    known = Organization.objects.filter(pk__in=shown) | visible_organizations(asked.actor)
    return known.filter(deleted_at__isnull=True)


def list_namespaces(asked: Asked) -> object:
    return page_of(asked, ordered(asked, _known(asked).distinct(), {"name": "name"}), shapes.namespace)


def get_namespace(asked: Asked, namespace: str) -> object:
    found = _known(asked).filter(name=namespace).first()
    if found is None:
        raise NotAuthenticated() if asked.actor.is_anonymous else Forbidden()
    return shapes.namespace(found)


def create_namespace(asked: Asked, namespace: str) -> object:
    """For staff and those whom a setting names. 409 for one that is there, or that somebody else has."""
    if not can(asked.actor, Permission.ORGANIZATION_CREATE, HUB):
        raise NotAuthenticated() if asked.actor.is_anonymous else Forbidden()
    if Organization.objects.filter(name=namespace).exists():
        raise Conflict(f"The name '{namespace[:80]}' is not available.", code="name_unavailable")
    return shapes.namespace(create_organization(actor=asked.actor, name=namespace))


def usage(asked: Asked) -> object:
    return {
        row["organization"]: {"num_environments": row["environments"], "num_builds": row["builds"], "storage": row["bytes"]}
        for row in selectors.usage(asked.actor)
    }
