"""Turns every failure of our REST API into `{"code", "detail", "hint"}` with the right status, never a traceback."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.signals import got_request_exception
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from condahub.api import probing
from condahub.audit.context import current_request
from condahub.errors import Conflict, Forbidden, HubError, Invalid, NotAuthenticated, NotFound, Throttled, TooLarge, Unavailable

log = logging.getLogger(__name__)

SCHEMA_HINT = "GET /api/hub/v1/schema says what each request takes."
MAX_DETAIL_CHARS = 1000


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler."""
    request = context.get("request")
    answer = as_hub_error(error)
    if answer is None:
        answer = _unexpected(error, request)
    if answer.code == probing.PROBED_CODE and request is not None:
        probing.note(request)
    set_rollback()
    return Response(answer.as_dict(), status=answer.status, headers=answer.headers)


@csrf_exempt
def unknown_path(request: HttpRequest) -> JsonResponse:
    """What no path of the API answers to."""
    error = NotFound("There is nothing at this path.", code="no_such_path", hint=SCHEMA_HINT)
    return JsonResponse(error.as_dict(), status=error.status)


def as_hub_error(error: Exception) -> HubError | None:
    """The answer for a failure that has one; None for a fault of the program."""
    if isinstance(error, HubError):
        return error
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    if isinstance(error, Http404):
        return NotFound("It does not exist.")
    if isinstance(error, PermissionDenied):
        return Forbidden()
    if isinstance(error, RequestDataTooBig):
        return TooLarge("The body is too large.")
    if isinstance(error, UnreadablePostError):
        return Invalid("The body ended early.", code="body_short", hint="Send the request again.")
    return _of_database(error)


def _of_framework(error: exceptions.APIException) -> HubError:
    if isinstance(error, exceptions.ValidationError):
        return Invalid("; ".join(_sentences(error.detail))[:MAX_DETAIL_CHARS], hint=SCHEMA_HINT)
    if isinstance(error, exceptions.ParseError):
        return Invalid(str(error.detail), code="malformed", hint="Send the body as JSON (RFC 8259) in UTF-8.")
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return NotAuthenticated()
    if isinstance(error, exceptions.PermissionDenied):
        return Forbidden()
    if isinstance(error, exceptions.Throttled):
        wait_seconds = int(getattr(error, "wait", None) or 60)
        return Throttled("Too many requests.", hint=f"Try again in {wait_seconds} s.", headers={"Retry-After": str(wait_seconds)})
    code = str(error.get_codes()) if isinstance(error.detail, str) else "error"
    return HubError(str(error.detail), code=code, hint=SCHEMA_HINT, status=error.status_code)


def _of_database(error: Exception) -> HubError | None:
    if isinstance(error, OperationalError | InterfaceError):
        log.error("the database does not answer: %s", type(error).__name__)
        return Unavailable("The hub's database does not answer.", code="database_unavailable", hint="Try again in a moment.")
    if isinstance(error, IntegrityError):
        log.warning("two requests changed the same thing at once", exc_info=error)
        return Conflict("Somebody else changed this at the same moment.", hint="Look at it again, then repeat the request.")
    # What a column can't hold: a number past 64 bits, a text that is no Unicode.
    if isinstance(error, DataError | OverflowError | UnicodeEncodeError):
        return Invalid("A value is out of the range that can be stored.", hint=SCHEMA_HINT)
    return None


def _unexpected(error: Exception, request: Any) -> HubError:
    log.error("a request to the API failed", exc_info=error)
    got_request_exception.send(sender=None, request=getattr(request, "_request", request))
    request_id = current_request().request_id
    hint = f"Tell the operator the request id {request_id}; the log has the reason." if request_id else "The operator's log has the reason."
    return HubError("The hub failed to answer this.", code="internal", hint=hint, status=500)


def _sentences(detail: Any, path: str = "") -> list[str]:
    """Each complaint of a validation with the path of the value: `files.0.subdir: This field is required.`"""
    if isinstance(detail, dict):
        return [
            line for key, value in detail.items() for line in _sentences(value, path if key == "non_field_errors" else _join(path, key))
        ]
    if isinstance(detail, list):
        nested = any(isinstance(one, dict | list) for one in detail)
        return [line for index, one in enumerate(detail) if one for line in _sentences(one, _join(path, index) if nested else path)]
    return [f"{path}: {detail}" if path else str(detail)]


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
