"""API tokens: created and shown once, rotated, revoked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from condahub.accounts import cache
from condahub.accounts.actors import Limit
from condahub.accounts.models import ApiToken, Organization, TokenKind, TokenLimit, User
from condahub.accounts.permissions import FULL_SCOPE, ROLE_PERMISSIONS, SCOPE_BUNDLES, Permission
from condahub.accounts.policy import HUB, AccessTarget, Actor, Role, can, require
from condahub.accounts.secrets import generate, hash_of, prefix_of
from condahub.audit.services import record
from condahub.errors import Conflict, Forbidden, NotAuthenticated, Unprocessable

MAX_NAME_CHARS = 200
MAX_LIMITS = 200


@dataclass(frozen=True)
class NewToken:
    """A token just made, with its secret, which exists nowhere else; it is shown once and never logged."""

    token: ApiToken
    secret: str = field(repr=False)


def create_token(
    *,
    actor: Actor,
    name: str,
    scopes: Iterable[str],
    limits: Iterable[Limit] = (),
    expires_at: datetime | None = None,
    owner: User | None = None,
    kind: str = "",
) -> NewToken:
    """A token for oneself, for a robot of an organization one owns, or (by the hub itself) for a job.

    scopes: permissions (`package:upload`) and names of bundles (`ci`). limits: where it may act; none for everywhere.
    A token made with a token gets no more than that one has: its scopes, limits and expiry bound the new ones.
    """
    owner = owner or actor.user
    if owner is None:
        raise NotAuthenticated
    _require_may_create(actor, owner)
    wanted = expand_scopes(scopes)
    bounds = _Bounds.of(actor)
    placed = bounds.placed(tuple(limits))
    bounds.check_scopes(wanted)
    _check_name(name)
    _check_limits(actor, owner, placed)
    token = ApiToken(
        kind=kind or (TokenKind.ROBOT if owner.is_robot else TokenKind.USER),
        owner=owner,
        name=name.strip(),
        scopes=sorted(wanted),
        is_limited=placed is not None,
        expires_at=bounds.checked_expiry(expires_at),
        created_by=actor.user,
    )
    with transaction.atomic():
        return _issue(actor, token, placed or (), action="token.create")


def rotate_token(*, actor: Actor, token: ApiToken, overlap: timedelta = timedelta(0)) -> NewToken:
    """A new secret with the same power; the old one ends now, or after `overlap` so that its users can be changed over."""
    _require_may_revoke(actor, token)
    if not token.is_live():
        raise Conflict("This token has expired or was revoked.", code="token_not_live", hint="Create a new one.")
    _require_may_create(actor, token.owner)
    limits = tuple(Limit(*row) for row in token.limits.values_list("organization_id", "channel_id", "package_name", "role"))
    bounds = _Bounds.of(actor)
    bounds.check_scopes(frozenset(token.scopes))
    bounds.check_limits(limits if token.is_limited else None)
    successor = ApiToken(
        kind=token.kind,
        owner=token.owner,
        name=token.name,
        scopes=token.scopes,
        is_limited=token.is_limited,
        expires_at=bounds.checked_expiry(token.expires_at),
        created_by=actor.user,
    )
    with transaction.atomic():
        made = _issue(actor, successor, limits, action="token.rotate")
        if overlap > timedelta(0):
            end = timezone.now() + overlap
            token.expires_at = end if token.expires_at is None else min(end, token.expires_at)
        else:
            token.revoked_at = timezone.now()
        token.save(update_fields=["expires_at", "revoked_at"])
        transaction.on_commit(cache.forget)
    return made


def revoke_token(*, actor: Actor, token: ApiToken) -> ApiToken:
    """End a token; it stops in this process now and everywhere within 10 s. Ending it twice is ending it once."""
    _require_may_revoke(actor, token)
    if token.revoked_at is not None:
        return token
    token.revoked_at = timezone.now()
    with transaction.atomic():
        token.save(update_fields=["revoked_at"])
        _record(actor, "token.revoke", token)
        transaction.on_commit(cache.forget)
    return token


def expand_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Permissions and bundle names as one set of permission values, or `*` alone for all its owner may do."""
    found: set[str] = set()
    for scope in scopes:
        if scope in SCOPE_BUNDLES:
            found |= SCOPE_BUNDLES[scope]
        elif scope == FULL_SCOPE or scope in {permission.value for permission in Permission}:
            found.add(scope)
        else:
            raise Unprocessable(
                f"'{scope[:60]}' is not a scope.",
                code="invalid_scope",
                hint=f"Use permissions such as package:upload, or a bundle: {', '.join(sorted(SCOPE_BUNDLES))}.",
            )
    if not found:
        raise Unprocessable(
            "A token needs at least one scope.", code="invalid_scope", hint=f"A bundle: {', '.join(sorted(SCOPE_BUNDLES))}."
        )
    return frozenset({FULL_SCOPE}) if FULL_SCOPE in found else frozenset(found)


@dataclass(frozen=True)
class _Bounds:
    """What the token that is used to make another leaves to it; all None when a session makes it."""

    scopes: frozenset[str] | None
    limits: tuple[Limit, ...] | None
    expires_at: datetime | None

    @classmethod
    def of(cls, actor: Actor) -> _Bounds:
        if actor.token is None:
            return cls(None, None, None)
        return cls(frozenset(actor.token.scopes), actor.limits(), actor.token.expires_at)

    def check_scopes(self, wanted: frozenset[str]) -> None:
        if self.scopes is not None and FULL_SCOPE not in self.scopes and not wanted <= self.scopes:
            raise Forbidden(
                "A token can't make one with more scopes than its own.", hint=f"Leave out: {', '.join(sorted(wanted - self.scopes))}."
            )

    def placed(self, limits: tuple[Limit, ...]) -> tuple[Limit, ...] | None:
        """The limits of the new token, None for none: those asked for, else those of the maker."""
        if not limits:
            return self.limits
        self.check_limits(limits)
        return limits

    def check_limits(self, limits: tuple[Limit, ...] | None) -> None:
        if self.limits is None:
            return
        if limits is None or not all(any(_covers(mine, wanted) for mine in self.limits) for wanted in limits):
            raise Forbidden("A token can't make one with wider limits than its own.", hint="Stay within this token's limits.")

    def checked_expiry(self, asked: datetime | None) -> datetime | None:
        if asked is not None and timezone.is_naive(asked):
            raise Unprocessable("The expiry needs a time zone.", code="invalid_expiry", hint="For instance 2030-01-31T00:00:00Z.")
        if asked is not None and asked <= timezone.now():
            raise Unprocessable("The expiry is in the past.", code="invalid_expiry", hint="Give a time to come, or none.")
        if self.expires_at is None:
            return asked
        if asked is None:
            return self.expires_at
        if asked > self.expires_at:
            raise Forbidden("A token can't make one that lives longer than itself.", hint=f"At most until {self.expires_at.isoformat()}.")
        return asked


def _covers(mine: Limit, wanted: Limit) -> bool:
    """Whether one limit lies within another."""
    if mine.organization_id != wanted.organization_id or mine.channel_id not in (None, wanted.channel_id):
        return False
    if mine.package_name not in ("", wanted.package_name):
        return False
    return not mine.role or (bool(wanted.role) and ROLE_PERMISSIONS[wanted.role] <= ROLE_PERMISSIONS[mine.role])


def _require_may_create(actor: Actor, owner: User) -> None:
    if actor.system:
        return
    if actor.is_anonymous:
        raise NotAuthenticated
    if owner.pk == actor.user_id:
        if not actor.is_active or (actor.token is not None and not actor.token.allows(Permission.TOKEN_CREATE)):
            raise Forbidden("This token may not make tokens.", hint="Use a session, or a token with the scope token:create.")
        return
    if owner.organization is None:
        raise Forbidden("You can't make a token for another person.", hint="Create a robot account.")
    require(actor, Permission.TOKEN_CREATE, owner.organization)


def _require_may_revoke(actor: Actor, token: ApiToken) -> None:
    """One's own, those of robots of one's organization, and staff all of them. A token may always end itself."""
    if actor.token is not None and actor.token.pk == token.pk:
        return
    if token.owner_id == actor.user_id and actor.is_active and (actor.token is None or actor.token.allows(Permission.TOKEN_REVOKE)):
        return
    home = token.owner.organization
    if home is not None and can(actor, Permission.TOKEN_REVOKE, home):
        return
    require(actor, Permission.USER_MANAGE, HUB)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Unprocessable(
            "A token needs a name.", code="invalid_name", hint=f"1 to {MAX_NAME_CHARS} printable characters that tell what it is for."
        )


def _check_limits(actor: Actor, owner: User, limits: tuple[Limit, ...] | None) -> None:
    """Limits name only what the owner or the maker has to do with: else they would tell which ids are taken."""
    if limits is None:
        return
    if len(limits) > MAX_LIMITS:
        raise Unprocessable("A token can't have so many limits.", code="invalid_limits", hint=f"At most {MAX_LIMITS}.")
    for limit in limits:
        if (limit.package_name and limit.channel_id is None) or (limit.role and limit.role not in Role.values):
            raise Unprocessable("A limit is not acceptable.", code="invalid_limits", hint="A package needs its channel, a role must exist.")
        home = AccessTarget(organization_id=limit.organization_id)
        if not (can(actor, Permission.ORGANIZATION_READ, home) or can(Actor.of(owner), Permission.ORGANIZATION_READ, home)):
            raise Forbidden
    wanted = {limit.organization_id for limit in limits}
    if Organization.objects.filter(pk__in=wanted).count() != len(wanted):
        raise Forbidden
    if len({limit[:3] for limit in limits}) != len(limits):
        raise Unprocessable("A limit is given twice.", code="invalid_limits", hint="Name each place once.")


def _issue(actor: Actor, token: ApiToken, limits: tuple[Limit, ...], *, action: str) -> NewToken:
    secret = generate(token.kind)
    token.hash, token.prefix = hash_of(secret), prefix_of(secret)
    token.save(force_insert=True)
    TokenLimit.objects.bulk_create([TokenLimit(token=token, **limit._asdict()) for limit in limits])
    _record(
        actor, action, token, limits=[f"{limit.organization_id}/{limit.channel_id or '*'}/{limit.package_name or '*'}" for limit in limits]
    )
    return NewToken(token, secret)


def _record(actor: Actor, action: str, token: ApiToken, **more: object) -> None:
    record(
        actor=actor,
        action=action,
        target=token.name,
        organization_id=token.owner.organization_id,
        details={
            "owner": token.owner.username,
            "prefix": token.prefix,
            "kind": token.kind,
            "scopes": list(token.scopes),
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            **more,
        },
    )
