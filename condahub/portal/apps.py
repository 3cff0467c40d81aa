"""Tells Django of the portal."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "condahub.portal"
    label = "portal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from condahub.portal import registrations

        registrations.register()
