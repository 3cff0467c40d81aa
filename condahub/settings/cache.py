"""What processes remember together, such as how often somebody guessed at names: in Redis where there is one, else in the database."""

from __future__ import annotations

from typing import Any

from condahub.settings.env import env

_url = env.str("CONDAHUB_CACHE_URL", default="") or env.str("CONDAHUB_BROKER_URL", default="")
# Past so many a third is let go of: far more than one minute's guesses of those who are not shut out yet.
MAX_REMEMBERED = 50_000
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "condahub.cache.SharedCache", "LOCATION": "hub_remembered", "OPTIONS": {"MAX_ENTRIES": MAX_REMEMBERED}}
}
if _url.startswith(("redis:", "rediss:")):
    CACHES["default"] = {
        "BACKEND": "condahub.cache.ForgivingRedisCache",
        "LOCATION": _url,
        "KEY_PREFIX": "condahub",
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 5},
    }
