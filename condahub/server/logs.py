"""gunicorn's log without secrets: tokens in paths and queries are masked in every line, whoever wrote it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

from condahub.masking import mask_secrets


class MaskingFormatter(logging.Formatter):
    """Another formatter's line, tracebacks included, with its secrets masked."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(self._inner.format(record))


class HubLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger with masked lines, and an access line of its own: address, method, path, status, bytes, time, client."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(MaskingFormatter(handler.formatter))

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        if not self.access_log_enabled:
            return
        # The path as the application saw it; quoted again, so that no client writes lines of its own.
        path = quote(environ.get("PATH_INFO", "").encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")
        query = environ.get("QUERY_STRING", "")
        self.access_log.info(
            '%s "%s %s%s" %s %s %.1fms "%s"',
            environ.get("REMOTE_ADDR", "-"),
            environ.get("REQUEST_METHOD", "-"),
            path,
            f"?{query}" if query else "",
            str(resp.status).split(None, 1)[0],
            getattr(resp, "response_length", None) or 0,
            request_time.total_seconds() * 1000,
            environ.get("HTTP_USER_AGENT", "-").replace('"', "'"),
        )
