"""Parts of pages that are asked for again and again: 304 as long as nothing moved."""

from __future__ import annotations

import hashlib

from django.http import HttpResponse, HttpResponseBase, HttpResponseNotModified

from condahub.portal.page import PortalRequest


def unless_known(request: PortalRequest, response: HttpResponse) -> HttpResponseBase:
    """304 for who polls and has it; the nonce of an answer is no news."""
    if request.headers.get("HX-Request") != "true":
        return response
    etag = f'"{hashlib.sha256(_without_nonce(request, response.content)).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponseNotModified(headers={"ETag": etag})
    response.headers["ETag"] = etag
    return response


def _without_nonce(request: PortalRequest, content: bytes) -> bytes:
    nonce = str(getattr(request, "csp_nonce", "")).encode()
    return content.replace(nonce, b"") if nonce else content
