"""Who may read `/metrics` beside staff and auditors, and whether it may name tenants."""

from __future__ import annotations

from condahub.settings.env import env

CONDAHUB_METRICS_TOKEN = env.str("CONDAHUB_METRICS_TOKEN", default="")
# Networks (10.0.0.0/8) and addresses that need no token: Prometheus's own.
CONDAHUB_METRICS_ALLOW = env.list("CONDAHUB_METRICS_ALLOW", default=[])
CONDAHUB_METRICS_NAMES = env.bool("CONDAHUB_METRICS_NAMES", default=False)
