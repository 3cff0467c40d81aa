"""From the headers (and path) of a request to an Actor; a warm token costs no query."""

from __future__ import annotations

import base64
import binascii
import hmac
import itertools
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from condahub.accounts import cache, uses
from condahub.accounts.actors import Actor, Limit
from condahub.accounts.models import ApiToken, Organization, User
from condahub.accounts.secrets import hash_of, looks_valid
from condahub.audit.context import address_of
from condahub.errors import NotAuthenticated
from condahub.prepared import Prepared, columns_of, made_of

INVALID_TOKEN = "This token is not valid: it may have expired or been revoked."  # noqa: S105 - a sentence, no secret
MAX_TOKEN_CHARS = 512


def actor_from_headers(meta: Mapping[str, Any], path_token: str | None = None) -> Actor:
    """Who sends this request, by its tokens alone (sessions are Django's: `Actor.of(request.user)`).

    meta: a WSGI environ or `request.META`. Looked at in this order: the path's token; `Authorization` as Bearer, as
    anaconda's `token`, or as Basic with the token for its password (or for its user name, the password empty);
    `X-API-Key`. The first is who it is; any other that was sent must be valid too, so that a wrong one is never hidden.
    Anonymous when none was sent. Raises NotAuthenticated for a wrong one. Passwords are not taken here: they are for
    the sign-in page, where second factors and single sign-on live.
    """
    sent: list[str] = [] if not path_token else [path_token]
    authorization = _from_authorization(str(meta.get("HTTP_AUTHORIZATION") or ""))
    for token in (authorization, str(meta.get("HTTP_X_API_KEY") or "").strip()):
        if token and token not in sent:
            sent.append(token)
    if not sent:
        return Actor.anonymous()
    actors = [authenticate_token(token, address=address_of(meta)) for token in sent]
    return actors[0]


def authenticate_token(token: str, *, address: str = "") -> Actor:
    """The actor of one token, as remembered for at most ACTOR_CACHE_SECONDS. Raises NotAuthenticated."""
    if len(token) > MAX_TOKEN_CHARS:
        raise NotAuthenticated(INVALID_TOKEN)
    token_hash = hash_of(token)
    if _is_admin_token(token_hash):
        administrator = _first_administrator()
        uses.note_use(uses.ADMIN_TOKEN_ID, address)
        return administrator
    # Even the empty lookup is saved for what can't be a token.
    actor = (cache.recall(token_hash) or _read(token_hash)) if looks_valid(token) else None
    if actor is None or actor.token is None:
        raise NotAuthenticated(INVALID_TOKEN)
    uses.note_use(actor.token.pk, address)
    return actor


def _from_authorization(header: str) -> str:
    """The token in an Authorization header; empty when there is none. Raises NotAuthenticated for what can't be read."""
    scheme, _, value = header.strip().partition(" ")
    scheme, value = scheme.lower(), value.strip()
    if scheme in ("bearer", "token"):
        return value
    if scheme == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise NotAuthenticated("The Authorization header can't be read.") from None
        return password or user
    if scheme:
        raise NotAuthenticated("This way of authorization is not known here.")
    return ""


def _is_admin_token(token_hash: str) -> bool:
    admin_token: str = settings.CONDAHUB_ADMIN_TOKEN
    return bool(admin_token) and hmac.compare_digest(hash_of(admin_token), token_hash)


def _first_administrator() -> Actor:
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if user is None:
        raise NotAuthenticated("There is no administrator for this token to act as.")
    return Actor(user=user, via="admin_token")


_PARTS = (columns_of(ApiToken), columns_of(User, "owner__"), columns_of(Organization, "owner__organization__"))
_LIMIT_COLUMNS = ("limits__pk", "limits__organization_id", "limits__channel_id", "limits__package_name", "limits__role")
_COLUMNS = [*itertools.chain(*_PARTS), *_LIMIT_COLUMNS]
_prepared_token = Prepared(lambda token_hash: ApiToken.objects.filter(hash=token_hash).order_by().values_list(*_COLUMNS), "-")


def _read(token_hash: str) -> Actor | None:
    """The actor of a live token of an active owner, with its limits, in one query."""
    generation = cache.generation()
    rows = _prepared_token.rows(token_hash)
    if not rows:
        return None
    token, home = _token_of(rows[0])
    if not token.is_live() or not token.owner.is_active or (home is not None and home.deleted_at is not None):
        return None
    actor = Actor(user=token.owner, token=token, via="token")
    if token.is_limited:
        limits = [row[-len(_LIMIT_COLUMNS) :] for row in rows]
        actor.remember_limits(tuple(Limit(*limit) for pk, *limit in limits if pk is not None))
    cache.remember(token_hash, actor, read_in=generation)
    return actor


def _token_of(row: tuple[Any, ...]) -> tuple[ApiToken, Organization | None]:
    """The token with its owner and, for a robot, its owner's organization."""
    values = iter(row)
    of_token, of_owner, of_home = (list(itertools.islice(values, len(part))) for part in _PARTS)
    token, owner = made_of(ApiToken, of_token), made_of(User, of_owner)
    home = None if owner.organization_id is None else made_of(Organization, of_home)
    owner.organization = home
    token.owner = owner
    return token, home
