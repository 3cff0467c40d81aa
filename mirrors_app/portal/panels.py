"""What mirrors bring to the portal: an entry at the left, tabs of channels, the broken ones on the dashboard."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from channels_app.models import ChannelKind
from channels_app.portal.frame import register_tab
from condahub.accounts.policy import Permission
from condahub.portal import registry
from condahub.portal.registry import NavigationEntry, Panel, Tab
from mirrors_app.bundles import exporting
from mirrors_app.portal import views

MIRRORED = (ChannelKind.MIRROR, ChannelKind.PROXY)


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_navigation(NavigationEntry(gettext_lazy("Mirrors"), "cloud-download", "/ui/mirrors", 30))
    registry.register_panel(Panel("mirrors/panel.html", views.broken_panel, 12))
    registry.register_usage(exporting.usage_rows)
    register_tab(
        Tab("mirror", gettext_lazy("Mirror"), "mirrors:mirror", Permission.MIRROR_READ, 15), lambda channel: channel.kind in MIRRORED
    )
    register_tab(
        Tab("bundles", gettext_lazy("Bundles"), "mirrors:bundles", Permission.MIRROR_UPDATE, 60, for_auditors=True),
        lambda channel: not channel.is_virtual,
    )
