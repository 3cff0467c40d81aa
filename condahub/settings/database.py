"""The database: SQLite in the data folder, or what `CONDAHUB_DATABASE_URL` names (PostgreSQL)."""

from __future__ import annotations

from typing import Any

from condahub.settings.env import DATA_DIR, env

_url = env.str("CONDAHUB_DATABASE_URL", default="") or f"sqlite:///{DATA_DIR / 'condahub.sqlite3'}"
_default: dict[str, Any] = dict(env.db_url_config(_url))
_default["ATOMIC_REQUESTS"] = False

if _default["ENGINE"].endswith("sqlite3"):
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    # IMMEDIATE: a DEFERRED transaction that upgrades its lock fails at once under concurrent writers.
    # The page cache is a connection's own, and each of many threads has one.
    _default["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": ("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; PRAGMA journal_size_limit=67108864"),
    }
    # One connection a thread for its life: opening SQLite with these pragmas costs more than most queries.
    _default["CONN_MAX_AGE"] = None
else:
    _default["CONN_MAX_AGE"] = env.int("CONDAHUB_DATABASE_CONN_MAX_AGE", default=60)
    _default["CONN_HEALTH_CHECKS"] = True

DATABASES = {"default": _default}
