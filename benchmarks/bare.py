"""The ceiling: a WSGI application that does nothing but answer, with as many bytes as the measured file has."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

BODY = b"x" * int(os.environ.get("BARE_BYTES", "2"))
HEADERS = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(BODY)))]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Always the same 200."""
    start_response("200 OK", HEADERS)
    return (BODY,)
