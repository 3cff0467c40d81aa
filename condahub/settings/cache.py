"""What processes remember together, such as how often somebody guessed at names: Redis where there is one, else each process for itself."""

from __future__ import annotations

from typing import Any

from condahub.settings.env import env

_url = env.str("CONDAHUB_CACHE_URL", default="") or env.str("CONDAHUB_BROKER_URL", default="")
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if _url.startswith(("redis:", "rediss:")):
    CACHES["default"] = {
        "BACKEND": "condahub.cache.ForgivingRedisCache",
        "LOCATION": _url,
        "KEY_PREFIX": "condahub",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 5},
    }
