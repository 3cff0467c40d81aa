"""What all pages of an environment share: who may see it, headline, state in a sentence, tabs, what may be done."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts.policy import Permission, can, reads_all
from condahub.portal.page import PortalRequest
from condahub.portal.registry import Tab
from environments_app import selectors
from environments_app.models import Environment
from environments_app.portal import reads, words

_TABS = (
    Tab("overview", gettext_lazy("Overview"), "environments:environment", Permission.ENVIRONMENT_READ, 0),
    Tab("builds", gettext_lazy("Builds"), "environments:builds", Permission.BUILD_READ, 10),
    Tab("packages", gettext_lazy("Packages"), "environments:packages", Permission.BUILD_READ, 20),
    Tab("spec", gettext_lazy("Spec"), "environments:spec", Permission.BUILD_READ, 30),
    Tab("artifacts", gettext_lazy("Artifacts"), "environments:artifacts", Permission.BUILD_READ, 40),
    Tab("members", gettext_lazy("Access"), "environments:members", Permission.MEMBER_READ, 50),
    Tab("activity", gettext_lazy("Activity"), "environments:activity", Permission.ORGANIZATION_AUDIT, 90),
    Tab("settings", gettext_lazy("Settings"), "environments:settings", Permission.ENVIRONMENT_UPDATE, 99, for_auditors=True),
)


def environment_for(
    request: PortalRequest, organization: str, environment: str, permission: Permission = Permission.ENVIRONMENT_READ
) -> Environment:
    """The environment, if the actor has this right on it; hidden and unknown ones are refused alike."""
    return selectors.environment_for(request.actor, organization, environment, permission)


def path_of(environment: Environment, page: str = "environment", *more: object) -> str:
    return reverse(f"environments:{page}", args=[environment.organization.name, environment.name, *more])


def head(request: PortalRequest, environment: Environment, tab: str) -> dict[str, Any]:
    """The context of an environment's frame, for one or two queries."""
    actor = request.actor
    stands = reads.standing(actor, environment)
    asked_of = {Permission.ORGANIZATION_AUDIT: environment.organization}
    may_change = can(actor, Permission.ENVIRONMENT_UPDATE, environment)
    return {
        "environment": environment,
        "organization": environment.organization,
        "current": stands.current,
        "newest": stands.newest,
        "settled": stands.ends,
        "tabs": [
            {"key": one.key, "label": str(one.label), "path": path_of(environment, one.url_name.partition(":")[2])}
            for one in _TABS
            if can(actor, one.permission, asked_of.get(one.permission, environment)) or (one.for_auditors and reads_all(actor))
        ],
        "tab": tab,
        "sentence": words.sentence(environment, stands.current, stands.newest),
        "look": words.look(stands.newest.state) if stands.newest is not None else ("waiting", gettext("Never built")),
        "may_change": may_change,
        "may_build": may_change and environment.archived_at is None and can(actor, Permission.BUILD_CREATE, environment),
        "may_delete": can(actor, Permission.ENVIRONMENT_DELETE, environment),
        "knows_organization": can(actor, Permission.ORGANIZATION_READ, environment.organization),
    }
