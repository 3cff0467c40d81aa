"""E-mail: the server that `CONDAHUB_EMAIL_URL` names (`smtp+tls://user:password@mail.example.org:587`); none without it."""

from __future__ import annotations

from typing import Any

from condahub.settings.base import PUBLIC_HOST
from condahub.settings.env import env

_url = env.str("CONDAHUB_EMAIL_URL", default="")
_parts: dict[str, Any] = env.email_url("CONDAHUB_EMAIL_URL", default="dummymail://") if _url else {}

# Where it is off, nobody can ask for mail, and what would be mailed stays in the inbox.
CONDAHUB_EMAIL_ENABLED = bool(_url)
EMAIL_BACKEND = _parts.get("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend")
EMAIL_HOST = _parts.get("EMAIL_HOST") or "localhost"
EMAIL_HOST_USER = _parts.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _parts.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _parts.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _parts.get("EMAIL_USE_SSL", False)
EMAIL_PORT = _parts.get("EMAIL_PORT") or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
EMAIL_FILE_PATH = _parts.get("EMAIL_FILE_PATH") or None
EMAIL_TIMEOUT = 10
EMAIL_SUBJECT_PREFIX = "[condahub] "
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("CONDAHUB_EMAIL_FROM", default=f"condahub@{PUBLIC_HOST}")
