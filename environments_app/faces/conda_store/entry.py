"""What all of conda-store's addresses share: who asks, the form of answers and refusals, pages and the quirks of its clients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.core.paginator import EmptyPage, Paginator
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.views.decorators.csrf import csrf_exempt

from channels_app.faces.entry import json_object
from condahub.accounts.authentication import actor_from_headers, authenticate_token
from condahub.accounts.policy import Actor
from condahub.audit.context import address_of
from condahub.errors import Forbidden, HubError, Invalid, NotAuthenticated, Unavailable

log = logging.getLogger(__name__)
P = ParamSpec("P")
Handler = Callable[Concatenate["Asked", ...], object]
View = Callable[..., HttpResponseBase]

COOKIE = "conda-store-auth"
MAX_PAGE_SIZE = 100
MAX_PAGE = 10**9
_SAFE = ("GET", "HEAD")


@dataclass(frozen=True)
class Asked:
    """One request: who asks, and what the query says, read as conda-store's clients write it."""

    request: HttpRequest
    actor: Actor
    query: QueryDict

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent. Raises Unprocessable, TooLarge."""
        return json_object(self.request)

    def text(self, key: str) -> str:
        return str(self.query.get(key) or "")

    def flag(self, key: str) -> bool:
        return self.text(key).lower() in ("1", "true", "yes", "on")

    def number(self, key: str, default: int, most: int) -> int:
        value = self.query.get(key)
        if value is None:
            return default
        if not (value.isascii() and value.isdigit() and len(value) < 12 and 0 < int(value) <= most):
            raise Invalid(f"'{key}' must be a whole number from 1 to {most}.", code="bad_value")
        return int(value)


@dataclass(frozen=True)
class Reply:
    """What a handler answers other than plain data: more keys beside `data`, another status, a cookie's headers."""

    data: object = None
    more: Mapping[str, object] = field(default_factory=dict)
    status: int = 200


def door(**methods: Handler) -> View:
    """A view of these methods; what a handler returns is the `data` of `{"status": "ok", "data", "message"}`, a Reply or a response."""

    @csrf_exempt
    def view(request: HttpRequest, **words: str) -> HttpResponseBase:
        handler = methods.get("GET" if request.method == "HEAD" else request.method or "")
        try:
            if handler is None:
                allowed = ", ".join(sorted(methods))
                raise HubError(f"Only {allowed} is answered here.", code="method_not_allowed", status=405, headers={"Allow": allowed})
            actor = _who(request)
            # The audit's record of refusals looks for it here.
            request.actor = actor  # type: ignore[attr-defined]
            return _answered(handler(Asked(request, actor, _query(request, words)), **words))
        except HubError as error:
            return refusal(error)
        except (OperationalError, InterfaceError):
            log.exception("the database did not answer")
            return refusal(Unavailable("The hub's database does not answer; try again."))

    return view


def refusal(error: HubError) -> HttpResponse:
    """`{"status": "error", "message"}`: its UI shows the message, its command prints it."""
    message = f"{error.detail} {error.hint}".strip()
    return _json({"status": "error", "message": message, "code": error.code}, error.status, {"Cache-Control": "no-store", **error.headers})


def page_of(asked: Asked, rows: QuerySet[Any] | list[Any], shape: Callable[[Any], dict[str, Any]]) -> Reply:
    """A page, or everything when neither page nor size is asked for: its command reads the first page again until it has all.

    `size` is at least 1, since clients divide by it.
    """
    if "page" not in asked.query and "size" not in asked.query:
        found = [shape(row) for row in rows]
        return Reply(found, {"page": 1, "size": max(len(found), 1), "count": len(found)})
    size = min(asked.number("size", MAX_PAGE_SIZE, MAX_PAGE), MAX_PAGE_SIZE)
    number = asked.number("page", 1, MAX_PAGE)
    paginator = Paginator(rows, size)
    try:
        shown: Iterable[Any] = paginator.page(number).object_list
    except EmptyPage:
        shown = []
    return Reply([shape(row) for row in shown], {"page": number, "size": size, "count": paginator.count})


def ordered(asked: Asked, rows: QuerySet[Any], known: Mapping[str, str], *, last: str = "pk") -> QuerySet[Any]:
    """By `sort_by` (repeatable) and `order`. Raises Invalid for a column that is not offered."""
    wanted = asked.query.getlist("sort_by")
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise Invalid(f"Can't sort by '{unknown[0][:40]}'.", code="bad_value", hint=f"One of {', '.join(known)}.")
    sign = "-" if asked.text("order") == "desc" else ""
    columns = [known[name] for name in wanted] or list(known.values())[:1]
    return rows.order_by(*(sign + column for column in [*columns, last]))


def _who(request: HttpRequest) -> Actor:
    """By a token in the headers; else by the cookie, which a bad one of never hides the headers. Raises NotAuthenticated, Forbidden."""
    actor = actor_from_headers(request.META, path_token=request.META.get("condahub.path_token"))
    cookie = request.COOKIES.get(COOKIE, "")
    if not actor.is_anonymous or not cookie:
        return actor
    try:
        actor = authenticate_token(cookie, address=address_of(request.META))
    except NotAuthenticated:
        # Signed out, as far as the UI is concerned.
        return actor
    if request.method not in _SAFE:
        require_own_page(request)
    return actor


def require_own_page(request: HttpRequest, *, as_json: bool = True) -> None:
    """A change that a cookie carries comes from a page of this hub and as JSON, which no other site's form can send. Raises Forbidden."""
    origin = request.headers.get("Origin", "")
    own = urlsplit(settings.CONDAHUB_PUBLIC_URL)
    same = origin == f"{own.scheme}://{own.netloc}" if origin else request.headers.get("Sec-Fetch-Site", "") == "same-origin"
    has_body = int(request.META.get("CONTENT_LENGTH") or 0) > 0 or "HTTP_TRANSFER_ENCODING" in request.META
    if not same or (as_json and has_body and request.content_type != "application/json"):
        raise Forbidden(
            "A change by cookie must come from this hub's own pages, as JSON.", code="cross_site", hint="Programs send a token instead."
        )


def _query(request: HttpRequest, words: Mapping[str, str]) -> QueryDict:
    """The command appends '/' to the whole address, so to the last value of the query too."""
    query = QueryDict(request.META.get("QUERY_STRING", "").removesuffix("/"))
    if any("\x00" in text for text in [*words.values(), *(value for _, values in query.lists() for value in values)]):
        raise Invalid("Text can't hold NUL characters.", code="bad_value")
    return query


def _answered(made: object) -> HttpResponseBase:
    if isinstance(made, HttpResponseBase):
        return made
    reply = made if isinstance(made, Reply) else Reply(made)
    return _json({"status": "ok", "data": reply.data, "message": None, **reply.more}, reply.status, {"Cache-Control": "private, no-store"})


def _json(body: object, status: int, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json", headers=headers)
