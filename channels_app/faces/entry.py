"""What the doors of publishing clients share: who asks, what JSON and query they send, how refusals are told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec

import orjson
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import QueryDict
from django.views.decorators.csrf import csrf_exempt

from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.policy import Actor
from condahub.errors import HubError, NotAuthenticated, Unavailable, Unprocessable
from condahub.server.body import iterate_body

log = logging.getLogger(__name__)
P = ParamSpec("P")
Handler = Callable[Concatenate[HttpRequest, Actor, ...], object]
View = Callable[..., HttpResponseBase]

MAX_JSON_BYTES = 1024**2
MAX_PAGE_ITEMS = 10_000
MAX_SKIP_ITEMS = 10**9
# What can be counted on from without leaving the calendar.
FIRST_YEAR, LAST_YEAR = 1900, 9000
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Answer:
    """A JSON answer with another status than 200."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def entry(**methods: Handler) -> View:
    """A view of these methods (`entry(GET=..., POST=...)`); each handler gets the request, who asks, and the path's words.

    Tokens in headers or path alone say who asks: a cookie counts for nothing here, so that no page of another site can
    make a browser act. What a handler returns is the JSON of a 200, an Answer, or a response.
    """

    @csrf_exempt
    def view(request: HttpRequest, **words: str) -> HttpResponseBase:
        handler = methods.get("GET" if request.method == "HEAD" and "HEAD" not in methods else request.method or "")
        try:
            if handler is None:
                raise _method_not_allowed(methods)
            actor = actor_from_headers(request.META, path_token=request.META.get("condahub.path_token"))
            # The audit's record of refusals looks for it here.
            request.actor = actor  # type: ignore[attr-defined]
            _refuse_nul(request, words)
            return _response(handler(request, actor, **words))
        except HubError as error:
            return error_answer(error)
        except (OperationalError, InterfaceError):
            log.exception("the database did not answer")
            return error_answer(Unavailable("The hub's database does not answer; try again."))

    return view


def error_answer(error: HubError) -> HttpResponse:
    """A refusal as `{"code", "detail", "hint"}`: clients of these protocols show `detail`."""
    return _json(error.as_dict(), error.status, {"Cache-Control": "no-store", **error.headers})


def require_signed_in(actor: Actor) -> None:
    """For what is about people. Raises NotAuthenticated."""
    if actor.is_anonymous:
        raise NotAuthenticated


def _response(made: object) -> HttpResponseBase:
    if isinstance(made, HttpResponseBase):
        return made
    answer = made if isinstance(made, Answer) else Answer(made)
    # What somebody may see depends on the token: no shared cache may keep it.
    return _json(answer.body, answer.status, {"Cache-Control": "private, no-store", **answer.headers})


def _json(body: object, status: int, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json", headers=headers)


def _method_not_allowed(methods: Mapping[str, Handler]) -> HubError:
    allowed = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
    return HubError(
        "This method is not answered here.", code="method_not_allowed", status=405, hint=f"Use {allowed}.", headers={"Allow": allowed}
    )


def _refuse_nul(request: HttpRequest, words: Mapping[str, str]) -> None:
    sent = [*words.values(), *request.GET, *(value for _, values in request.GET.lists() for value in values)]
    if any("\x00" in text for text in sent):
        raise Unprocessable("Text can't hold NUL characters.", hint="Remove them.")


def json_object(request: HttpRequest) -> dict[str, Any]:
    """The JSON object that was sent, chunked or not; {} for an empty body. Raises Unprocessable, TooLarge."""
    raw = b"".join(iterate_body(request, limit_bytes=MAX_JSON_BYTES))
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        raise Unprocessable("The body is not JSON.", code="bad_json", hint="Send a JSON object.") from None
    if not isinstance(body, dict) or b"\\u0000" in raw:
        raise Unprocessable("The body must be a JSON object of plain text and numbers.", code="bad_json", hint="Send a JSON object.")
    return body


def text_of(body: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """A string of a JSON object; null counts as not sent. Raises Unprocessable where it is missing and there is no default."""
    value = body.get(key)
    if value is None:
        if default is None:
            raise Unprocessable(f"'{key}' is missing.", code="missing", hint=f"Send '{key}'.")
        return default
    if not isinstance(value, str):
        raise Unprocessable(f"'{key}' must be text.", code="bad_value", hint=f"Send '{key}' as a string.")
    return value


class Query:
    """The query string, read with types; anything that can't be is refused with a sentence (422)."""

    def __init__(self, request: HttpRequest) -> None:
        self._sent: QueryDict = request.GET

    def text(self, key: str, default: str | None = "") -> str:
        """The value; `default` None: it must be there."""
        value = self._sent.get(key, default)
        if value is None:
            raise Unprocessable(f"The query parameter '{key}' is missing.", code="missing", hint=f"Add '{key}=' to the address.")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """A truth value in any case, as clients write them (`True`, `false`, `1`)."""
        value = self._sent.get(key)
        return default if value is None else as_flag(key, value)

    def number(self, key: str, default: int, *, least: int, most: int) -> int:
        value = self._sent.get(key)
        if value is None:
            return default
        sign, digits = ("-", value[1:]) if value[:1] == "-" else ("", value)
        if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and least <= int(sign + digits) <= most):
            raise Unprocessable(f"'{key}' must be a whole number from {least} to {most}.", code="bad_value")
        return int(sign + digits)

    def moment(self, key: str) -> datetime | None:
        """A time (ISO 8601; without a zone it is UTC) in UTC, None when it was not sent."""
        value = self._sent.get(key)
        return moment_of(key, value) if value else None


def moment_of(key: str, text: str) -> datetime:
    """A time as clients write it (ISO 8601; without a zone it is UTC), in UTC. Raises Unprocessable."""
    try:
        # A '+' that was not escaped in an address arrives as a space.
        when = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        when = None
    if when is None or not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise Unprocessable(f"'{key}' is not a time.", code="bad_value", hint="For instance 2026-01-31T12:00:00Z.")
    return when


def as_flag(key: str, value: str) -> bool:
    """A truth value as forms and queries carry it. Raises Unprocessable."""
    lowered = value.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise Unprocessable(f"'{key}' must be true or false.", code="bad_value")
    return lowered in _TRUE
