"""Who somebody is and what he may do, in conda-store's words; and tokens with a part of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from condahub.accounts.actors import Limit
from condahub.accounts.foreign_roles import CONDA_STORE_ROLES, conda_store_role_of
from condahub.accounts.models import Organization
from condahub.accounts.permissions import ROLE_PERMISSIONS, Role
from condahub.accounts.policy import Actor, Permission, permissions_on
from condahub.accounts.selectors import visible_organizations
from condahub.accounts.services import create_token
from condahub.errors import Forbidden, HubError, Invalid, NotAuthenticated, Unprocessable
from environments_app.faces.conda_store import shapes
from environments_app.faces.conda_store.entry import Asked
from environments_app.models import Environment

DEFAULT_NAMESPACE = "default"
EVERYTHING = "*/*"
_BUNDLES = {Role.READER: "read", Role.CONTRIBUTOR: "contribute", Role.MAINTAINER: "maintain", Role.OWNER: "own"}
_STRENGTH = {role: strength for strength, role in enumerate(Role)}

# Ours -> theirs.
_PERMISSIONS: dict[Permission, tuple[str, ...]] = {
    Permission.BUILD_CANCEL: ("build::cancel",),
    Permission.BUILD_DELETE: ("build::delete",),
    Permission.ENVIRONMENT_CREATE: ("environment::create",),
    Permission.ENVIRONMENT_DELETE: ("environment::delete",),
    Permission.ENVIRONMENT_READ: ("environment::read", "setting::read"),
    Permission.ENVIRONMENT_SOLVE: ("environment::solve",),
    Permission.ENVIRONMENT_UPDATE: ("environment::update",),
    Permission.ORGANIZATION_DELETE: ("namespace::delete",),
    Permission.ORGANIZATION_MEMBERS: ("namespace-role-mapping::create", "namespace-role-mapping::delete", "namespace-role-mapping::read"),
    Permission.ORGANIZATION_READ: ("namespace::read",),
    Permission.ORGANIZATION_UPDATE: ("namespace::update", "setting::update"),
}


def primary_namespace(actor: Actor) -> str:
    """The personal organization, else the first by name that one belongs to."""
    if actor.user is None:
        return DEFAULT_NAMESPACE
    personal = Organization.objects.filter(personal_of=actor.user, deleted_at__isnull=True).first()
    if personal is not None:
        return personal.name
    first = visible_organizations(actor).filter(pk__in=actor.roles()).order_by("name").first()
    return first.name if first is not None else DEFAULT_NAMESPACE


def who_am_i(asked: Asked) -> object:
    """Rights by `namespace/environment`; what is public is readable beside that."""
    actor = asked.actor
    held = _held(actor)
    expires = actor.token.expires_at if actor.token is not None else None
    return {
        "authenticated": not actor.is_anonymous,
        "primary_namespace": primary_namespace(actor),
        "entity_permissions": {entity: _named(permissions) for entity, (permissions, _) in held.items()},
        "entity_roles": {entity: [role] for entity, (_, role) in held.items()},
        "expiration": shapes.moment(expires),
    }


def _held(actor: Actor) -> dict[str, tuple[frozenset[Permission], str]]:
    """What the actor may do, by entity, with the nearest of conda-store's roles."""
    if actor.is_anonymous:
        return {}
    if actor.is_staff:
        return {EVERYTHING: (frozenset(Permission), "admin")}
    found: dict[str, tuple[frozenset[Permission], str]] = {}
    for organization in visible_organizations(actor).order_by("name"):
        power = permissions_on(actor, organization)
        if Permission.ENVIRONMENT_READ in power:
            found[f"{organization.name}/*"] = (power, _role(power))
    alone = {row.environment_id for rows in actor.roles().values() for row in rows if row.environment_id is not None}
    for environment in Environment.objects.visible_to(actor).select_related("organization").filter(pk__in=alone):
        power = permissions_on(actor, environment)
        found[str(environment)] = (power, _role(power))
    return found


def _named(permissions: Iterable[Permission]) -> list[str]:
    return sorted({word for permission in permissions for word in _PERMISSIONS.get(permission, ())})


def _role(power: frozenset[Permission]) -> str:
    role = Role.READER
    if Permission.ENVIRONMENT_UPDATE in power:
        role = Role.CONTRIBUTOR
    if Permission.ENVIRONMENT_MEMBERS in power:
        role = Role.OWNER
    return conda_store_role_of(role)


def make_token(asked: Asked) -> object:
    """`{primary_namespace?, expiration? or exp?, role_bindings?}`: never more than the asker has, and no longer."""
    if asked.actor.is_anonymous:
        raise NotAuthenticated
    body = asked.body()
    bindings = body.get("role_bindings") or {}
    try:
        scopes, limits = _bound(asked.actor, bindings)
        expires = _expiry(body.get("expiration") or body.get("exp"))
        made = create_token(actor=asked.actor, name="conda-store token", scopes=scopes, limits=limits, expires_at=expires)
    except (Forbidden, Unprocessable) as error:
        # Its command shows the reason of a 400 alone.
        raise HubError(error.detail, code=error.code, hint=error.hint, status=400) from None
    return {"token": made.secret}


def _bound(actor: Actor, bindings: Any) -> tuple[list[str], list[Limit]]:
    """Scopes and limits of a token with these roles: `{"team/*": ["viewer"]}`; none: all that the asker may do."""
    if not bindings:
        return (sorted(actor.token.scopes) if actor.token is not None else ["full"]), []
    if not isinstance(bindings, Mapping) or not all(isinstance(roles, list) and roles for roles in bindings.values()):
        raise Unprocessable("'role_bindings' must name roles by entity.", code="bad_value", hint='For instance {"team/*": ["viewer"]}.')
    wanted = {str(entity): _strongest(roles) for entity, roles in bindings.items()}
    if EVERYTHING in wanted:
        return _scopes(actor, wanted[EVERYTHING]), []
    whole = {entity.removesuffix("/*"): role for entity, role in wanted.items() if entity.endswith("/*") and "*" not in entity[:-2]}
    if not whole:
        raise Unprocessable(
            "A token can be limited to whole namespaces only.", code="bad_entity", hint='Name them as "namespace/*", or "*/*" for all.'
        )
    known = {one.name: one.pk for one in visible_organizations(actor).filter(name__in=whole)}
    if set(known) != set(whole):
        raise Forbidden("There is a namespace among them that does not exist, or that you may not see.")
    strongest = max(whole.values(), key=_STRENGTH.__getitem__)
    return _scopes(actor, strongest), [Limit(known[name], None, "", role.value) for name, role in whole.items()]


def _scopes(actor: Actor, role: Role) -> list[str]:
    """The role's permissions, of those the asker's own token has."""
    if actor.token is None or "*" in actor.token.scopes:
        return [_BUNDLES[role]]
    return sorted({permission.value for permission in ROLE_PERMISSIONS[role]} & set(actor.token.scopes))


def _strongest(roles: list[Any]) -> Role:
    unknown = [role for role in roles if role not in CONDA_STORE_ROLES]
    if unknown:
        raise Unprocessable(f"'{str(unknown[0])[:40]}' is no role.", code="bad_role", hint=f"One of {', '.join(CONDA_STORE_ROLES)}.")
    return max((CONDA_STORE_ROLES[role] for role in roles), key=_STRENGTH.__getitem__)


def _expiry(value: Any) -> datetime | None:
    """ISO 8601, naive is UTC."""
    if value is None or value == "":
        return None
    try:
        when = datetime.fromisoformat(str(value))
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid("'expiration' is not a time.", code="bad_value", hint="For instance 2030-01-31T00:00:00.") from None
