"""Logs: one line an event on standard error; readable by people, or JSON with `CONDAHUB_LOG_JSON`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog

from condahub.masking import mask_secrets
from condahub.settings.env import DATA_DIR, env

_json = env.bool("CONDAHUB_LOG_JSON", default=False)
# Where sealed audit events are sent: /dev/log, udp://, tcp:// or tls:// with host and port (condahub.audit.forwarding).
CONDAHUB_AUDIT_SYSLOG = env.str("CONDAHUB_AUDIT_SYSLOG", default="")
# Plain tracebacks: rich ones print the variables of every frame, secrets among them.
# After how many days sealed audit events go from the database into files, 0 for never; and where those are.
CONDAHUB_AUDIT_DAYS = max(0, env.int("CONDAHUB_AUDIT_DAYS", default=0))
CONDAHUB_AUDIT_DIR = Path(env.str("CONDAHUB_AUDIT_DIR", default=str(DATA_DIR / "audit")))
_for_people = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
_level = env.str("CONDAHUB_LOG_LEVEL", default="INFO")
_render = structlog.processors.JSONRenderer() if _json else _for_people


def _render_masked(logger: Any, method: str, event: Any) -> str:
    """The whole line, tracebacks included, with its secrets masked."""
    line = _render(logger, method, event)
    return mask_secrets(line if isinstance(line, str) else line.decode())


_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "hub": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": _render_masked,
            "foreign_pre_chain": _shared,
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "hub"}},
    "root": {"handlers": ["stderr"], "level": _level},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "propagate": False},
        # Each 401 with which a client starts would be a line.
        "django.request": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
    },
}

structlog.configure(
    processors=[
        *_shared,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
