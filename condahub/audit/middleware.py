"""Gives the audit the request's address and id, and records what was refused in it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from condahub.audit import refusals
from condahub.audit.context import RequestMeta, address_of, request_context

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")


class AuditMiddleware:
    """Belongs near the top, above authentication. A door that knows the Actor leaves it as `request.actor`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = str(request.META.get("HTTP_X_REQUEST_ID", ""))
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        before = request_context.set(RequestMeta(address=address_of(request.META), request_id=request_id))
        try:
            response = self.get_response(request)
            if response.status_code in (401, 403):
                refusals.note(request, response.status_code)
            response.headers.setdefault("X-Request-ID", request_id)
            return response
        finally:
            request_context.reset(before)
