"""Which private networks and hosts the hub may connect to when a tenant names them; public addresses need no leave."""

from __future__ import annotations

from condahub.settings.env import env

# Networks (10.0.0.0/8), addresses and host names.
CONDAHUB_PRIVATE_NETWORKS_ALLOWED = env.list("CONDAHUB_PRIVATE_NETWORKS_ALLOWED", default=[])
