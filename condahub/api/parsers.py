"""Reads JSON bodies: of a limited size and depth, and nothing but JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.http import HttpRequest
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from condahub.server.body import iterate_body

MAX_JSON_BYTES = 1024**2
MAX_INSTRUCTIONS_BYTES = 64 * 1024**2
MAX_JSON_DEPTH = 32


class HubJsonParser(BaseParser):
    """`application/json` up to `limit_bytes`. Raises TooLarge (413), Invalid `body_short`, ParseError."""

    media_type = "application/json"
    limit_bytes = MAX_JSON_BYTES

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        request: HttpRequest = (parser_context or {})["request"]._request
        data = b"".join(iterate_body(request, limit_bytes=self.limit_bytes))
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        if _depth_exceeds(value, MAX_JSON_DEPTH):
            raise ParseError(f"The body is nested deeper than {MAX_JSON_DEPTH} levels.")
        return value


class InstructionsParser(HubJsonParser):
    """For hotfixes, which name thousands of files."""

    limit_bytes = MAX_INSTRUCTIONS_BYTES


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [inner for one in level if isinstance(one, dict | list) for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return False
    return True
