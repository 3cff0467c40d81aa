"""Which private networks and hosts the hub may connect to when a tenant names them; public addresses need no leave."""

from __future__ import annotations

from condahub.settings.env import env

# Networks (10.0.0.0/8), addresses and host names.
CONDAHUB_PRIVATE_NETWORKS_ALLOWED = env.list("CONDAHUB_PRIVATE_NETWORKS_ALLOWED", default=[])

# Folders of this machine that mirrors may read as upstreams, and the proxy of mirrors that have none of their own.
CONDAHUB_MIRROR_LOCAL_FOLDERS = env.list("CONDAHUB_MIRROR_LOCAL_FOLDERS", default=[])
CONDAHUB_MIRROR_PROXY = env.str("CONDAHUB_MIRROR_PROXY", default="")

# Folders of this machine below which bundles may lie that are imported from where they are.
CONDAHUB_BUNDLE_FOLDERS = env.list("CONDAHUB_BUNDLE_FOLDERS", default=[])
# After so many days in which nothing of it came, what was uploaded of a bundle is let go of; 0: never.
CONDAHUB_BUNDLE_UPLOAD_DAYS = env.int("CONDAHUB_BUNDLE_UPLOAD_DAYS", default=14)
