"""What mirrors bring to the portal: an entry at the left, a tab of their channels, the broken ones on the dashboard."""

from __future__ import annotations

from channels_app.models import ChannelKind
from channels_app.portal.frame import register_tab
from condahub.accounts.policy import Permission
from condahub.portal import registry
from condahub.portal.registry import NavigationEntry, Panel, Tab
from mirrors_app.portal import views

MIRRORED = (ChannelKind.MIRROR, ChannelKind.PROXY)


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_navigation(NavigationEntry("Mirrors", "cloud-download", "/ui/mirrors", 30))
    registry.register_panel(Panel("mirrors/panel.html", views.broken_panel, 12))
    register_tab(Tab("mirror", "Mirror", "mirrors:mirror", Permission.MIRROR_READ, 15), lambda channel: channel.kind in MIRRORED)
